package console_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"html"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/servicetest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	archivesettings "github.com/signrelay/signrelay/services/archiver/settings"
	"github.com/signrelay/signrelay/services/console"
	consolesettings "github.com/signrelay/signrelay/services/console/settings"
)

// secretWords are the personal data of the story below. The first ones are in the hostile form.
var secretWords = []string{"Olivia", "Nguyen", "Wilson", "olivia.nguyen@example.com", "jack.wilson@example.com", "61491570006", "61491570156", "Secret contract", "Please sign, Jack"}

const hostile = `<script>alert(1)</script>"onx='`

// roles returns a bench whose reader has these roles.
func roles(t *testing.T, names ...string) *bench {
	t.Helper()
	return open(t, func(c *consolesettings.Console) { c.LocalRoles = names })
}

// openWith is roles with more settings.
func openWith(t *testing.T, names []string, change func(*config.Config)) *bench {
	t.Helper()
	realtest.Server(t, "NATS")
	cfg := config.Default().With(consolesettings.Section, archivesettings.Section)
	cfg.Sources = []config.Source{providers.NewSource("pleasesign", "onboarding", "webhook.secrets=test")}
	consolesettings.Section.In(&cfg).LocalRoles = names
	change(&cfg)
	return (&bench{Bench: servicetest.New(t, cfg), t: t}).restart()
}

// tell stores an event of a document.
func (b *bench) tell(id, eventType string, change func(*signingv1.SigningEvent)) *signingv1.SigningEvent {
	b.t.Helper()
	e := &signingv1.SigningEvent{
		Source: "onboarding", Provider: "pleasesign", Type: eventType, OccurredAt: timestamppb.New(b.Env.Now().Add(-time.Hour)), ReceivedAt: timestamppb.New(b.Env.Now().Add(-time.Hour)),
		Document: &signingv1.Document{Id: id}, Verification: signingv1.Verification_VERIFICATION_HMAC, ProviderType: "document.created",
	}
	if strings.HasPrefix(eventType, "notification.") {
		e.Verification = signingv1.Verification_VERIFICATION_INTERNAL
	}
	change(e)
	who := ""
	if e.GetRecipient() != nil {
		who = e.GetRecipient().GetId()
	}
	e.Id = event.OccurrenceOf(e, eventType, who, e.GetNotice().GetNotificationId(), e.GetNotice().GetChannel())
	b.Publish(event.Message(b.t.Context(), e))
	return e
}

var (
	first  = &signingv1.Recipient{Id: "r-1", FirstName: "Olivia", LastName: "Nguyen", Email: "olivia.nguyen@example.com", Mobile: "61491570006"}
	second = &signingv1.Recipient{Id: "r-2", FirstName: "Jack" + hostile, LastName: "Wilson", Email: "jack.wilson@example.com", Mobile: "61491570156"}
)

// story stores a document with two signers: one has signed, and the other one's text is held.
func (b *bench) story(id string) {
	title := func(e *signingv1.SigningEvent) { e.Document.Title = "Secret contract " + hostile }
	b.tell(id, event.DocumentSent, title)
	b.tell(id, event.RecipientSent, func(e *signingv1.SigningEvent) { e.Recipient = first })
	b.tell(id, event.RecipientSent, func(e *signingv1.SigningEvent) { e.Recipient = second })
	b.tell(id, event.RecipientSigned, func(e *signingv1.SigningEvent) { e.Recipient = first })
	notice := func(outcome string, who *signingv1.Recipient, channel string, n *signingv1.Notice) {
		b.tell(id, outcome, func(e *signingv1.SigningEvent) {
			e.Recipient, e.Notice = &signingv1.Recipient{Id: who.GetId()}, n
			n.Kind, n.Channel, n.NotificationId = "invitation", channel, "n-"+channel+who.GetId()
		})
	}
	notice(event.NotificationRequested, second, "email", &signingv1.Notice{})
	notice(event.NotificationSent, second, "email", &signingv1.Notice{Text: "Please sign, Jack: https://sign.example/l/…", Subject: "Please sign, Jack"})
	notice(event.NotificationRequested, second, "sms", &signingv1.Notice{})
	notice(event.NotificationDeferred, second, "sms", &signingv1.Notice{Reason: "bad-credentials", Fault: "operator"})
}

// callback stores an event with its callback.
func (b *bench) callback(id, body string) *signingv1.SigningEvent {
	b.t.Helper()
	return b.tell(id, event.DocumentCreated, func(e *signingv1.SigningEvent) {
		e.Callback = &signingv1.Callback{Id: event.CallbackID("onboarding", "pleasesign", "POST", "", "", []byte(body)), Method: "POST", Path: "/webhooks/pleasesign/onboarding", Body: []byte(body)}
	})
}

// remind schedules a reminder for tomorrow, as the reminder does.
func (b *bench) remind(id string, who *signingv1.Recipient) {
	b.t.Helper()
	due := time.Now().Add(24 * time.Hour)
	m, err := event.Message(b.t.Context(), &signingv1.SigningEvent{
		Id: "due-" + id + who.GetId(), Source: "onboarding", Provider: "pleasesign", Type: event.ReminderDue, OccurredAt: timestamppb.New(due), Document: &signingv1.Document{Id: id},
		Recipient: &signingv1.Recipient{Id: who.GetId()}, Verification: signingv1.Verification_VERIFICATION_INTERNAL, Attributes: map[string]string{"number": "1"},
	})
	if err == nil {
		m.Subject = flow.ReminderSubject("onboarding", "pleasesign", id, who.GetId())
		flow.Schedule(m, due, flow.DueSubject("onboarding", "pleasesign", id, who.GetId()))
	}
	b.Publish(m, err)
}

func pathOf(id string) string { return console.DocumentPath("pleasesign", "onboarding", id) }

func TestDocumentSaysWhoWasNotNotified(t *testing.T) {
	t.Parallel()
	b := roles(t, "look", "private")
	b.story("D1")
	_, page := b.get(b.browser(), pathOf("D1"))
	for _, want := range []string{"Who has not been notified, and why", "bad-credentials", "From callback to signature", "Olivia Nguyen", "Please sign, Jack", "the role private", "HMAC"} {
		if strings.Contains(page, want) != (want != "the role private") {
			t.Errorf("%q: %v", want, strings.Contains(page, want))
		}
	}
	if strings.Contains(page, "<script>alert") || strings.Contains(page, `"onx='`) {
		t.Error("a name is markup")
	}
	var data struct {
		Sentence string
		Untold   []struct{ Reason string }
		Lanes    []struct{ Name string }
		Timeline []struct{ Kind string }
	}
	_, body := b.do(b.browser(), http.MethodGet, pathOf("D1"), nil, "application/json")
	if err := json.Unmarshal([]byte(body), &data); err != nil || data.Sentence == "" || len(data.Untold) != 1 || data.Untold[0].Reason != "bad-credentials" || len(data.Lanes) != 2 {
		t.Fatalf("JSON: %v, %+v", err, data)
	}
	_, body = b.do(b.browser(), http.MethodGet, pathOf("D1")+"?show=problems", nil, "application/json")
	if err := json.Unmarshal([]byte(body), &data); err != nil || len(data.Timeline) != 1 {
		t.Fatalf("problems: %v, %s", err, body)
	}
	looks := 0
	for m, err := range (event.Log{JS: b.Env.JS, Stream: flow.Signing}).Messages(t.Context(), event.SubjectOf("onboarding", "pleasesign", event.OperatorActed, "D1"), time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e, _ := event.Decode(m.Data); e.GetAttributes()[event.AttributeAction] == "look" {
			looks++
		}
	}
	if looks != 1 {
		t.Errorf("%d looks are in the log, want 1 an hour", looks)
	}
}

// Without the role private, no response has a name, an address, a number, a title or a text.
func TestWithoutPrivateNothingIsPersonal(t *testing.T) {
	t.Parallel()
	b := roles(t, "look", "operate", "erase")
	b.story("D1")
	e := b.tell("D1", event.DocumentCreated, func(e *signingv1.SigningEvent) {
		e.Callback = &signingv1.Callback{Id: event.CallbackID("onboarding", "pleasesign", "POST", "", "", []byte("Olivia Nguyen")), Method: "POST", Body: []byte("Olivia Nguyen")}
	})
	path := pathOf("D1")
	for _, query := range []string{
		"", "?show=messages", "?detail=all", "?do=resend", "?do=resend&to=2", "?do=resend&to=9", "?do=cancel-reminders", "?do=erase", "?do=hold", "?do=replay", "?raw=" + e.GetId(),
		"?raw=" + e.GetId() + "&get=bytes", "?file=1", "?get=evidence", "?show=nothing", "?job=x",
	} {
		for _, accept := range []string{"text/html", "application/json", "text/csv"} {
			_, body := b.do(b.browser(), http.MethodGet, path+query, nil, accept)
			for _, secret := range secretWords {
				if strings.Contains(body, secret) {
					t.Errorf("%s as %s has %q", query, accept, secret)
				}
			}
		}
	}
	if response, _ := b.get(b.browser(), path+"?raw="+e.GetId()); response.StatusCode != http.StatusForbidden {
		t.Errorf("a raw callback: status %d", response.StatusCode)
	}
	_, page := b.get(b.browser(), path+"?do=hold")
	form := url.Values{"token": {b.token(page)}, "effect": {"another plan"}, "why": {"TICKET-1"}}
	response, page := b.do(b.browser(), http.MethodPost, path+"?do=hold", form, "text/html")
	if response.StatusCode != http.StatusConflict || slices.ContainsFunc(secretWords, func(s string) bool { return strings.Contains(page, s) }) {
		t.Errorf("a plan that does not hold: status %d", response.StatusCode)
	}
}

// An id may have any character that a URL can have.
func TestDocumentOfAnyIDOpens(t *testing.T) {
	t.Parallel()
	b := roles(t, "look")
	for _, id := range []string{"a/b//c", "ä ö/日本", `back\slash`, "100%", "?q=1&x#y", "mara@example.com", "_"} {
		b.tell(id, event.DocumentSent, func(*signingv1.SigningEvent) {})
		if response, page := b.get(b.browser(), pathOf(id)); response.StatusCode != http.StatusOK || !strings.Contains(page, "The document was sent") {
			t.Errorf("%q: status %d", id, response.StatusCode)
		}
	}
	for _, path := range []string{pathOf("unknown"), "/documents/pleasesign/%3E/x", "/documents/*/*/a"} {
		if response, page := b.get(b.browser(), path); response.StatusCode != http.StatusNotFound || !strings.Contains(page, "Compare the id") {
			t.Errorf("%s: status %d", path, response.StatusCode)
		}
	}
}

func TestRawCallbackIsVerifiedAgain(t *testing.T) {
	t.Parallel()
	b := roles(t, "private")
	body := []byte(`{"event":"document.created","name":"` + hostile + `"}`)
	e := b.tell("D1", event.DocumentSent, func(e *signingv1.SigningEvent) {
		e.Callback = &signingv1.Callback{Id: event.CallbackID("onboarding", "pleasesign", "POST", "", "", body), Method: "POST", Path: "/webhooks/pleasesign/onboarding", Body: body}
	})
	_, page := b.get(b.browser(), pathOf("D1")+"?raw="+e.GetId())
	if !strings.Contains(page, "Cannot be checked again") || strings.Contains(page, "<script>alert") {
		t.Errorf("page:\n%s", page)
	}
	response, raw := b.get(b.browser(), pathOf("D1")+"?raw="+e.GetId()+"&get=bytes")
	if raw != string(body) || response.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(response.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("the bytes: %q, %v", raw, response.Header)
	}
}

// A reader confirms what the page showed, and the job does it once.
func TestInvitationIsSentAgain(t *testing.T) {
	t.Parallel()
	b := roles(t, "operate")
	b.story("D1")
	c, path := b.browser(), pathOf("D1")
	_, page := b.get(c, path+"?do=resend&to=2&channel=email")
	if !strings.Contains(page, "Signer 2 gets the invitation once more") || !strings.Contains(page, "Send 1 message") {
		t.Fatalf("the plan:\n%s", page)
	}
	effect := regexp.MustCompile(`name="effect" value="([^"]+)"`).FindStringSubmatch(page)[1]
	form := url.Values{"token": {b.token(page)}, "effect": {effect}, "to": {"2"}, "channel": {"email"}}
	if response, page := b.do(c, http.MethodPost, path+"?do=resend", form, "text/html"); response.StatusCode != http.StatusBadRequest || !strings.Contains(page, "reason is empty") {
		t.Errorf("without a reason: status %d", response.StatusCode)
	}
	form.Set("why", "TICKET-7")
	response, _ := b.do(c, http.MethodPost, path+"?do=resend", form, "text/html")
	if response.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d", response.StatusCode)
	}
	if err := (operate.Runner{Operator: &operate.Operator{JS: b.Env.JS, Now: b.Env.Now}, Actions: operate.ConsoleActions}).RunOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := b.Count(flow.Signing, event.TypeFilter(event.ResendRequested)); n != 1 {
		t.Errorf("%d requests are in the log", n)
	}
	if _, page = b.get(c, response.Header.Get("Location")); !strings.Contains(page, "Done:</b> resend, 1 of 1 done") {
		t.Errorf("the job:\n%s", page)
	}
	if response, page := b.get(c, path+"?do=erase"); response.StatusCode != http.StatusForbidden || !strings.Contains(page, "takes the role erase") {
		t.Errorf("erase: status %d", response.StatusCode)
	}
	if n := b.Count(flow.Signing, event.TypeFilter(event.CorrectionRequested)); n != 0 {
		t.Errorf("%d corrections are in the log", n)
	}
}

// A person whom only the provider invites gets the provider's message once more.
func TestInvitationOfTheProviderIsSentAgain(t *testing.T) {
	t.Parallel()
	b := roles(t, "operate")
	b.tell("D1", event.RecipientSent, func(e *signingv1.SigningEvent) { e.Recipient = first })
	c, path := b.browser(), pathOf("D1")
	_, page := b.get(c, path+"?do=resend")
	for _, want := range []string{"the provider’s own message, from PleaseSign", "The provider sends its own message to 1 person once more.", ">Send 1 message</button>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the plan lacks %q:\n%s", want, page)
		}
	}
	b.tell("D2", event.RecipientSent, func(e *signingv1.SigningEvent) {
		e.Recipient, e.OccurredAt = first, timestamppb.New(b.Env.Now().Add(-time.Minute))
	})
	if _, page := b.get(c, pathOf("D2")+"?do=resend"); !strings.Contains(page, "PleaseSign wrote to the person at ") || strings.Contains(page, "Send 1 message") {
		t.Errorf("a minute after the provider's message:\n%s", page)
	}
}

// formOf returns the fields of the correction's form, and the names of those with a mistake.
func formOf(page string) (values url.Values, mistakes []string) {
	values = url.Values{}
	for _, m := range regexp.MustCompile(`<input id="([a-z_]+)" name="[a-z_]+" type="t[a-z]+"[^>]* value="([^"]*)"([^>]*)>`).FindAllStringSubmatch(page, -1) {
		values.Set(m[1], html.UnescapeString(m[2]))
		if strings.Contains(m[3], "aria-invalid") && strings.Contains(page, `id="`+m[1]+`-mistake"`) {
			mistakes = append(mistakes, m[1])
		}
	}
	return values, mistakes
}

// A reader with the roles corrects a person: the form has what the log knows, mistakes are beside their fields, the plan says what happens, and the
// page says what became of it.
func TestPersonIsCorrected(t *testing.T) {
	t.Parallel()
	b := roles(t, "operate", "private")
	b.story("D1")
	c, path := b.browser(), pathOf("D1")
	_, page := b.get(c, path+"?do=correct&to=2")
	form, _ := formOf(page)
	if form.Get("first_name") != "Jack"+hostile || form.Get("last_name") != "Wilson" || form.Get("email") != "jack.wilson@example.com" || form.Get("mobile") != "61491570156" {
		t.Fatalf("the form has %v:\n%s", form, page)
	}
	post := func(change url.Values) (*http.Response, string) {
		t.Helper()
		sent := url.Values{"token": {b.token(page)}, "to": {"2"}}
		for _, values := range []url.Values{form, change} {
			for key := range values {
				sent[key] = values[key]
			}
		}
		return b.do(c, http.MethodPost, path+"?do=correct", sent, "text/html")
	}
	response, wrong := post(url.Values{"last_name": {""}, "email": {"jack"}, "mobile": {"12"}})
	kept, mistakes := formOf(wrong)
	if response.StatusCode != http.StatusUnprocessableEntity || !slices.Equal(mistakes, []string{"last_name", "email", "mobile"}) || kept.Get("email") != "jack" || strings.Contains(wrong, "What would happen<") {
		t.Errorf("status %d, mistakes %v:\n%s", response.StatusCode, mistakes, wrong)
	}
	if _, same := post(url.Values{"first_name": {"Jack" + hostile}, "mobile": {"+61491570156"}}); strings.Contains(same, "<script>alert") {
		t.Error("a name is not escaped")
	}
	right := url.Values{"first_name": {"Jack"}, "email": {"jack@example.com"}, "mobile": {"+61 491 570 156"}}
	response, plan := post(right)
	for _, want := range []string{"First name: <b>Jack</b>", "E-mail address: <b>jack@example.com</b>", "Mobile number: <b>&#43;61491570156</b>", "The provider corrects the person, who is then invited again.", "links in earlier messages stop working", ">Correct 1 person</button>"} {
		if response.StatusCode != http.StatusOK || !strings.Contains(plan, want) {
			t.Errorf("status %d: the plan lacks %q:\n%s", response.StatusCode, want, plan)
		}
	}
	if n := b.Count(flow.Signing, event.TypeFilter(event.CorrectionRequested)); n != 0 {
		t.Fatal("a plan makes an order")
	}
	right.Set("effect", regexp.MustCompile(`name="effect" value="([^"]+)"`).FindStringSubmatch(plan)[1])
	if response, _ := post(right); response.StatusCode != http.StatusBadRequest {
		t.Errorf("without a reason: status %d", response.StatusCode)
	}
	right.Set("why", "TICKET-9")
	response, _ = post(right)
	if response.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d", response.StatusCode)
	}
	if err := (operate.Runner{Operator: &operate.Operator{JS: b.Env.JS, Now: b.Env.Now}, Actions: operate.ConsoleActions}).RunOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	var order *signingv1.SigningEvent
	for s, err := range (event.Log{JS: b.Env.JS, Stream: flow.Signing}).Document(t.Context(), event.Signer{Source: "onboarding", Provider: "pleasesign", Document: "D1"}, []string{event.CorrectionRequested}) {
		if err != nil {
			t.Fatal(err)
		}
		order = s.Event
	}
	if who := order.GetRecipient(); who.GetId() != "r-2" || who.GetFirstName() != "Jack" || who.GetEmail() != "jack@example.com" || who.GetMobile() != "+61491570156" || order.GetAttributes()["reason"] != "TICKET-9" {
		t.Errorf("%v", order)
	}
	job := response.Header.Get("Location")
	if _, page = b.get(c, job); !strings.Contains(page, "The order has no outcome yet.") || !strings.Contains(page, "is corrected, and then invited again") || !strings.Contains(page, "Corrected a person</b>, this machine") {
		t.Errorf("while the order waits:\n%s", page)
	}
	outcome := func(typ string, attributes map[string]string, who *signingv1.Recipient) {
		b.tell("D1", typ, func(e *signingv1.SigningEvent) {
			e.Verification, e.Recipient, e.Attributes, e.ReceivedAt = signingv1.Verification_VERIFICATION_INTERNAL, who, attributes, nil
			e.OccurredAt, e.Attributes[event.AttributeOrder] = order.GetOccurredAt(), order.GetId()
		})
	}
	outcome(event.CorrectionRefused, map[string]string{"reason": "refused", "message": "jack@example.com bounced"}, &signingv1.Recipient{Id: "r-2"})
	if _, page = b.get(c, job); !strings.Contains(page, "The person is not corrected: PleaseSign did not accept it: jack@example.com bounced.") || !strings.Contains(page, "notice warn\" id=\"job\"") {
		t.Errorf("a refusal:\n%s", page)
	}
}

// Without the role private, or without operate, the form is neither offered nor shown nor accepted.
func TestCorrectionTakesBothRoles(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{{"operate"}, {"look", "private"}, {"operate", "erase"}} {
		t.Run(strings.Join(names, " "), func(t *testing.T) {
			t.Parallel()
			b := roles(t, names...)
			b.story("D1")
			c, path := b.browser(), pathOf("D1")
			_, page := b.get(c, path)
			if offered := strings.Contains(page, "?do=correct"); offered {
				t.Error("the form is offered")
			}
			if !slices.Contains(names, "private") && strings.Contains(page, "Correct…") {
				t.Error("the page has the action")
			}
			form := url.Values{"token": {b.token(page)}, "to": {"2"}, "first_name": {"Jan"}, "last_name": {"Roe"}, "email": {"jan@example.com"}, "mobile": {""}, "why": {"TICKET-1"}, "effect": {"x"}}
			for _, accept := range []string{"text/html", "application/json"} {
				for _, method := range []string{http.MethodGet, http.MethodPost} {
					response, body := b.do(c, method, path+"?do=correct", map[string]url.Values{http.MethodPost: form}[method], accept)
					if response.StatusCode != http.StatusForbidden || !strings.Contains(body, "operate, private") || strings.Contains(body, "jack.wilson") {
						t.Errorf("%s as %s: status %d:\n%s", method, accept, response.StatusCode, body)
					}
				}
			}
			if n := b.Count(flow.Signing, event.TypeFilter(event.CorrectionRequested)); n != 0 {
				t.Errorf("%d orders", n)
			}
		})
	}
}

// The dead letters of a document are found without a filter, and each page reads only the new ones.
func TestDeadLettersOfADocument(t *testing.T) {
	t.Parallel()
	b := roles(t, "operate")
	for _, id := range []string{"D1", "D2"} {
		e := b.tell(id, event.DocumentSent, func(*signingv1.SigningEvent) {})
		b.bury(e)
	}
	_, page := b.get(b.browser(), pathOf("D1"))
	if !strings.Contains(page, "Replay 1 dead letter") {
		t.Errorf("page:\n%s", page)
	}
	b.bury(b.tell("D1", event.DocumentFilled, func(*signingv1.SigningEvent) {}))
	if _, page = b.get(b.browser(), pathOf("D1")+"?do=replay"); !strings.Contains(page, "Replay 2 dead letters") {
		t.Errorf("after another one:\n%s", page)
	}
}

// bury makes a dead letter of an event, as the enricher does.
func (b *bench) bury(e *signingv1.SigningEvent) {
	b.t.Helper()
	m, err := event.Message(b.t.Context(), e)
	if err != nil {
		b.t.Fatal(err)
	}
	stored := b.Count(flow.Signing, event.Everything)
	b.Publish(&nats.Msg{Subject: flow.StageNamed(flow.Enricher).DeadSubject(), Data: m.Data, Header: nats.Header{
		"Signrelay-Dlq-Stage": {flow.Enricher}, "Signrelay-Dlq-Reason": {"permanent"}, "Signrelay-Dlq-Attempts": {"1"}, "Signrelay-Dlq-Id": {e.GetId()},
		"Signrelay-Dlq-Stream": {flow.Signing}, "Signrelay-Dlq-Sequence": {strconv.Itoa(stored)}, "Signrelay-Dlq-Subject": {m.Subject}, "Nats-Msg-Id": {"dead-" + e.GetId()},
	}}, nil)
}

func TestErasedDocumentSaysWhatStays(t *testing.T) {
	t.Parallel()
	b := roles(t, "private", "operate", "erase")
	b.tell(event.ErasedID("onboarding", "pleasesign", event.DocumentToken("D1")), event.DocumentErased, func(e *signingv1.SigningEvent) {
		e.Verification, e.Attributes = signingv1.Verification_VERIFICATION_INTERNAL, map[string]string{"by": "mara", "reason": "TICKET-1", "sequences": "1-5"}
	})
	_, page := b.get(b.browser(), pathOf("D1"))
	for _, want := range []string{"The document was erased", "What stays", "Erased</b>, mara"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if strings.Contains(page, "?do=") {
		t.Error("the page of an erased document offers an action")
	}
	if n := b.Count(flow.Signing, event.TypeFilter(event.OperatorActed)); n != 0 {
		t.Errorf("%d events bring the id of an erased document back", n)
	}
}

// A file is downloaded only whole and unchanged, and only by a reader who may see it.
func TestArchivedFileIsDownloaded(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	b := openWith(t, []string{"private"}, func(c *config.Config) { archivesettings.Section.In(c).URL = "file://" + folder })
	content := []byte("%PDF-1.7 signed")
	sum := sha256.Sum256(content)
	for i, key := range []string{"good", "changed"} {
		if err := os.WriteFile(filepath.Join(folder, key), content[i:], 0o600); err != nil {
			t.Fatal(err)
		}
		b.tell("D1", event.DocumentArchived, func(e *signingv1.SigningEvent) {
			e.Verification, e.Notice = signingv1.Verification_VERIFICATION_INTERNAL, &signingv1.Notice{NotificationId: key} // another id of the event
			e.File = &signingv1.File{Kind: []string{"signed", "certificate"}[i], Size: uint64(len(content)), Sha256: hex.EncodeToString(sum[:]), Key: key}
		})
	}
	response, body := b.get(b.browser(), pathOf("D1")+"?file=1")
	if response.StatusCode != http.StatusOK || body != string(content) || !strings.HasPrefix(response.Header.Get("Content-Disposition"), "attachment; filename=signed-") ||
		response.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("status %d, %v, %q", response.StatusCode, response.Header, body)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+pathOf("D1")+"?file=2", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err = b.browser().Do(r)
	if err == nil {
		_, err = io.ReadAll(response.Body)
		_ = response.Body.Close()
	}
	if err == nil {
		t.Error("a changed file was downloaded as if it were whole")
	}
	if response, _ := b.get(b.browser(), pathOf("D1")+"?file=3"); response.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown file: status %d", response.StatusCode)
	}
}

// The recorded callbacks of each provider make a page: a sentence, a lane for each person, and an entry for each event.
func TestRecordedStoriesHaveAPage(t *testing.T) {
	t.Parallel()
	b := roles(t, "private")
	for _, provider := range []string{"pleasesign", "clickwrap", "esignv1"} {
		files, err := filepath.Glob("../../libs/providers/" + provider + "/testdata/*.golden.json")
		if err != nil || len(files) == 0 {
			t.Fatalf("no recorded callbacks of %s: %v", provider, err)
		}
		seen, stored := map[string]*signingv1.SigningEvent{}, map[string]bool{}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var all []json.RawMessage
			if err := json.Unmarshal(data, &all); err != nil {
				t.Fatal(err)
			}
			for _, raw := range all {
				e := new(signingv1.SigningEvent)
				if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, e); err != nil {
					t.Fatal(err)
				}
				if stored[e.GetId()] {
					continue // two recorded callbacks may report one fact
				}
				stored[e.GetId()] = true
				b.Publish(event.Message(t.Context(), e))
				if e.GetDocument().GetId() != "" {
					seen[e.GetDocument().GetId()] = e
				}
			}
		}
		for id, e := range seen {
			_, body := b.do(b.browser(), http.MethodGet, console.DocumentPath(e.GetProvider(), e.GetSource(), id), nil, "application/json")
			var data struct {
				Sentence string
				Timeline []any
			}
			if err := json.Unmarshal([]byte(body), &data); err != nil || data.Sentence == "" || len(data.Timeline) == 0 {
				t.Errorf("%s %s: %v, %.300s", provider, id, err, body)
			}
		}
	}
}

// A callback whose signature still verifies says so, with the secret of today; one whose bytes have changed does not verify, and a secret that is gone
// cannot check it.
func TestRawCallbackIsStillTrue(t *testing.T) {
	t.Parallel()
	b := openWith(t, []string{"private"}, func(c *config.Config) {
		c.Sources = []config.Source{providers.NewSource("pleasesign", "onboarding", "webhook.secrets=older,newer")}
	})
	signer := providers.NewSource("pleasesign", "onboarding", "webhook.secrets=newer")
	at := providers.All[slices.IndexFunc(providers.All, func(p pack.Pack) bool { return p.Name == "pleasesign" })]
	body := []byte(`{"event":"document.created"}`)
	signed, err := at.Sign(signer, nil, pack.Request{Method: http.MethodPost, Header: http.Header{}, Body: body})
	if err != nil {
		t.Fatal(err)
	}
	webhook, err := at.Webhook(b.Env.Config.Sources[0])
	if err != nil {
		t.Fatal(err)
	}
	verified, err := webhook.Verify(signed)
	if err != nil {
		t.Fatal(err)
	}
	callback := &signingv1.Callback{
		Id: event.CallbackID("onboarding", "pleasesign", "POST", "", "", body), Method: "POST", Path: "/webhooks/pleasesign/onboarding", Body: body,
		Key: verified.Key.Setting, KeyFingerprint: verified.Key.Fingerprint,
	}
	for name, values := range signed.Header {
		callback.Headers = append(callback.Headers, &signingv1.Header{Name: name, Value: values[0]})
	}
	good := b.tell("D1", event.DocumentSent, func(e *signingv1.SigningEvent) { e.Callback = callback })
	changed := proto.CloneOf(callback)
	changed.Body = []byte(`{"event":"document.changed"}`)
	bad := b.tell("D1", event.DocumentCreated, func(e *signingv1.SigningEvent) { e.Callback = changed })
	for id, want := range map[string]string{good.GetId(): "Still true", bad.GetId(): "Does not verify"} {
		if _, page := b.get(b.browser(), pathOf("D1")+"?raw="+id); !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	_, page := b.get(b.browser(), pathOf("D1")+"?raw="+good.GetId())
	if !strings.Contains(page, "checked again just now, with secret 2.") || strings.Contains(page, "another key") {
		t.Errorf("the key of today:\n%s", page)
	}
	// The secret has moved to the first place: it is the same key. Then it is gone.
	for setting, want := range map[string]string{"webhook.secrets=newer": "checked again just now, with secret 1.", "webhook.secrets=other": "the key of then is no longer in the settings"} {
		b.Env.Config.Sources = []config.Source{providers.NewSource("pleasesign", "onboarding", setting)}
		b.Env.Live = config.NewLive(b.Env.Config)
		later := b.restart()
		if _, page := later.get(later.browser(), pathOf("D1")+"?raw="+good.GetId()); !strings.Contains(page, want) {
			t.Errorf("with %s the page lacks %q:\n%s", setting, want, page)
		}
	}
}

// Each action says beside its button what it does and to whom, and its plan says it again before anything is done.
func TestEachActionSaysWhatItDoesToWhom(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	b := openWith(t, consolesettings.Roles, func(c *config.Config) { archivesettings.Section.In(c).URL = "file://" + folder })
	b.story("D1")
	b.remind("D1", second)
	b.bury(b.tell("D1", event.RecipientOpened, func(e *signingv1.SigningEvent) { e.Recipient = second }))
	b.tell("D2", event.DocumentSent, func(*signingv1.SigningEvent) {})
	b.tell("D2", event.RecipientSigned, func(e *signingv1.SigningEvent) { e.Recipient = first })
	b.tell("D2", event.DocumentCompleted, func(*signingv1.SigningEvent) {})
	b.tell("D3", event.DocumentSent, func(*signingv1.SigningEvent) {})
	if _, err := erase.Hold(t.Context(), b.Env.JS, erase.Document{Source: "onboarding", Provider: "pleasesign", Token: "D3"}, erase.Order{By: "mara", Reason: "TICKET-3"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	jack := "Jack" + hostile + " Wilson"
	rows := map[operate.Action]struct {
		id     string
		effect []string // beside the button
		plan   []string
		button string
	}{
		operate.Replay:          {"D1", []string{"Each goes back to its stage, for " + jack + "."}, []string{"1 dead letter goes back to its stage, for ", "Wilson"}, "Replay 1 dead letter"},
		operate.Resend:          {"D1", []string{jack + " gets the invitation once more", "The others get nothing."}, []string{"Wilson gets the invitation once more. The others get nothing.", "1 text leaves, to 1 person"}, "Send 2 messages"},
		operate.Correct:         {"D1", []string{"You correct the name or the addresses of " + jack + ", who is invited again."}, []string{"Wilson", `name="last_name"`, "jack.wilson@example.com"}, "Show what would happen"},
		operate.CancelReminders: {"D1", []string{"The reminders to " + jack + " are cancelled.", operate.CancelReminders.Consequence()}, []string{"1 reminder is cancelled for ", "Wilson", operate.CancelReminders.Consequence()}, "Cancel 1 reminder"},
		operate.ArchiveAgain:    {"D2", []string{operate.ArchiveAgain.Consequence()}, []string{operate.ArchiveAgain.Consequence()}, "Archive 1 document"},
		operate.HoldDocument:    {"D1", []string{operate.HoldDocument.Consequence()}, []string{operate.HoldDocument.Consequence()}, "Hold 1 document"},
		operate.ReleaseDocument: {"D3", []string{operate.ReleaseDocument.Consequence()}, []string{operate.ReleaseDocument.Consequence()}, "End 1 legal hold"},
		operate.Erase:           {"D1", []string{operate.Erase.Consequence(), "It concerns Olivia Nguyen and " + jack + "."}, []string{operate.Erase.Consequence(), "It concerns Olivia Nguyen and ", "What stays: that a document was sent to 2 people, and when."}, "Erase this document"},
	}
	tried := map[operate.Action]bool{"evidence": true}
	for _, id := range []string{"D1", "D2", "D3"} {
		var data struct {
			Actions []struct {
				Do                           operate.Action
				Label, Effect, Blocked, Path string
			}
		}
		b.json(pathOf(id), &data)
		for _, a := range data.Actions {
			row, known := rows[a.Do]
			switch {
			case a.Do == "evidence":
				continue
			case !known:
				t.Errorf("the test has no row for the action %s", a.Do)
			case row.id != id:
				continue
			case a.Blocked != "" || a.Path == "":
				t.Errorf("%s: blocked: %s", a.Do, a.Blocked)
			}
			tried[a.Do] = true
			_, page := b.get(b.browser(), pathOf(id))
			for _, want := range row.effect {
				if !strings.Contains(a.Effect, want) || !strings.Contains(page, template.HTMLEscapeString(want)) {
					t.Errorf("%s: beside the button is %q, want %q", a.Do, a.Effect, want)
				}
			}
			before := b.Count(flow.Signing, event.Everything)
			_, page = b.get(b.browser(), a.Path)
			if a.Do != operate.Correct { // its form comes first
				row.plan = append(row.plan, "What would happen")
			}
			for _, want := range append(row.plan, ">"+row.button+"</button>") {
				if !strings.Contains(page, want) {
					t.Errorf("the plan of %s lacks %q:\n%s", a.Do, want, page)
				}
			}
			if after := b.Count(flow.Signing, event.Everything); after != before {
				t.Errorf("the plan of %s made %d events", a.Do, after-before)
			}
		}
	}
	for _, a := range operate.Actions {
		if _, ofDocument := rows[a]; ofDocument && !tried[a] {
			t.Errorf("the action %s was not tried", a)
		}
	}
}

// An erasure without the role does nothing, and is in the log: once an hour for each user and document.
func TestRefusedErasureIsInTheLog(t *testing.T) {
	t.Parallel()
	b := roles(t, "look", "operate", "private")
	b.story("D1")
	_, page := b.get(b.browser(), pathOf("D1")+"?do=hold")
	form := url.Values{"token": {b.token(page)}, "effect": {"x"}, "why": {"TICKET-1"}, "sure": {"D1"}}
	for range 2 {
		response, page := b.do(b.browser(), http.MethodPost, pathOf("D1")+"?do=erase", form, "text/html")
		if response.StatusCode != http.StatusForbidden || !strings.Contains(page, "To erase takes the role erase. You have look, operate, private. Nothing was done, and your try is in the log.") {
			t.Fatalf("status %d:\n%s", response.StatusCode, page)
		}
	}
	refused := 0
	for m, err := range (event.Log{JS: b.Env.JS, Stream: flow.Signing}).Messages(t.Context(), event.SubjectOf("onboarding", "pleasesign", event.OperatorActed, "D1"), time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e, _ := event.Decode(m.Data); e.GetAttributes()[event.AttributeAction] == "refused-erase" && e.GetAttributes()["by"] == "this machine" {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d refused tries are in the log", refused)
	}
	if _, page := b.get(b.browser(), pathOf("D1")); !strings.Contains(page, "Tried to erase without the role, which was refused") {
		t.Errorf("the page does not have the try:\n%s", page)
	}
}
