package security

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/testenv"
)

// A recorded callback is repeated after the dedupe stores have lost it, by an attacker or by the provider's own button. PleaseSign does not sign a time of sending. No message is sent a second time.
//
// The test cannot move the clocks of NATS and Redis. It removes the expired data: ingest's keys after 4 days, the senders' keys and
// NOTIFY after 15, the document's events after 90. It shortens the streams' own duplicate window. The times in the bodies are as old, so
// the rest is as it would be, except for the log's own timestamps.
func TestReplaysAfterTheMemoryEnds(t *testing.T) {
	t.Parallel()
	s := newLateStand(t)
	const day = 24 * time.Hour
	now := time.Now().UTC()

	var all []late
	for provider, body := range map[string]func(document, at string) callback{
		"clickwrap": func(d, at string) callback {
			return clickwrap("replayed", fmt.Sprintf(`{"event_type":"request_sent","request":%q,"activity":"a-%[1]s","id":"e-%[1]s"%s}`, d, field("created_time", at)))
		},
		"pleasesign": func(d, at string) callback {
			return pleasesign("replayed", fmt.Sprintf(`{"id":"e-%s","event":"document.created","document_id":%[1]q%s}`, d, field("created_date", at)))
		},
		"esign-v1": func(d, at string) callback {
			return s.esignAll("replayed", fmt.Sprintf(`[{"name":"status","value":"10","resource_uri":"/api/v1/document/%s/"%s}]`, d, field("timestamp", at)))
		},
	} {
		for name, at := range map[string]string{
			"fresh": stamp(now), "4d": stamp(now.Add(-4*day - time.Hour)), "16d": stamp(now.Add(-16 * day)), "60d": stamp(now.Add(-60 * day)), "91d": stamp(now.Add(-91 * day)),
			"undated": "", "1970": "1970-01-01T00:00:00Z", "2090": "2090-01-01T00:00:00Z", "soon": stamp(now.Add(10 * time.Hour)), "nonsense": "yesterday",
		} {
			l := late{document: "late-" + provider + "-" + name, title: "Late-" + provider + "-" + name + "-end", provider: provider, age: name}
			l.callback = body(l.document, at)
			if provider == "clickwrap" { // its time is not signed, so a person with the token can change it
				l.forged = append(l.forged, body(l.document, stamp(now)), body(l.document, ""), body(l.document, stamp(now.Add(-100*day))))
			}
			all = append(all, l)
		}
	}
	for i, l := range all {
		s.setDocument(l, i)
		s.accepts(t, l.document, l.callback)
	}
	messages := func(l late) (texts, emails int) {
		return len(s.world.textsWith(l.title)), len(s.world.emailsWith(l.title))
	}
	for _, l := range all {
		s.Until(t, l.document+" has a text and an e-mail", func() bool {
			texts, emails := messages(l)
			return texts == 1 && emails == 1
		})
	}
	once := func(when string) {
		t.Helper()
		s.WaitIdle(t)
		for _, l := range all {
			if texts, emails := messages(l); texts != 1 || emails != 1 {
				t.Errorf("%s: %s has %d texts and %d e-mails", when, l.document, texts, emails)
			}
		}
	}

	for _, row := range []struct {
		when   string
		forget *regexp.Regexp // the keys of Redis that have expired
		notify bool           // NOTIFY has expired, too
	}{
		{"after 4 days", regexp.MustCompile(`(^|:)i:`), false},
		{"after 16 days", regexp.MustCompile(`.`), true},                      // including the epoch: Redis was emptied
		{"after a restore of Redis", regexp.MustCompile(`:[^:]{12,}$`), true}, // the epoch stays: a backup without the keys was restored
	} {
		s.forget(t, row.forget)
		if row.notify {
			s.purge(t, "NOTIFY", ">")
		}
		for _, l := range all {
			// Redis keeps today's callbacks, but can be emptied or restored. Then the log may hold a second copy.
			a, young := s.send(t, l.callback), l.age == "fresh" || l.age == "soon"
			if a.status != http.StatusOK && !young || a.status >= 300 {
				t.Errorf("%s: %s: %d %s", row.when, l.document, a.status, a.text)
			}
			if n := s.stored(t, "signing.v1.*.*.document.sent."+l.document) + s.stored(t, "signing.v1.*.*.document.created."+l.document); n != 1 && !young && l.forged == nil {
				t.Errorf("%s: the log holds %d events of %s", row.when, n, l.document)
			}
		}
		once(row.when)
		s.forget(t, row.forget)
		for _, l := range all {
			for _, c := range l.forged {
				if a := s.send(t, c); a.status >= 300 {
					t.Errorf("%s: %s with another time: %d %s", row.when, l.document, a.status, a.text)
				}
			}
		}
		once(row.when + ", with another time")
	}

	// After the log has expired, there is no record of the messages. Only the callback's own time shows its age.
	s.forget(t, regexp.MustCompile(`.`))
	s.purge(t, "NOTIFY", ">")
	for _, l := range all {
		if l.age != "91d" {
			continue
		}
		s.purge(t, "SIGNING", "signing.v1.*.*.*.*."+l.document)
		s.accepts(t, l.document+", expired in the log", l.callback)
		s.Until(t, "the log has no message about "+l.document, func() bool {
			return s.stored(t, "signing.v1.*.*.notification.suppressed."+l.document) == 2
		})
		s.each(t, "SIGNING", "signing.v1.*.*.*.*."+l.document, func(m *jetstream.RawStreamMsg) {
			e, err := event.Decode(m.Data)
			if err != nil || e.GetNotice() == nil && e.GetAttributes()[pack.OlderThanLog] != "true" || e.GetNotice() != nil && e.GetNotice().GetReason() != "older-than-the-log" {
				t.Errorf("%v, %v", e, err)
			}
		})
	}
	once("after the log's time")

	// The control: a new callback causes messages.
	honest := late{document: "late-honest", title: "Late-honest-end", provider: "pleasesign", callback: pleasesign("replayed", pleasesignSent("late-honest"))}
	s.setDocument(honest, len(all))
	s.accepts(t, "an honest callback", honest.callback)
	s.Until(t, "its messages have come", func() bool { texts, emails := messages(honest); return texts == 1 && emails == 1 })
}

// late is one recorded callback about one document.
type late struct {
	document, title, provider, age string
	callback                       callback
	forged                         []callback // the same fact with another time, if the time is not signed
}

func stamp(t time.Time) string { return t.Format("2006-01-02T15:04:05Z") }

// field is an additional field of a JSON object; empty without a text.
func field(name, text string) string {
	if text == "" {
		return ""
	}
	return fmt.Sprintf(`,%q:%q`, name, text)
}

// newLateStand is a stand without Kafka, with a short duplicate window.
func newLateStand(t *testing.T) *stand {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{world: newWorld(t), key: key}
	s.Env = testenv.Infrastructure(t, s.settings)
	for _, name := range []string{"SIGNING", "NOTIFY"} {
		s.ShortDuplicateWindow(t, name)
	}
	for _, name := range testenv.Services[1:] {
		s.StartService(t, name, name)
	}
	return s
}

// setDocument sets the response of the document's provider: one signer with an address and a number of their own.
func (s *stand) setDocument(l late, n int) {
	email := fmt.Sprintf("late%d@signer.example", n)
	switch l.provider {
	case "clickwrap":
		s.world.respondJSON("/v1.1/requests/"+l.document, clickwrapRequest(l.title, signer{ID: "p", Email: email, Mobile: fmt.Sprintf("+1317555%04d", 100+n)}))
	case "pleasesign":
		s.world.respondJSON("/document/"+l.document, pleasesignDocument(l.title, person{ID: "p", Email: email, Mobile: fmt.Sprintf("614915700%02d", n)}))
	default:
		s.world.respondJSON("/api/v1/document/"+l.document+"/", esignDocument(l.title, party{ID: "p", Email: email, Tel: fmt.Sprintf("+4477009001%02d", n)}))
	}
}

// forget removes keys of Redis, as their expiry would.
func (s *stand) forget(t *testing.T, keys *regexp.Regexp) {
	t.Helper()
	client := realtest.RedisClient(t, s.Redis.URL)
	all, err := client.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	gone := 0
	for _, key := range all {
		if keys.MatchString(key) && (!strings.Contains(key, "epoch") || keys.String() == ".") {
			gone++
			if err := client.Del(t.Context(), key).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if gone == 0 {
		t.Fatalf("no key of Redis matches %s: %q", keys, all)
	}
}

// purge removes messages of a stream, as their expiry would.
func (s *stand) purge(t *testing.T, stream, filter string) {
	t.Helper()
	found, err := s.JetStream(t).Stream(t.Context(), stream)
	if err == nil {
		err = found.Purge(t.Context(), jetstream.WithPurgeSubject(filter))
	}
	if err != nil {
		t.Fatal(err)
	}
}
