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

// A recorded callback comes again when the memories have forgotten it: an attacker replays it, or the provider's own button sends
// it. PleaseSign signs no time of sending. Nobody is told a second time.
//
// The test cannot move the clocks of the broker and of Redis. It takes away what has expired by then: ingest's keys after 4 days,
// the senders' and NOTIFY after 15, the document's events after 90. It makes the window in which a stream itself refuses an id
// short. The bodies are dated back as far, so what is left is what would be left, but for the times at which the log stored it.
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
			if provider == "clickwrap" { // its time is not signed: whoever has the token writes what he wants
				l.forged = append(l.forged, body(l.document, stamp(now)), body(l.document, ""), body(l.document, stamp(now.Add(-100*day))))
			}
			all = append(all, l)
		}
	}
	for i, l := range all {
		s.tellOf(l, i)
		s.accepts(t, l.document, l.callback)
	}
	told := func(l late) (texts, letters int) {
		return len(s.world.textsWith(l.title)), len(s.world.lettersWith(l.title))
	}
	for _, l := range all {
		s.Until(t, l.document+" is told by text and by letter", func() bool {
			texts, letters := told(l)
			return texts == 1 && letters == 1
		})
	}
	once := func(when string) {
		t.Helper()
		s.Idle(t)
		for _, l := range all {
			if texts, letters := told(l); texts != 1 || letters != 1 {
				t.Errorf("%s: %s is told by %d texts and %d letters", when, l.document, texts, letters)
			}
		}
	}

	for _, row := range []struct {
		when   string
		forget *regexp.Regexp // the keys of Redis that have gone by then
		notify bool           // NOTIFY has gone, too
	}{
		{"after 4 days", regexp.MustCompile(`(^|:)i:`), false},
		{"after 16 days", regexp.MustCompile(`.`), true},                      // the epoch with them: Redis was emptied
		{"after a restore of Redis", regexp.MustCompile(`:[^:]{12,}$`), true}, // the epoch is kept: a copy without them was restored
	} {
		s.forget(t, row.forget)
		if row.notify {
			s.purge(t, "NOTIFY", ">")
		}
		for _, l := range all {
			// Redis forgets no callback of today by itself, but it can be emptied or restored. Then the log may hold a second copy.
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

	// After the log's time, nothing is left that tells what was sent. Only the callback's own time tells that it is old.
	s.forget(t, regexp.MustCompile(`.`))
	s.purge(t, "NOTIFY", ">")
	for _, l := range all {
		if l.age != "91d" {
			continue
		}
		s.purge(t, "SIGNING", "signing.v1.*.*.*.*."+l.document)
		s.accepts(t, l.document+", which the log has forgotten", l.callback)
		s.Until(t, "the log says that nobody is told of "+l.document, func() bool {
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

	// The control: what is new is told.
	honest := late{document: "late-honest", title: "Late-honest-end", provider: "pleasesign", callback: pleasesign("replayed", pleasesignSent("late-honest"))}
	s.tellOf(honest, len(all))
	s.accepts(t, "an honest callback", honest.callback)
	s.Until(t, "it is told", func() bool { texts, letters := told(honest); return texts == 1 && letters == 1 })
}

// late is one recorded callback about one document.
type late struct {
	document, title, provider, age string
	callback                       callback
	forged                         []callback // the same fact with another time, where the time is not signed
}

func stamp(t time.Time) string { return t.Format("2006-01-02T15:04:05Z") }

// field is one more field of a JSON object; nothing without a text.
func field(name, text string) string {
	if text == "" {
		return ""
	}
	return fmt.Sprintf(`,%q:%q`, name, text)
}

// newLateStand is a stand without Kafka, in which streams refuse an id for a moment only.
func newLateStand(t *testing.T) *stand {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{world: newWorld(t), key: key}
	s.Env = testenv.Parts(t, s.settings)
	for _, name := range []string{"SIGNING", "NOTIFY"} {
		s.ShortDuplicateWindow(t, name)
	}
	for _, name := range testenv.Services[1:] {
		s.StartService(t, name, name)
	}
	return s
}

// tellOf sets the response of the document's provider: one signer with their own address and number.
func (s *stand) tellOf(l late, n int) {
	email := fmt.Sprintf("late%d@signer.example", n)
	switch l.provider {
	case "clickwrap":
		s.world.tell("/v1.1/requests/"+l.document, request(l.title, signer{ID: "p", Email: email, Mobile: fmt.Sprintf("+1317555%04d", 100+n)}))
	case "pleasesign":
		s.world.tell("/document/"+l.document, paper(l.title, person{ID: "p", Email: email, Mobile: fmt.Sprintf("614915700%02d", n)}))
	default:
		s.world.tell("/api/v1/document/"+l.document+"/", deed(l.title, party{ID: "p", Email: email, Tel: fmt.Sprintf("+4477009001%02d", n)}))
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
