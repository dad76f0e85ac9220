package dedupe_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/dedupe/dedupetest"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

func TestRedisConforms(t *testing.T) {
	t.Parallel()
	dedupetest.Run(t, func(t *testing.T) func(dedupe.Options) dedupe.Store {
		js := broker(t)
		client := redisClient(t, realtest.Redis(t).URL)
		return func(o dedupe.Options) dedupe.Store { return guarded(t, js, dedupe.NewRedis(client, o), o) }
	})
}

// Concurrent callers share calls to Redis; each gets its own results, in order.
func TestCallersInOneBatchGetTheirOwnReplies(t *testing.T) {
	t.Parallel()
	js := broker(t)
	s := guarded(t, js, dedupe.NewRedis(redisClient(t, realtest.Redis(t).URL), usual), usual)
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			done, fresh := fmt.Sprintf("done-%d", i), fmt.Sprintf("new-%d", i)
			result := []byte(strings.Repeat("r", i%7))
			if err := s.Confirm(t.Context(), dedupe.Done{ID: done, Result: result}); err != nil {
				t.Error(err)
				return
			}
			got, err := s.Claim(t.Context(), dedupe.NewOwner(), fresh, done)
			if err != nil {
				t.Error(err)
				return
			}
			if got[0].State != dedupe.Claimed || got[1].State != dedupe.Confirmed || string(got[1].Result) != string(result) {
				t.Errorf("caller %d got %v", i, got)
			}
		})
	}
	all.Wait()
}

// A caller that cancels gets no result. The other callers of its batch do.
func TestACancelledCallerLeavesItsBatchIntact(t *testing.T) {
	t.Parallel()
	js := broker(t)
	s := guarded(t, js, dedupe.NewRedis(redisClient(t, realtest.Redis(t).URL), usual), usual)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			if i == 25 {
				leave()
			}
			if i%2 == 0 {
				_, _ = s.Claim(ctx, "leaver", fmt.Sprintf("left-%d", i))
				return
			}
			if got, err := s.Claim(t.Context(), "stayer", fmt.Sprintf("stays-%d", i)); err != nil || got[0].State != dedupe.Claimed {
				t.Errorf("a caller that did not cancel got %v, %v", got, err)
			}
		})
	}
	all.Wait()
}

func TestBucketConforms(t *testing.T) {
	t.Parallel()
	dedupetest.Run(t, func(t *testing.T) func(dedupe.Options) dedupe.Store {
		js := broker(t)
		return func(o dedupe.Options) dedupe.Store { return guarded(t, js, bucket(t, js, o), o) }
	})
}

// A Redis that lost all entries must not make earlier work look new.
func TestLostEntriesAreNoticed(t *testing.T) {
	t.Parallel()
	js := broker(t)
	client := redisClient(t, realtest.Redis(t).URL)
	s := guarded(t, js, dedupe.NewRedis(client, usual), usual)

	wantState(t, s, "first", dedupe.Claimed) // the log is empty: a new installation has no gap
	store(t, js)
	if err := client.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	wantState(t, s, "first", dedupe.Pending)
	wantState(t, s, "second", dedupe.Pending)
	if err := s.Confirm(t.Context(), dedupe.Done{ID: "second"}); err != nil {
		t.Fatal(err)
	}
	wantState(t, s, "second", dedupe.Confirmed)

	// The gap closes when the log holds no earlier event; another replica (a new guard) sees that at once.
	stream, err := js.Stream(t.Context(), flow.Signing)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantState(t, guarded(t, js, dedupe.NewRedis(client, usual), usual), "third", dedupe.Claimed)
}

// Events that were stored while the dedupe store was unavailable are a gap for every replica.
func TestGapIsSeenByAllReplicas(t *testing.T) {
	t.Parallel()
	js := broker(t)
	client := redisClient(t, realtest.Redis(t).URL)
	here, there := gaps(t, js), gaps(t, js)
	other := dedupe.NewGuard(dedupe.NewRedis(client, usual), log(js), there, usual)
	wantState(t, other, "before", dedupe.Claimed)
	if err := here.Mark(t.Context()); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for n := 0; ; n++ { // the other replica polls every few seconds
		claims, err := other.Claim(t.Context(), "o", "after-"+strconv.Itoa(n))
		if err != nil {
			t.Fatal(err)
		}
		if claims[0].State == dedupe.Pending {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the other replica did not notice the gap within 30 s")
		}
	}
	wantState(t, guarded(t, js, dedupe.NewRedis(client, usual), usual), "restarted", dedupe.Pending)
}

func TestStoppedRedisIsUnavailable(t *testing.T) {
	t.Parallel()
	js := broker(t)
	server := realtest.Redis(t)
	s := guarded(t, js, dedupe.NewRedis(redisClient(t, server.URL), usual), usual)
	wantState(t, s, "x", dedupe.Claimed)
	server.Stop()
	if _, err := s.Claim(t.Context(), "o", "y"); !errors.Is(err, dedupe.ErrUnavailable) {
		t.Errorf("claim without Redis: %v, want ErrUnavailable", err)
	}
	if err := s.Confirm(t.Context(), dedupe.Done{ID: "x"}); !errors.Is(err, dedupe.ErrUnavailable) {
		t.Errorf("confirm without Redis: %v, want ErrUnavailable", err)
	}
	server.Start()
	wantState(t, s, "x", dedupe.Held) // the claim is still there: Redis wrote it to its append-only file
}

// The client retries a command whose reply was lost. The retry must not return Held.
func TestLostReplyIsNotADuplicate(t *testing.T) {
	t.Parallel()
	js := broker(t)
	server := realtest.Redis(t)
	proxy := newCutter(t, strings.Split(server.URL, "/")[2])
	client := redisClient(t, "redis://"+proxy.addr+"/"+server.URL[strings.LastIndex(server.URL, "/")+1:])
	s := guarded(t, js, dedupe.NewRedis(client, usual), usual)
	wantState(t, s, "warm", dedupe.Claimed) // the script is loaded, the epoch written
	proxy.cutNext.Store(true)
	wantState(t, s, "x", dedupe.Claimed)
	if proxy.cutNext.Load() {
		t.Fatal("no reply was cut: the test proved nothing")
	}
}

var usual = dedupe.Options{Namespace: "test", Lease: time.Minute, Remember: time.Hour}

func wantState(t *testing.T, s dedupe.Store, id string, expected dedupe.State) {
	t.Helper()
	claims, err := s.Claim(t.Context(), dedupe.NewOwner(), id)
	if err != nil {
		t.Fatalf("claim %s: %v", id, err)
	}
	if claims[0].State != expected {
		t.Errorf("claim %s: state %d, want %d", id, claims[0].State, expected)
	}
}

func guarded(t *testing.T, js jetstream.JetStream, k dedupe.Backend, o dedupe.Options) dedupe.Store {
	t.Helper()
	return dedupe.NewGuard(k, log(js), gaps(t, js), o)
}

func log(js jetstream.JetStream) event.Log { return event.Log{JS: js, Stream: flow.Signing} }

func gaps(t *testing.T, js jetstream.JetStream) *dedupe.Gaps {
	t.Helper()
	kv, err := js.KeyValue(t.Context(), flow.State)
	if err != nil {
		t.Fatal(err)
	}
	g, err := dedupe.WatchGaps(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

func bucket(t *testing.T, js jetstream.JetStream, o dedupe.Options) *dedupe.Bucket {
	t.Helper()
	kv, err := js.KeyValue(t.Context(), flow.Memory)
	if err != nil {
		t.Fatal(err)
	}
	return dedupe.NewBucket(kv, o)
}

func broker(t *testing.T) jetstream.JetStream {
	t.Helper()
	_, js := realtest.NATS(t).Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	return js
}

func store(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	e := &signingv1.SigningEvent{Source: "acme", Provider: "clickwrap", Type: "document.sent", Document: &signingv1.Document{Id: "d"}}
	e.Id = event.TransitionID(e)
	msg, err := event.Message(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
}

func redisClient(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.MaxRetries = 3 // the client's own default, the most difficult case
	o.ReadTimeout = 500 * time.Millisecond
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	client := redis.NewClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// cutter is a proxy that can forward one command and then close the connection instead of forwarding the reply.
type cutter struct {
	addr    string
	cutNext atomic.Bool
}

func newCutter(t *testing.T, target string) *cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	c := &cutter{addr: listener.Addr().String()}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go c.serve(client, target)
		}
	}()
	return c
}

func (c *cutter) serve(client net.Conn, target string) {
	defer func() { _ = client.Close() }()
	server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() { _, _ = io.Copy(server, client) }()
	reply := make([]byte, 64<<10)
	for {
		n, err := server.Read(reply)
		if err != nil || c.cutNext.CompareAndSwap(true, false) {
			return
		}
		if _, err := client.Write(reply[:n]); err != nil {
			return
		}
	}
}
