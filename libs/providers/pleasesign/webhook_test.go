package pleasesign_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/pleasesign"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

const hmac = signingv1.Verification_VERIFICATION_HMAC

func TestSettingsThatAuthenticateNothingAreRefused(t *testing.T) {
	t.Parallel()
	for name, secrets := range map[string][]string{"none": nil, "an empty one": {"s3cret", ""}} {
		_, err := pleasesign.Pack.Webhook(pleasesign.Settings.Source("demo", pleasesign.Source{Webhook: pleasesign.Webhook{Secrets: secrets}}))
		if err == nil || !strings.Contains(err.Error(), "webhook.secrets") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheDocumentedVector(t *testing.T) {
	t.Parallel()
	body := `{"id":"a366b74dc750a2c58d8179aaf3170f42","event":"document.created","document_id":"PLSDOC6b776e1a931ef27ca87e56b6fb","created_date":1609974510}`
	const want = "2859aa9815835fd023acef531d0cad4156bdc95ddc2208e7ed67db9ac976779c"
	if got := pleasesign.Sign("test", []byte(body)); got != want {
		t.Errorf("signature %s", got)
	}
	r := post(body)
	for signature, ok := range map[string]bool{want: true, strings.ToUpper(want): false, want[:63]: false, want + "\n": false, "": false} {
		r.Header.Set("X-PLEASESIGN-SIGNATURE", signature)
		if _, err := newWebhook(t, "other", "test").Verify(r); (err == nil) != ok {
			t.Errorf("%q: %v", signature, err)
		}
	}
	r.Header["X-Pleasesign-Signature"] = []string{want, want}
	if _, err := newWebhook(t, "test").Verify(r); !errors.Is(err, pack.ErrUnauthentic) {
		t.Error("two signatures:", err)
	}
}

func TestDatesAreReadInEveryForm(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`1531228693`:                        "2018-07-10T13:18:13Z",
		`"1531228693"`:                      "2018-07-10T13:18:13Z",
		`1531228693.25`:                     "2018-07-10T13:18:13.25Z",
		`1.531228693e9`:                     "2018-07-10T13:18:13Z",
		`1531228693000`:                     "2018-07-10T13:18:13Z",
		`"2018-07-10T13:18:13Z"`:            "2018-07-10T13:18:13Z",
		`"2018-07-10T23:18:13+1000"`:        "2018-07-10T13:18:13Z",
		`"Tue, 10 Jul 2018 13:18:13 +0000"`: "2018-07-10T13:18:13Z",
		`null`:                              "",
		`"soon"`:                            "",
		`true`:                              "",
		`[1531228693]`:                      "",
		`1e300`:                             "",
		`-1e11`:                             "",
		`"NaN"`:                             "",
		`"Infinity"`:                        "",
		`"10/07/2018 13:18"`:                "",
		`99999999999999`:                    "",
	} {
		e := events(t, newWebhook(t, "k"), `{"id":"1","event":"document.complete","document_id":"D","signed":"https://x","complete_date":`+text+`}`)[0]
		got := ""
		if e.GetOccurredAt() != nil {
			got = e.GetOccurredAt().AsTime().Format(time.RFC3339Nano)
		}
		if got != want {
			t.Errorf("%s is %q, want %q", text, got, want)
		}
		unread := ""
		if want == "" && text != "null" && text != `"NaN"` {
			unread = "complete_date"
		}
		if e.GetAttributes()[pack.TimeUnread] != unread {
			t.Errorf("%s: listed as unread: %q, want %q", text, e.GetAttributes()[pack.TimeUnread], unread)
		}
		link := e.GetLinks()[0]
		if (want == "") != (link.GetExpiresAt() == nil) || want != "" && link.GetExpiresAt().AsTime().Sub(e.GetOccurredAt().AsTime()) != 72*time.Hour {
			t.Errorf("%s: the link expires at %v", text, link.GetExpiresAt().AsTime())
		}
		if _, kept := e.GetAttributes()["complete_date"]; !kept {
			t.Errorf("%s: the raw date is missing", text)
		}
	}
}

func TestTheEventsOwnDate(t *testing.T) {
	t.Parallel()
	for fields, want := range map[string]string{
		`"event":"document.created","processed_date":1531228693,"created_date":1531228000`: "2018-07-10T13:18:13Z",
		`"event":"document.created","created_date":1531228693`:                             "2018-07-10T13:18:13Z",
		`"event":"document.created","processed_date":null,"created_date":1531228693`:       "2018-07-10T13:18:13Z",
		`"event":"document.complete","completed_date":1531228693`:                          "2018-07-10T13:18:13Z",
		`"event":"document.complete","complete_date":null,"sealed_date":1531228693`:        "",
		`"event":"document.complete","sealed_date":1531228693,"expiry_date":1631228693`:    "",
		`"event":"document.expiring","expiry_date":1631228693,"warned_date":1531228693`:    "",
		`"event":"document.archived","archived_date":"2018-07-10 13:18:13"`:                "2018-07-10T13:18:13Z",
	} {
		e := events(t, newWebhook(t, "k"), `{"id":"1","document_id":"D",`+fields+`}`)[0]
		got := ""
		if e.GetOccurredAt() != nil {
			got = e.GetOccurredAt().AsTime().Format(time.RFC3339Nano)
		}
		if got != want {
			t.Errorf("%s is at %q, want %q", fields, got, want)
		}
	}
}

func TestAPlaceholderIsNotAnID(t *testing.T) {
	t.Parallel()
	w := newWebhook(t, "k")
	for _, word := range []string{"null", "undefined", "None"} {
		if got := events(t, w, `{"id":"1","event":"document.void","document_id":"D","recipient_id":"`+word+`"}`); len(got) != 1 || got[0].GetRecipient() != nil {
			t.Errorf("%q declined: %v", word, got)
		}
		if e := events(t, w, `{"id":"1","event":"recipient.complete","document_id":"D","recipient_id":"`+word+`","first_name":"Eric"}`)[0]; e.GetRecipient().GetId() != "" || e.GetAttributes()["recipient_id"] != word {
			t.Errorf("%q signed: %v", word, e)
		}
		one, two := events(t, w, `{"id":"1","event":"recipient.complete","document_id":"D","recipient_id":"`+word+`"}`), events(t, w, `{"id":"2","event":"recipient.complete","document_id":"D","recipient_id":"`+word+`"}`)
		if one[0].GetId() == two[0].GetId() {
			t.Errorf("two signatures of %q are one", word)
		}
	}
}

func TestAnUnknownEventHasNoStrongMeaning(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"document.completed", "Document.Complete", "document.complete ", "document.voided", "recipient.signed", "complete", "null"} {
		e := events(t, newWebhook(t, "k"), `{"id":"1","event":"`+name+`","document_id":"D","recipient_id":"R"}`)[0]
		if e.GetType() != "other.recorded" || e.GetProviderType() != name {
			t.Errorf("%q is %s of %q", name, e.GetType(), e.GetProviderType())
		}
	}
}

func TestAPayloadWithAKeyIsATestAndIsNotStored(t *testing.T) {
	t.Parallel()
	for fields, want := range map[string]string{
		`"verification_key":"test"`:                   "endpoint.tested",
		`"verification":"test"`:                       "endpoint.tested",
		`"Key":"test"`:                                "endpoint.tested",
		`"token":"0","token":"test"`:                  "endpoint.tested",
		`"note":"test"`:                               "endpoint.tested",
		`"custom":{"deep":{"key":"test"}}`:            "endpoint.tested",
		`"list":["a","test"]`:                         "endpoint.tested",
		`"list":[{"a":"test"}]`:                       "endpoint.tested",
		`"first_name":"test"`:                         "endpoint.tested",
		`"note":"n3wk3y-with-length"`:                 "endpoint.tested",
		`"url":"https://x/?key=n3wk3y-with-length&a"`: "endpoint.tested",
		`"note":"7"`:                                  "endpoint.tested",
		`"note":7`:                                    "endpoint.tested",
		`"list":[7]`:                                  "endpoint.tested",
		`"token":"another"`:                           "document.sent",
		`"note":"a test"`:                             "document.sent",
		`"note":"Test"`:                               "document.sent",
		`"note":77`:                                   "document.sent",
		`"list":["test-like"]`:                        "document.sent",
	} {
		e := events(t, newWebhook(t, "n3wk3y-with-length", "test", "7"), `{"id":"1","event":"document.created","document_id":"D",`+fields+`}`)[0]
		if e.GetType() != want {
			t.Errorf("%s is %s, want %s", fields, e.GetType(), want)
		}
		stored, err := protojson.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if text := string(stored); want == "endpoint.tested" && (strings.Contains(text, `"test"`) || strings.Contains(text, "n3wk3y") || strings.Contains(text, `"7"`)) {
			t.Errorf("%s: the key was stored: %s", fields, text)
		}
	}
	for _, name := range []string{"test", "webhook.test"} {
		if e := events(t, newWebhook(t, "k"), `{"id":"1","event":"`+name+`"}`)[0]; e.GetType() != "endpoint.tested" {
			t.Errorf("%s is %s", name, e.GetType())
		}
	}
}

func TestADeclinedDocumentNamesTheDecliner(t *testing.T) {
	t.Parallel()
	w := newWebhook(t, "k")
	got := events(t, w, `{"id":"1","event":"document.void","document_id":"D","recipient_id":"R"}`)
	if len(got) != 2 || got[0].GetType() != "document.declined" || got[1].GetType() != "recipient.declined" {
		t.Fatalf("%v", got)
	}
	if got[0].GetRecipient().GetId() != "R" || got[1].GetRecipient().GetId() != "R" || got[1].GetDocument().GetId() != "D" {
		t.Errorf("%v", got)
	}
	if got := events(t, w, `{"id":"1","event":"document.void","document_id":"D","recipient_id":null}`); len(got) != 1 {
		t.Errorf("without a recipient: %v", got)
	}
}

// The documentation's examples of all seven events have the same id.
func TestEventsWithOneProviderIDStaySeparate(t *testing.T) {
	t.Parallel()
	w := newWebhook(t, "k")
	seen := map[string]string{}
	for _, name := range []string{
		"document.created", "document.void", "document.complete", "recipient.sent", "recipient.failed", "recipient.opened",
		"recipient.complete", "document.archived", "recipient.reassigned", "test", "webhook.test",
	} {
		e := events(t, w, `{"id":"fe6de8a8ebfa5fc13edea83ab35c298c","event":"`+name+`","document_id":"D","recipient_id":"R"}`)[0]
		if other := seen[e.GetId()]; other != "" {
			t.Errorf("%s and %s have one id", name, other)
		}
		seen[e.GetId()] = name
	}
	again := events(t, w, `{"id":"another","event":"recipient.complete","document_id":"D","recipient_id":"R"}`)[0]
	if seen[again.GetId()] != "recipient.complete" {
		t.Error("one signature has two ids")
	}
}

func TestUnreadableCallbacksAreQuarantined(t *testing.T) {
	t.Parallel()
	w := newWebhook(t, "k")
	for body, reason := range map[string]string{
		``:           "not-json",
		`[]`:         "not-json",
		`{"id":"1"}`: "event-missing",
		`{"event":"document.created","document_id":"D"}`:                      "id-missing",
		`{"event":"document.created","id":"1"}`:                               "document-id-missing",
		`{"event":"recipient.sent","id":"1","document_id":null}`:              "document-id-missing",
		`{"a":` + strings.Repeat(`{"a":`, 64) + `1` + strings.Repeat(`}`, 65): "too-deep",
	} {
		got, err := w.Normalize(post(body), hmac)
		var u *pack.UnreadableError
		if !errors.As(err, &u) || u.Reason != reason {
			t.Errorf("%.60s: %v, %v; want %s", body, got, err, reason)
		}
	}
}

func newWebhook(t *testing.T, keys ...string) pack.Webhook {
	t.Helper()
	w, err := pleasesign.Pack.Webhook(pleasesign.Settings.Source("demo", pleasesign.Source{Webhook: pleasesign.Webhook{Secrets: keys}}))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func post(body string) pack.Request {
	return pack.Request{Method: http.MethodPost, Header: http.Header{}, Body: []byte(body), ReceivedAt: time.Unix(1, 0)}
}

func events(t *testing.T, w pack.Webhook, body string) []*signingv1.SigningEvent {
	t.Helper()
	list, err := w.Normalize(post(body), hmac)
	if err != nil {
		t.Fatal(err)
	}
	return list
}
