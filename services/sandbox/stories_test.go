package sandbox_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// What each story's callbacks are, and the events that the provider's own pack reads in them.
var storyCallbacks = []struct {
	provider, story string
	callbacks       []string
	events          []string
}{
	{
		"clickwrap", "seed",
		[]string{"request_sent", "request_signed", "request_signed", "request_complete", "request_sent", "request_signed"},
		[]string{"document.sent", "recipient.signed", "recipient.signed", "document.completed", "document.sent", "recipient.signed"},
	},
	{
		"clickwrap", "one-signer",
		[]string{"request_sent", "request_complete", "request_signed"},
		[]string{"document.sent", "document.completed", "recipient.signed"},
	},
	{
		"clickwrap", "two-signers",
		[]string{"request_sent", "request_signed", "request_signed", "request_complete"},
		[]string{"document.sent", "recipient.signed", "recipient.signed", "document.completed"},
	},
	{"clickwrap", "resend", []string{"request_sent", "request_sent"}, []string{"document.sent", "document.sent"}},
	{"clickwrap", "declined", []string{"request_sent", "activity_disagreed"}, []string{"document.sent", "recipient.declined"}},

	{
		"pleasesign", "one-signer",
		[]string{"document.created", "recipient.opened", "recipient.complete", "document.complete"},
		[]string{"document.sent", "recipient.opened", "recipient.signed", "document.completed"},
	},
	{
		"pleasesign", "two-signers",
		[]string{"document.created", "recipient.complete", "recipient.complete", "document.complete"},
		[]string{"document.sent", "recipient.signed", "recipient.signed", "document.completed"},
	},
	{
		"pleasesign", "ordered-signing",
		[]string{"document.created", "recipient.complete", "recipient.complete", "document.complete"},
		[]string{"document.sent", "recipient.signed", "recipient.signed", "document.completed"},
	},
	{
		"pleasesign", "declined",
		[]string{"document.created", "document.void"},
		[]string{"document.sent", "document.declined", "recipient.declined"},
	},
	{
		"pleasesign", "bounced",
		[]string{"document.created", "recipient.sent", "recipient.failed"},
		[]string{"document.sent", "recipient.sent", "recipient.undeliverable"},
	},
	{
		"pleasesign", "mixed",
		[]string{"document.created", "recipient.sent", "recipient.opened", "recipient.complete", "recipient.complete", "document.complete"},
		[]string{"document.sent", "recipient.sent", "recipient.opened", "recipient.signed", "recipient.signed", "document.completed"},
	},

	{
		"esign-v1", "one-signer",
		[]string{"all", "all", "signed"},
		[]string{
			"document.created", "recipient.queued",
			"recipient.opened", "recipient.signed", "document.completed",
			"document.completed",
		},
	},
	{
		"esign-v1", "two-signers",
		[]string{"all", "all", "all"},
		[]string{
			"document.created", "recipient.queued", "recipient.queued",
			"recipient.opened", "recipient.signed",
			"recipient.opened", "recipient.signed", "document.completed",
		},
	},
	{
		"esign-v1", "long-night",
		[]string{"all", "all"},
		slices.Repeat([]string{
			"document.created", "recipient.queued", "recipient.queued", "recipient.opened",
			"document.created", "recipient.queued",
			"recipient.signed", "recipient.opened", "recipient.signed", "document.completed",
		}, 2),
	},
	{
		"esign-v1", "declined",
		[]string{"all", "all"},
		[]string{"document.created", "recipient.queued", "recipient.queued", "recipient.opened", "recipient.declined", "document.declined"},
	},
}

func TestEveryStorysCallbacksAreAuthenticAndTellWhatHappened(t *testing.T) {
	t.Parallel()
	for _, want := range storyCallbacks {
		t.Run(want.provider+"/"+want.story, func(t *testing.T) {
			t.Parallel()
			in := newIngest(t)
			w := open(t, in.URL)
			var callbacks []string
			for _, c := range w.playOf(want.provider, want.story).Callbacks {
				callbacks = append(callbacks, c.Event)
			}
			if !slices.Equal(callbacks, want.callbacks) {
				t.Errorf("callbacks are %q, want %q", callbacks, want.callbacks)
			}
			var events []string
			for _, e := range normalized(t, in.calls) {
				events = append(events, e.kind)
			}
			if !slices.Equal(events, want.events) {
				t.Errorf("events are %q, want %q", events, want.events)
			}
		})
	}
}

// event is what a pack reads in a callback.
type event struct {
	kind, id, document string
	occurred           time.Time
}

// normalized reads callbacks as ingest does, with the source's own settings.
func normalized(t *testing.T, calls []call) []event {
	t.Helper()
	var events []event
	for _, c := range calls {
		p, w, door := readerOf(t, c)
		r := pack.Request{
			Method: http.MethodPost, Door: door, Header: c.header, Query: c.query, RawQuery: c.query.Encode(), Body: []byte(c.body), ReceivedAt: c.at,
		}
		v, err := w.Verify(r)
		if err != nil {
			t.Fatalf("%s: a callback to %q: %v", p.Name, door, err)
		}
		forged := r
		forged.Body = bytes.Replace(r.Body, []byte("status"), []byte("statue"), 1)
		forged.Header, forged.Query = http.Header{"Content-Type": r.Header["Content-Type"]}, nil
		if _, err := w.Verify(forged); err == nil { // the control: it is no pack that takes everything
			t.Fatalf("%s: what is not signed verifies", p.Name)
		}
		read, err := w.Normalize(r, v)
		if err != nil {
			t.Fatalf("%s: a callback to %q: %v\n%s", p.Name, door, err, c.body)
		}
		for _, e := range read {
			events = append(events, event{e.GetType(), e.GetId(), e.GetDocument().GetId(), e.GetOccurredAt().AsTime()})
		}
	}
	return events
}

// readerOf is the pack and the door that a callback came to.
func readerOf(t *testing.T, c call) (pack.Pack, pack.Webhook, string) {
	t.Helper()
	parts := strings.SplitN(strings.TrimPrefix(c.path, "POST /webhooks/"), "/", 3)
	p, ok := providers.ByName(parts[0])
	i := slices.IndexFunc(settings("").Sources, func(s config.Source) bool { return s.Provider == parts[0] && s.Name == parts[1] })
	if !ok || i < 0 {
		t.Fatalf("a callback came to %s", c.path)
	}
	w, err := p.Webhook(settings("").Sources[i])
	if err != nil {
		t.Fatal(err)
	}
	if len(parts) == 3 {
		return p, w, "/" + parts[2]
	}
	return p, w, ""
}

func TestSendingAgainIsAnotherEventAndATwiceToldBatchIsNot(t *testing.T) {
	t.Parallel()
	in := newIngest(t)
	w := open(t, in.URL)
	w.play("resend")
	if again := normalized(t, in.calls); again[0].id == again[1].id || again[0].document != again[1].document {
		t.Errorf("sent and sent again are %+v", again)
	}

	night := newIngest(t)
	w = open(t, night.URL)
	got := w.playOf("esign-v1", "long-night")
	if len(got.Documents) != 2 || len(night.calls) != 2 || night.calls[0].fields["data"] != night.calls[1].fields["data"] {
		t.Fatalf("%d documents, %d batches", len(got.Documents), len(night.calls))
	}
	events := normalized(t, night.calls)
	first, last := events[0].occurred, events[len(events)-1].occurred
	if span := last.Sub(first); span < 6*time.Hour || span > 9*time.Hour || time.Since(last) > time.Minute {
		t.Errorf("the night lasted %v and ended at %v", span, last)
	}
}

func TestBothCallbacksOfAFinishedDocumentTellOneFact(t *testing.T) {
	t.Parallel()
	in := newIngest(t)
	w := open(t, in.URL)
	id := w.playOf("esign-v1", "one-signer").Documents[0]
	var ends []event
	for _, e := range normalized(t, in.calls) {
		if e.kind == "document.completed" {
			ends = append(ends, e)
		}
	}
	if len(ends) != 2 || ends[0].id != ends[1].id || ends[0].document != id {
		t.Errorf("the ends are %+v, want one fact of %s twice", ends, id)
	}
	if token := in.calls[2].query.Get("token"); in.calls[2].path != "POST /webhooks/esign-v1/gb/signed" || token != "demo" {
		t.Errorf("the second came to %s with the token %q", in.calls[2].path, token)
	}
}

// toldStory is a story as GET /api/stories tells it, by its literal names.
type toldStory struct {
	Provider    string
	Story       string
	Title       string
	Description string
	Messages    []struct{ Kind, Channel, To string }
}

func TestStoriesAreListedWithTheMessagesThatMustCome(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	listed := read[[]toldStory](t, w.get("/api/stories"))
	for i, s := range listed {
		if i >= len(storyCallbacks) || s.Provider != storyCallbacks[i].provider || s.Story != storyCallbacks[i].story {
			t.Errorf("story %d is %s/%s", i, s.Provider, s.Story)
		}
		if s.Title == "" || s.Description == "" || len(s.Messages) == 0 {
			t.Errorf("%s/%s is told as %+v", s.Provider, s.Story, s)
		}
		for _, m := range s.Messages {
			number := strings.Trim(m.To, "0123456789") == "" && len(m.To) >= 11
			address := strings.HasSuffix(m.To, "@example.com") || m.To == "sender"
			if (m.Channel == "sms" && !number) || (m.Channel == "email" && !address) {
				t.Errorf("%s/%s: a message is %+v", s.Provider, s.Story, m)
			}
		}
	}
	if len(listed) != len(storyCallbacks) {
		t.Errorf("%d stories are listed, want %d", len(listed), len(storyCallbacks))
	}
	if got := len(listed[0].Messages); got != 13 {
		t.Errorf("the guide's flows make %d messages, want 13", got)
	}
}
