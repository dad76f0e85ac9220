package clickwrap_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/providers/clickwrap"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

const token = signingv1.Verification_VERIFICATION_TOKEN

func TestSettingsThatAuthenticateNothingAreRefused(t *testing.T) {
	t.Parallel()
	for name, secrets := range map[string][]string{"none": nil, "an empty one": {"12345", ""}} {
		_, err := clickwrap.Pack.Webhook(clickwrap.Settings.Source("demo", clickwrap.Source{Webhook: clickwrap.Webhook{Secrets: secrets}}))
		if err == nil || !strings.Contains(err.Error(), "webhook.secrets") || strings.Contains(err.Error(), "12345") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTwoTokensAreRefused(t *testing.T) {
	t.Parallel()
	w := newWebhook(t)
	r := post(`{}`)
	r.Header["Pactsafe-Webhook-Token"] = []string{"12345", "other"}
	if v, err := w.Verify(r); !errors.Is(err, pack.ErrUnauthentic) {
		t.Errorf("%v, %v", v, err)
	}
	r.Header["Pactsafe-Webhook-Token"] = []string{"12345"}
	if v, err := w.Verify(r); err != nil || v.By != token {
		t.Errorf("control: %v, %v", v, err)
	}
}

func TestGetAndPostReportOneFact(t *testing.T) {
	t.Parallel()
	w := newWebhook(t)
	posted := events(t, w, sample(t, "request-signed"))
	got := events(t, w, sample(t, "get-request-signed"))
	if posted[0].GetId() != got[0].GetId() {
		t.Error("the ids differ")
	}
	r := sample(t, "get-request-signed")
	r.Body = []byte(`{"id":"x","event_type":"request_complete","request":"y"}`)
	if e := events(t, w, r)[0]; e.GetType() != "recipient.signed" {
		t.Errorf("GET used the body: %s", e.GetType())
	}
	p := sample(t, "request-signed")
	p.Query = url.Values{"event_type": {"request_complete"}, "request": {"y"}}
	if e := events(t, w, p)[0]; e.GetType() != "recipient.signed" || e.GetDocument().GetId() == "y" {
		t.Errorf("POST used the query: %s", e.GetType())
	}
}

func TestOneFactOneID(t *testing.T) {
	t.Parallel()
	w := newWebhook(t)
	id := func(body string) string { t.Helper(); return events(t, w, post(body))[0].GetId() }
	for name, tt := range map[string]struct {
		a, b string
		same bool
	}{
		"a retry with a new id": {
			`{"event_type":"request_complete","request":"R","id":"1"}`, `{"event_type":"request_complete","request":"R","id":"2"}`, true,
		},
		"two requests": {
			`{"event_type":"request_complete","request":"R","id":"1"}`, `{"event_type":"request_complete","request":"S","id":"1"}`, false,
		},
		"two signers": {
			`{"event_type":"request_signed","request":"R","signer":"1","id":"1"}`, `{"event_type":"request_signed","request":"R","signer":"2","id":"1"}`, false,
		},
		"signatures without a person": {
			`{"event_type":"request_signed","request":"R","id":"1"}`, `{"event_type":"request_signed","request":"R","id":"2"}`, false,
		},
		"sent again on purpose": {
			`{"event_type":"request_sent","request":"R","activity":"1","id":"1"}`, `{"event_type":"request_sent","request":"R","activity":"2","id":"1"}`, false,
		},
		"one sending reported twice": {
			`{"event_type":"request_sent","request":"R","activity":"1","id":"1"}`, `{"event_type":"request_sent","request":"R","activity":"1","id":"2"}`, true,
		},
		"sent again, without activity": {
			`{"event_type":"request_sent","request":"R","id":"1"}`, `{"event_type":"request_sent","request":"R","id":"2"}`, false,
		},
		"one person declines two click-throughs": {
			`{"event_type":"activity_disagreed","signer_id":"P","contract":1,"id":"1"}`, `{"event_type":"activity_disagreed","signer_id":"P","contract":2,"id":"2"}`, false,
		},
		"one request's contracts, declined by one person": {
			`{"event_type":"activity_disagreed","request":"R","signer_id":"P","contract":1,"activity":"A1","id":"1"}`, `{"event_type":"activity_disagreed","request":"R","signer_id":"P","contract":2,"activity":"A2","id":"2"}`, false,
		},
		"two contracts under one activity": {
			`{"event_type":"activity_disagreed","request":"R","signer_id":"P","contract":1,"activity":"A","id":"1"}`, `{"event_type":"activity_disagreed","request":"R","signer_id":"P","contract":2,"activity":"A","id":"2"}`, false,
		},
		"one contract declined in two sendings": {
			`{"event_type":"activity_disagreed","request":"R","signer_id":"P","contract":1,"activity":"A1","id":"1"}`, `{"event_type":"activity_disagreed","request":"R","signer_id":"P","contract":1,"activity":"A2","id":"2"}`, false,
		},
		"one decline reported twice": {
			`{"event_type":"activity_disagreed","request":"R","signer_id":"P","contract":1,"activity":"A1","id":"1"}`, `{"event_type":"activity_disagreed","request":"R","signer_id":"P","contract":"1","activity":"A1","id":"2"}`, true,
		},
		"expired twice, by its own time": {
			`{"event_type":"request_expired","request":"R","created_time":"2026-11-02T10:00:00Z","id":"1"}`, `{"event_type":"request_expired","request":"R","created_time":"2026-11-04T10:00:00Z","id":"2"}`, false,
		},
		"one expiry, its time written in two ways": {
			`{"event_type":"request_expired","request":"R","created_time":"2026-11-02T10:00:00Z","updated_time":"2026-11-02T10:00:01Z","id":"1"}`, `{"event_type":"request_expired","request":"R","created_time":"2026-11-02 10:00:00 UTC","updated_time":"2026-11-02T11:00:00Z","id":"2"}`, true,
		},
		"expired twice, by its activity": {
			`{"event_type":"request_expired","request":"R","activity":"A1","created_time":"2026-11-02T10:00:00Z","id":"1"}`, `{"event_type":"request_expired","request":"R","activity":"A2","created_time":"2026-11-02T10:00:00Z","id":"2"}`, false,
		},
		"expired twice, without time": {
			`{"event_type":"request_expired","request":"R","id":"1"}`, `{"event_type":"request_expired","request":"R","id":"2"}`, false,
		},
		"expired without created_time, reported twice": {
			`{"event_type":"request_expired","request":"R","updated_time":"2026-11-02T10:00:00Z","id":"1"}`, `{"event_type":"request_expired","request":"R","updated_time":"2026-11-02T11:00:00Z","id":"1"}`, true,
		},
		"one person signs in two sendings": {
			`{"event_type":"request_signed","request":"R","signer":"P","created_time":"2026-11-02T10:00:00Z","id":"1"}`, `{"event_type":"request_signed","request":"R","signer":"P","created_time":"2026-11-04T10:00:00Z","id":"2"}`, false,
		},
		"one signature reported twice": {
			`{"event_type":"request_signed","request":"R","signer":"P","created_time":"2026-11-02T10:00:00Z","id":"1"}`, `{"event_type":"request_signed","request":"R","signer":"P","created_time":"2026-11-02T10:00:00.000+0000","id":"2"}`, true,
		},
		"an activity that is the word null distinguishes no events": {
			`{"event_type":"request_sent","request":"R","activity":"null","id":"1"}`, `{"event_type":"request_sent","request":"R","activity":"null","id":"2"}`, false,
		},
		"a signer who is the word null": {
			`{"event_type":"request_signed","request":"R","signer":"null","activity":"A","id":"1"}`, `{"event_type":"request_signed","request":"R","signer":"null","activity":"A","id":"2"}`, false,
		},
		"a signer who is the word None": {
			`{"event_type":"activity_disagreed","request":"R","signer_id":"None","id":"1"}`, `{"event_type":"activity_disagreed","request":"R","signer_id":"None","id":"2"}`, false,
		},
		"one visit reported twice": {
			`{"event_type":"activity_visited","request":"R","id":"1"}`, `{"event_type":"activity_visited","request":"R","id":"1"}`, true,
		},
		"one id that the provider gives to events of two requests": {
			`{"event_type":"activity_visited","request":"R1","id":0}`, `{"event_type":"activity_visited","request":"R2","id":0}`, false,
		},
		"one id, two persons": {
			`{"event_type":"activity_visited","request":"R","signer_id":"P1","id":"1"}`, `{"event_type":"activity_visited","request":"R","signer_id":"P2","id":"1"}`, false,
		},
		"one id, two persons, no request": {
			`{"event_type":"activity_agreed","signer_id":"P1","id":"1"}`, `{"event_type":"activity_agreed","signer_id":"P2","id":"1"}`, false,
		},
		"one id, an unknown type, two requests": {
			`{"event_type":"request_new","request":"R1","id":"1"}`, `{"event_type":"request_new","request":"R2","id":"1"}`, false,
		},
		"two unknown types, one id": {
			`{"event_type":"activity_a","id":"1"}`, `{"event_type":"activity_b","id":"1"}`, false,
		},
	} {
		if same := id(tt.a) == id(tt.b); same != tt.same {
			t.Errorf("%s: the same is %v", name, same)
		}
	}
}

func TestUnreadableCallbacksAreQuarantined(t *testing.T) {
	t.Parallel()
	w := newWebhook(t)
	for body, reason := range map[string]string{
		``:     "not-json",
		`null`: "not-json",
		`[{"id":"1","event_type":"request_sent"}]`: "not-json",
		`{"id":"1"}`:                                    "event-type-missing",
		`{"id":"1","event_type":""}`:                    "event-type-missing",
		`{"event_type":"activity_agreed"}`:              "id-missing",
		`{"event_type":"activity_agreed","id":{"a":1}}`: "id-missing",
		`{"event_type":"activity_agreed","id":["a"]}`:   "id-missing",
		`{"event_type":"request_sent","id":"1"}`:        "request-missing",
		`{"event_type":"request_new","id":"1"}`:         "request-missing",
		"{\"id\":\"\xff\"}":                             "not-text",
	} {
		got, err := w.Normalize(post(body), token)
		var u *pack.UnreadableError
		if !errors.As(err, &u) || u.Reason != reason {
			t.Errorf("%s: %v, %v; want %s", body, got, err, reason)
		}
	}
}

func TestAPlaceholderIsNotAnID(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"null", "NULL", "undefined", "None", "nil", "[object Object]", "N/A", " ", "-", "\u200b", "00000000-0000-0000-0000-000000000000"} {
		e := events(t, newWebhook(t), post(`{"event_type":"request_signed","request":"R","signer":"`+word+`","id":"1"}`))[0]
		if e.GetRecipient() != nil || e.GetAttributes()["signer"] != word {
			t.Errorf("%q: %v, kept %q", word, e.GetRecipient(), e.GetAttributes()["signer"])
		}
		e = events(t, newWebhook(t), post(`{"event_type":"request_signed","request":"R","signer":"`+word+`","signer_id":"P","id":"1"}`))[0]
		if e.GetRecipient().GetId() != "P" {
			t.Errorf("%q beside a signer_id: %v", word, e.GetRecipient())
		}
	}
}

func TestAnUnknownEventHasNoStrongMeaning(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"request_completed", "REQUEST_COMPLETE", "request_complete ", "request_declined", "complete", "activity_signed", "null"} {
		e := events(t, newWebhook(t), post(`{"event_type":"`+name+`","request":"R","id":"1"}`))[0]
		if e.GetType() != "other.recorded" || e.GetProviderType() != name {
			t.Errorf("%q is %s of %q", name, e.GetType(), e.GetProviderType())
		}
	}
}

func TestTheEventsOwnTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ fields, at, unread string }{
		{`"created_time":"2017-07-19T16:15:43.520Z"`, "2017-07-19T16:15:43.52Z", ""},
		{`"created_time":"2017-07-19T16:15:43.520+0000"`, "2017-07-19T16:15:43.52Z", ""},
		{`"created_time":"2017-07-19T16:15:43.520 0000"`, "2017-07-19T16:15:43.52Z", ""}, // a GET whose "+" was not escaped
		{`"created_time":"2025-03-11 18:05:30 UTC"`, "2025-03-11T18:05:30Z", ""},
		{`"created_time":1500480943520`, "2017-07-19T16:15:43.52Z", ""},
		{`"created_time":"1500480943"`, "2017-07-19T16:15:43Z", ""},
		{`"updated_time":"2017-07-19T16:15:43.520Z"`, "2017-07-19T16:15:43.52Z", ""},
		{`"created_time":null,"updated_time":"2017-07-19T16:15:43.520Z"`, "2017-07-19T16:15:43.52Z", ""},
		{`"created_time":"yesterday","updated_time":"2017-07-19T16:15:43.520Z"`, "2017-07-19T16:15:43.52Z", "created_time"},
		{`"created_time":"yesterday","updated_time":"03/04/2025 10:00"`, "", "created_time,updated_time"},
		{`"created_time":"0000-01-01T00:00:00Z"`, "", "created_time"},
		{`"created_time":["2017-07-19T16:15:43.520Z"]`, "", "created_time"},
		{`"created_time":""`, "", ""},
		{`"created_time":{"$date":"2017-07-19T16:15:43.520Z"}`, "2017-07-19T16:15:43.52Z", ""},
		{`"created_time":{"$date":1500480943520}`, "2017-07-19T16:15:43.52Z", ""},
		{`"created_time":{"$date":{"$numberLong":"1500480943520"}}`, "2017-07-19T16:15:43.52Z", ""},
		{`"created_time":{"seconds":1500480943}`, "", "created_time"},
		{`"created_time":{"date":"2017-07-19"},"updated_time":"2017-07-19T16:15:43.520Z"`, "2017-07-19T16:15:43.52Z", "created_time"},
		{`"created_time":"0001-01-01T00:00:00Z"`, "", "created_time"},
		{`"created_time":"2017-07-19T16:15:43[Europe/Berlin]"`, "", "created_time"},
		{`"site":2`, "", ""},
	} {
		e := events(t, newWebhook(t), post(`{"event_type":"test_event","id":"1",`+c.fields+`}`))[0]
		at := ""
		if e.GetOccurredAt() != nil {
			at = e.GetOccurredAt().AsTime().Format(time.RFC3339Nano)
		}
		if at != c.at || e.GetAttributes()[pack.TimeUnread] != c.unread {
			t.Errorf("%s: at %q, unread %q", c.fields, at, e.GetAttributes()[pack.TimeUnread])
		}
		if name, _, _ := strings.Cut(strings.Trim(c.unread, `"`), ","); name != "" && e.GetAttributes()[name] == "" && !strings.Contains(c.fields, "{") {
			t.Errorf("%s: the raw text of %s is missing", c.fields, name)
		}
	}
}

// A 1 KiB callback must take less than 15 us: ingest has 70 us for everything.
func BenchmarkNormalize(b *testing.B) {
	w := newWebhook(b)
	r := sample(b, "activity-agreed-custom-data")
	b.SetBytes(int64(len(r.Body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Normalize(r, token); err != nil {
			b.Fatal(err)
		}
	}
}

func newWebhook(tb testing.TB) pack.Webhook {
	tb.Helper()
	w, err := clickwrap.Pack.Webhook(setup.Source)
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

func sample(tb testing.TB, name string) pack.Request {
	tb.Helper()
	s, err := pack.ReadSample(clickwrap.Pack.Samples, name)
	if err != nil {
		tb.Fatal(err)
	}
	s.Request.ReceivedAt = time.Unix(1, 0)
	return s.Request
}

func post(body string) pack.Request {
	return pack.Request{Method: http.MethodPost, Header: http.Header{}, Body: []byte(body), ReceivedAt: time.Unix(1, 0)}
}

func events(tb testing.TB, w pack.Webhook, r pack.Request) []*signingv1.SigningEvent {
	tb.Helper()
	list, err := w.Normalize(r, token)
	if err != nil {
		tb.Fatal(err)
	}
	return list
}
