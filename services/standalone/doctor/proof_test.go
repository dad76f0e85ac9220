package doctor_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/realtest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/standalone/doctor"
)

func forTests() config.Config {
	return config.Config{Sources: []config.Source{
		providers.NewSource("clickwrap", "test-a", "webhook.secrets=k"),
		providers.NewSource("pleasesign", "demo", "webhook.secrets=k"),
		providers.NewSource("esign-v1", "demo", "webhook.token=k"), // has no test event
	}}
}

// log returns a provisioned broker with the shortest possible duplicate window.
func log(t *testing.T) jetstream.JetStream {
	t.Helper()
	_, js := realtest.NATS(t).Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), flow.Signing)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.Duplicates = 100 * time.Millisecond
	if _, err := js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return js
}

// fakeIngest starts a server in place of ingest. respond returns the status for the n-th attempt at an event, counted from 1.
func fakeIngest(t *testing.T, cfg config.Config, respond func(e *signingv1.SigningEvent, number, attempt int) int) string {
	t.Helper()
	var mu sync.Mutex
	numbers, attempts := map[string]int{}, map[string]int{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		for _, src := range cfg.Sources {
			if r.URL.Path != "/webhooks/"+src.Provider+"/"+src.Name {
				continue
			}
			p, _ := providers.ByName(src.Provider)
			webhook, err := p.Webhook(src)
			if err != nil {
				t.Error(err)
				return
			}
			request := pack.Request{Method: r.Method, Header: r.Header, Body: body, ReceivedAt: time.Now()}
			if _, err := webhook.Verify(request); err != nil {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			events, err := webhook.Normalize(request, signingv1.Verification_VERIFICATION_HMAC)
			if err != nil || len(events) != 1 {
				t.Errorf("%d events, %v", len(events), err)
				return
			}
			mu.Lock()
			id := events[0].GetId()
			if numbers[id] == 0 {
				numbers[id] = len(numbers) + 1
			}
			attempts[id]++
			number, attempt := numbers[id], attempts[id]
			mu.Unlock()
			w.WriteHeader(respond(events[0], number, attempt))
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// store appends an event to the log, even if the log already has it.
func store(t *testing.T, js jetstream.JetStream, e *signingv1.SigningEvent) {
	t.Helper()
	m, err := event.Message(context.Background(), e)
	if err != nil {
		t.Error(err)
		return
	}
	for {
		ack, err := js.PublishMsg(context.Background(), m)
		if err != nil {
			t.Error(err)
			return
		}
		if !ack.Duplicate { // a duplicate means that the window has not elapsed
			return
		}
	}
}

func proof(ingest string) doctor.Proof {
	return doctor.Proof{IngestURL: ingest, Callbacks: 20, Every: time.Millisecond, RetryFor: time.Minute}
}

func TestTheProofCountsLostDoubledAndRefusedEvents(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		// first and second respond to the first two attempts at the first event.
		first, second func(store func()) int
		retryFor      time.Duration
		want          doctor.Outcome
		failed        string
	}{
		"no loss": {
			first:  func(store func()) int { store(); return 202 },
			second: func(func()) int { return 200 },
			want:   doctor.Outcome{Sent: 20, Attempts: 40, Accepted: 20, Stored: 20},
		},
		"refused, then accepted": {
			first:  func(func()) int { return 503 },
			second: func(store func()) int { store(); return 202 },
			want:   doctor.Outcome{Sent: 20, Attempts: 41, Refused: 1, Accepted: 20, Stored: 20},
		},
		"accepted and lost": {
			first:  func(func()) int { return 202 },
			second: func(func()) int { return 200 },
			want:   doctor.Outcome{Sent: 20, Attempts: 40, Accepted: 20, Stored: 19, Lost: 1},
			failed: "of 20 callbacks 1 lost",
		},
		"stored again": {
			first:  func(store func()) int { store(); return 202 },
			second: func(store func()) int { store(); return 202 },
			want:   doctor.Outcome{Sent: 20, Attempts: 40, Accepted: 20, Stored: 19, Doubled: 1},
			failed: "of 20 callbacks 1 stored more than once",
		},
		"never accepted": {
			first: func(func()) int { return 401 }, retryFor: 3 * time.Second,
			want:   doctor.Outcome{Sent: 20, Accepted: 19, Stored: 19, NeverAccepted: 1},
			failed: "of 20 callbacks 1 never accepted",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js, cfg := log(t), forTests()
			ingest := fakeIngest(t, cfg, func(e *signingv1.SigningEvent, number, attempt int) int {
				in := func() { store(t, js, e) }
				switch {
				case number == 1 && (attempt == 1 || c.second == nil):
					return c.first(in)
				case number == 1 && attempt == 2:
					return c.second(in)
				case attempt == 1:
					in()
					return http.StatusAccepted
				default:
					return http.StatusOK
				}
			})
			p := proof(ingest)
			if c.retryFor > 0 {
				p.RetryFor = c.retryFor
			}
			got, err := p.Prove(t.Context(), cfg, js)
			refused := got.Refused > 0
			if c.second == nil { // the number of attempts, and an interruption of the last one by the end, depend on the machine's speed
				got.Attempts, got.Refused, got.Unanswered = 0, 0, 0
			}
			if err != nil || got != c.want {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
			if failed := got.Failed(); c.failed == "" && failed != nil || c.failed != "" && (failed == nil || failed.Error() != c.failed) {
				t.Errorf("failed: %v, want %q", failed, c.failed)
			}
			if got.Refused > 0 != got.Interrupted() || refused != (c.second == nil || c.want.Refused > 0) {
				t.Errorf("interrupted: %v, refused: %v", got.Interrupted(), refused)
			}
		})
	}
}

func TestTheKillCommandRunsWhileCallbacksAreInFlight(t *testing.T) {
	t.Parallel()
	js, cfg := log(t), forTests()
	var kills atomic.Int64
	ingest := fakeIngest(t, cfg, func(e *signingv1.SigningEvent, _, attempt int) int {
		if attempt == 1 {
			store(t, js, e)
		}
		return http.StatusOK
	})
	p := proof(ingest)
	p.Kills, p.Kill = 3, func(context.Context) error { kills.Add(1); return nil }
	if got, err := p.Prove(t.Context(), cfg, js); err != nil || got.Kills != 3 || kills.Load() != 3 || got.Stored != 20 {
		t.Errorf("%+v, %v; the kill command ran %d times", got, err, kills.Load())
	}
	p.Kill = func(context.Context) error { return errors.New("exit status 1") }
	if got, err := p.Prove(t.Context(), cfg, js); err == nil {
		t.Errorf("a kill command that fails: %+v", got)
	}
}

func TestTheProofRefusesARealInstallation(t *testing.T) {
	t.Parallel()
	js := log(t)
	requests := new(atomic.Int64)
	ingest := fakeIngest(t, forTests(), func(e *signingv1.SigningEvent, _, attempt int) int {
		requests.Add(1)
		if attempt == 1 {
			store(t, js, e)
		}
		return http.StatusOK
	})
	refused := func(what string, cfg config.Config) {
		t.Helper()
		before := requests.Load()
		if got, err := proof(ingest).Prove(t.Context(), cfg, js); !errors.Is(err, doctor.ErrNotATest) || requests.Load() != before {
			t.Errorf("%s: %+v, %v, %d requests", what, got, err, requests.Load()-before)
		}
	}
	cfg := forTests()
	cfg.Sources[0].Name = "acme"
	refused("a source of another name", cfg)
	refused("no source", config.Config{})
	if got, err := proof(ingest).Prove(t.Context(), forTests(), js); err != nil || got.Stored != 20 {
		t.Errorf("an installation for tests: %+v, %v", got, err)
	}
	store(t, js, &signingv1.SigningEvent{Id: "1", Source: "acme", Provider: "clickwrap", Type: "document.sent", Document: &signingv1.Document{Id: "d"}})
	refused("another source's event in the log", forTests())
}
