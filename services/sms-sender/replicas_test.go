package smssender_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	smssender "github.com/signrelay/signrelay/services/sms-sender"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

// startReplicas starts two replicas on one broker and one Redis, and returns a client of that Redis.
func startReplicas(t *testing.T, c config.Config) (*servicetest.Bench, redis.UniversalClient) {
	t.Helper()
	server := realtest.Redis(t)
	b := servicetest.New(t, c)
	var client redis.UniversalClient
	for range 2 {
		var err error
		if client, err = service.ConnectRedis(config.Redis{URL: server.URL}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		b.Env.Limits = limit.NewRedis(client, keyring.Ring{})
		b.Env.Claims = func(o dedupe.Options) dedupe.Store {
			return dedupe.NewGuard(dedupe.NewRedis(client, o), event.Log{JS: b.Env.JS, Stream: flow.Signing}, b.Env.Gaps, o)
		}
		b.Env.Public, b.Env.Metrics = service.NewRoutes(), prometheus.NewRegistry()
		b.Start(smssender.RunSoon)
	}
	return b, client
}

// Both replicas share the account's rate limit. Each call waits for its slot. So on a machine of any speed, call n is not made before slot n.
func TestTwoReplicasShareOneRate(t *testing.T) {
	t.Parallel()
	const calls, perSecond = 20, 40
	one := flow.StageNamed(flow.SMSSender).Workers
	if calls <= one {
		t.Fatalf("%d concurrent calls do not need a second replica, because one replica has %d workers", calls, one)
	}
	v := newVonage(t)
	c := settings(v.URL)
	account := smssettings.VonageSection.In(&c)
	account.PerSecond, account.Timeout = perSecond, 15*time.Second
	b, _ := startReplicas(t, c)

	// No call gets a response until all calls were made: one replica has too few workers for all calls.
	all := make(chan struct{})
	release := sync.OnceFunc(func() { close(all) })
	together := func(w http.ResponseWriter, r *http.Request) {
		if len(v.times()) == calls {
			release()
		}
		select {
		case <-all:
			statuses("0")(w, r)
		case <-r.Context().Done():
		}
	}
	for i := range calls {
		v.responses[fmt.Sprintf("n%d", i)] = []http.HandlerFunc{together}
	}
	began := time.Now()
	for i := range calls {
		publish(t, b, invitation(fmt.Sprintf("n%d", i)))
	}
	sent := sentNotices(t, b, calls)
	for id, n := range sent {
		if len(v.calls(id)) != 1 || n.GetPossibleDuplicate() {
			t.Errorf("%d calls for %s, notice %v", len(v.calls(id)), id, n)
		}
	}
	times := v.times()
	slices.SortFunc(times, time.Time.Compare)
	for i, called := range times {
		// Redis counts whole microseconds of another clock, so a millisecond is allowed for both.
		if slot := time.Duration(i) * time.Second / perSecond; called.Sub(began) < slot-time.Millisecond {
			t.Errorf("call %d was made after %v, before its slot at %v", i+1, called.Sub(began), slot)
		}
	}
}

// When Vonage throttles one replica, the other one pauses too.
func TestTwoReplicasPauseTogether(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b, client := startReplicas(t, settings(v.URL))
	v.responses["first"] = []http.HandlerFunc{throttles("600")}
	publish(t, b, invitation("first"))
	awaitLogged(t, b, `"error":"http-429`, 1)
	keys, err := client.Keys(t.Context(), "signrelay:limit:*:paused").Result()
	if err != nil || len(keys) != 1 || strings.Contains(keys[0], "abcd1234") {
		t.Fatalf("paused keys %v, %v", keys, err)
	}

	const others = 20
	for i := range others {
		publish(t, b, invitation(fmt.Sprintf("n%d", i)))
	}
	awaitLogged(t, b, `"reason":"rate-limit"`, others)
	if n := len(v.times()); n != 1 {
		t.Errorf("%d calls, want only the one that was throttled", n)
	}
	// The control: after the pause, the next message is sent.
	if err := client.Del(t.Context(), keys...).Err(); err != nil {
		t.Fatal(err)
	}
	publish(t, b, invitation("last"))
	b.Await(flow.Signing, "signing.v1.*.*.notification.sent.>", 1)
	if len(v.calls("last")) != 1 {
		t.Error("the last message was not sent")
	}
}

func awaitLogged(t *testing.T, b *servicetest.Bench, text string, count int) {
	t.Helper()
	until(t, text+" is logged", func() bool { return strings.Count(b.Logged.String(), text) >= count })
}
