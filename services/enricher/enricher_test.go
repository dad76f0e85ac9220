package enricher_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/servicetest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/enricher"
)

// request is the response of the fake provider to GET /v1.1/requests/:id, in the documented form, with the people's ids.
const request = `{"name": "Employment Agreement", "signers": [
  {"signer_id": "s1", "send_to": {"email": true, "mobile_number": true}, "request_url": "https://provider.example/r?s=1",
   "signer": {"email": "eric@example.com", "mobile_number": "317-555-1234", "first_name": "Eric", "last_name": "Smith"}},
  {"signer_id": "s2", "send_to": {"email": false, "mobile_number": true}, "request_url": "https://provider.example/r?s=2",
   "signer": {"email": "ann@example.com", "mobile_number": "+13175550002", "first_name": "Ann"}}]}`

func settings(api *httptest.Server) config.Config {
	return config.Config{Sources: []config.Source{
		providers.NewSource("clickwrap", "acme", "sender_name=PactSafe", "locale=en", "region=US", "api.base_url="+api.URL, "api.token=api-token"),
		{Name: "quiet", Provider: "clickwrap"},
	}}
}

// clickwrap replaces the provider. It sends the responses of the test in their order, and repeats the last one.
func clickwrap(t *testing.T, responses ...http.HandlerFunc) (api *httptest.Server, calls *atomic.Int32) {
	t.Helper()
	calls = new(atomic.Int32)
	api = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(calls.Add(1))
		if r.URL.Path != "/v1.1/requests/doc1" || r.Header.Get("Authorization") != "Bearer api-token" {
			t.Errorf("call %d is %s %s", n, r.Method, r.URL.Path)
		}
		responses[min(n, len(responses))-1](w, r)
	}))
	t.Cleanup(api.Close)
	return api, calls
}

func responds(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

func fails(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

func fact(source, eventType, recipient string) *signingv1.SigningEvent {
	e := &signingv1.SigningEvent{
		Source: source, Provider: "clickwrap", Type: eventType, OccurredAt: timestamppb.New(time.Unix(1500480943, 0)),
		Document: &signingv1.Document{Id: "doc1"}, Verification: signingv1.Verification_VERIFICATION_TOKEN,
	}
	if recipient != "" {
		e.Recipient = &signingv1.Recipient{Id: recipient}
	}
	e.Id = event.TransitionID(e)
	return e
}

// await returns the notifications in a number of messages, by subject, person and channel.
func await(t *testing.T, b *servicetest.Bench, filter string, count int) map[string]*notifyv1.Notification {
	t.Helper()
	found := map[string]*notifyv1.Notification{}
	for _, m := range b.Await(flow.Notify, filter, count) {
		n, err := notification.Decode(m.Data())
		if err != nil {
			t.Fatal(err)
		}
		if id := m.Headers().Get("Nats-Msg-Id"); id != n.GetId() {
			t.Errorf("Nats-Msg-Id %s, notification %s", id, n.GetId())
		}
		all, err := notification.PerChannel(n)
		if err != nil {
			t.Error(err)
		}
		for _, one := range all {
			found[m.Subject()+" "+one.GetTo().GetRecipientId()+" "+event.ChannelName(one.GetChannel())] = one
		}
	}
	return found
}

func TestSentInvites(t *testing.T) {
	t.Parallel()
	api, _ := clickwrap(t, responds(request))
	b := servicetest.New(t, settings(api))
	b.Start(enricher.Run)
	b.Publish(event.Message(t.Context(), fact("acme", "document.sent", "")))

	found := await(t, b, "notify.v1.>", 2)
	sms := found["notify.v1.link.acme.clickwrap.doc1 s2 sms"]
	if sms == nil || len(found) != 3 {
		t.Fatalf("found %v", found)
	}
	if sms.GetKind() != notifyv1.Kind_KIND_INVITATION || sms.GetTo().GetMobile() != "+13175550002" ||
		sms.GetLink().GetTarget() != "https://provider.example/r?s=2" || sms.GetSenderName() != "PactSafe" ||
		sms.GetDocumentTitle() != "Employment Agreement" || sms.GetOccurredAt().AsTime().Unix() != 1500480943 {
		t.Errorf("invitation %v", sms)
	}
	stored, err := b.Await(flow.Signing, "signing.v1.acme.clickwrap.document.sent.doc1", 1)[0].Metadata()
	if err != nil || !sms.GetRecordedAt().AsTime().Equal(stored.Timestamp) {
		t.Errorf("recorded at %v, want the time when the log stored its event, %v (%v)", sms.GetRecordedAt().AsTime(), stored, err)
	}
	b.NeverLogged("example.com", "3175550002", "provider.example", "api-token", "Eric")

	// The log has an event for each message: whom it is for, as the source keeps texts, and no address of the provider.
	for _, m := range b.Await(flow.Signing, "signing.v1.acme.clickwrap.notification.requested.doc1", 3) {
		report, err := event.Decode(m.Data())
		if err != nil {
			t.Fatal(err)
		}
		if id := report.GetRecipient().GetId(); id != "s1" && id != "s2" || report.GetNotice().GetKind() != "invitation" || report.GetNotice().GetEventId() != sms.GetEventId() ||
			!report.GetOccurredAt().AsTime().Equal(stored.Timestamp) || report.GetNotice().GetNotificationId() == "" || report.GetId() != m.Headers().Get("Nats-Msg-Id") || report.GetDocument().GetId() != "doc1" {
			t.Errorf("requested %v", report)
		}
		who := report.GetRecipient()
		if who.GetFirstName() != map[string]string{"s1": "Eric", "s2": "Ann"}[who.GetId()] || (who.GetMobile() != "") != (report.GetNotice().GetChannel() == "sms") || (who.GetEmail() != "") != (report.GetNotice().GetChannel() == "email") {
			t.Errorf("the message is for %v", report)
		}
		if strings.Contains(report.String(), "provider.example") {
			t.Errorf("the link is in %v", report)
		}
	}
	if n := b.Count(flow.Signing, "signing.v1.*.*.notification.suppressed.>"); n != 0 {
		t.Errorf("%d suppressed, want none", n)
	}
}

// Each request for the document's past costs a round trip, and most documents have events of one or two types.
func TestAnInvitationReadsTheLogTwice(t *testing.T) {
	t.Parallel()
	api, _ := clickwrap(t, responds(request))
	b := servicetest.New(t, settings(api))
	var reads atomic.Int32
	if _, err := b.Env.JS.Conn().Subscribe("$JS.API.DIRECT.GET."+flow.Signing, func(*nats.Msg) { reads.Add(1) }); err != nil {
		t.Fatal(err)
	}
	b.Start(enricher.Run)
	b.Publish(event.Message(t.Context(), fact("acme", "document.sent", "")))
	await(t, b, "notify.v1.>", 2)
	b.Settled(flow.Enricher)
	if n := reads.Load(); n != 2 {
		t.Errorf("%d reads, want one of all types and one of the sendings", n)
	}
}

func TestASuppressedMessageIsRecorded(t *testing.T) {
	t.Parallel()
	api, _ := clickwrap(t, responds(strings.ReplaceAll(request, `"+13175550002"`, `"555"`)))
	b := servicetest.New(t, settings(api))
	b.Start(enricher.Run)
	b.Publish(event.Message(t.Context(), fact("acme", "document.sent", "")))
	report, err := event.Decode(b.Await(flow.Signing, "signing.v1.acme.clickwrap.notification.suppressed.doc1", 1)[0].Data())
	if err != nil || report.GetRecipient().GetId() != "s2" || report.GetNotice().GetReason() != "number-incomplete" || report.GetNotice().GetChannel() != "sms" {
		t.Errorf("suppressed %v, %v", report, err)
	}
	await(t, b, "notify.v1.link.>", 1) // the control: the other signer gets it on both channels
	families, err := b.Env.Metrics.(prometheus.Gatherer).Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			counted[f.GetName()] += m.GetCounter().GetValue()
		}
	}
	if counted["signrelay_enricher_untold_total"] != 1 || counted["signrelay_enricher_requested_total"] != 2 {
		t.Errorf("counted %v", counted)
	}
}

// The sender gets the message at the address of the settings, and not at a signer's address.
func TestADeclineNotifiesTheSenderAndTheOthers(t *testing.T) {
	t.Parallel()
	api, _ := clickwrap(t, responds(request))
	s := settings(api)
	s.Sources[0].Notify.Sender.Email = "contracts@acme.example"
	b := servicetest.New(t, s)
	b.Start(enricher.Run)
	b.Publish(event.Message(t.Context(), fact("acme", "recipient.declined", "s1")))
	found := await(t, b, "notify.v1.>", 2)
	sender, other := found["notify.v1.send.email.acme.clickwrap.doc1  email"], found["notify.v1.send.sms.acme.clickwrap.doc1 s2 sms"]
	if !sender.GetTo().GetSender() || sender.GetTo().GetEmail() != "contracts@acme.example" || sender.GetActorName() != "Eric Smith" ||
		sender.GetKind() != notifyv1.Kind_KIND_DECLINED || other.GetKind() != notifyv1.Kind_KIND_DECLINED || other.GetTo().GetSender() {
		t.Errorf("the messages are %v", found)
	}
	b.Settled(flow.Enricher)
	if n := b.Count(flow.Notify, "notify.v1.>"); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

// After the first signature of two, the other signer gets a message. After the second there is none, for any response of the API.
func TestASignatureNotifiesTheOthersUntilTheLastOne(t *testing.T) {
	t.Parallel()
	api, _ := clickwrap(t, responds(request)) // its API never returns the signatures
	b := servicetest.New(t, settings(api))
	b.Start(enricher.Run)

	b.Publish(event.Message(t.Context(), fact("acme", "recipient.signed", "s1")))
	progress := await(t, b, "notify.v1.send.>", 1)["notify.v1.send.sms.acme.clickwrap.doc1 s2 sms"]
	if progress.GetActorName() != "Eric Smith" || progress.GetSignaturesMissing() != 1 || progress.GetLink() != nil {
		t.Errorf("progress %v", progress)
	}

	b.Publish(event.Message(t.Context(), fact("acme", "recipient.signed", "s2")))
	b.Settled(flow.Enricher)
	if n := b.Count(flow.Notify, "notify.v1.send.>"); n != 1 {
		t.Errorf("%d progress messages, want 1", n)
	}
	b.Publish(event.Message(t.Context(), fact("acme", "document.completed", "")))
	await(t, b, "notify.v1.link.>", 2) // the control: all signers get the completion
}

func TestNoProgressAfterTheCompletion(t *testing.T) {
	t.Parallel()
	api, _ := clickwrap(t, responds(request))
	b := servicetest.New(t, settings(api))
	b.Publish(event.Message(t.Context(), fact("acme", "document.completed", "")))
	b.Publish(event.Message(t.Context(), fact("acme", "recipient.signed", "s1")))
	b.Start(enricher.Run)
	await(t, b, "notify.v1.link.>", 2)
	b.Settled(flow.Enricher)
	if n := b.Count(flow.Notify, "notify.v1.send.>"); n != 0 {
		t.Errorf("%d progress messages, want none", n)
	}
}

// The provider throttles first, and responds later. The stage waits for the time in Retry-After.
func TestAThrottledEventIsRetried(t *testing.T) {
	t.Parallel()
	throttled := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	}
	api, calls := clickwrap(t, throttled, responds(request))
	b := servicetest.New(t, settings(api))
	b.Start(enricher.Run)
	began := time.Now()
	b.Publish(event.Message(t.Context(), fact("acme", "document.sent", "")))
	await(t, b, "notify.v1.link.>", 2)
	if waited := time.Since(began); waited < time.Second || calls.Load() != 2 {
		t.Errorf("%d calls within %v", calls.Load(), waited)
	}
}

// A temporary failure is retried, and then each signer gets one message.
func TestTemporaryFailuresAreRetried(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]http.HandlerFunc{
		"not readable yet":  fails(http.StatusNotFound),
		"broken":            fails(http.StatusInternalServerError),
		"garbage":           responds("<html>"),
		"half a response":   responds(request[:len(request)/2]),
		"connection closed": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api, calls := clickwrap(t, failure, responds(request))
			b := servicetest.New(t, settings(api))
			b.Start(enricher.Run)
			b.Publish(event.Message(t.Context(), fact("acme", "document.sent", "")))
			await(t, b, "notify.v1.link.>", 2)
			b.Settled(flow.Enricher)
			if n := b.Count(flow.Notify, "notify.v1.>"); n != 2 || calls.Load() != 2 {
				t.Errorf("%d messages after %d calls", n, calls.Load())
			}
		})
	}
}

// A failure that only the operator can fix waits: there are no messages, no dead letter, and no second request at once.
func TestRefusedTokenWaitsForTheOperator(t *testing.T) {
	t.Parallel()
	refused := make(chan struct{})
	var calls atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/doc1") {
			if calls.Add(1) == 1 {
				close(refused)
			}
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(request))
	}))
	t.Cleanup(api.Close)
	b := servicetest.New(t, settings(api))
	b.Start(enricher.Run)
	b.Publish(event.Message(t.Context(), fact("acme", "document.sent", "")))
	<-refused
	other := fact("acme", "document.sent", "")
	other.Document.Id = "doc2"
	other.Id = event.TransitionID(other)
	b.Publish(event.Message(t.Context(), other))
	await(t, b, "notify.v1.link.acme.clickwrap.doc2", 2) // the control
	if n := b.Count(flow.Notify, "notify.v1.*.acme.clickwrap.doc1"); n != 0 || calls.Load() != 1 {
		t.Errorf("%d messages, %d calls", n, calls.Load())
	}
	if n := b.Count(flow.DLQ, "dlq.v1.>"); n != 0 {
		t.Errorf("%d in the DLQ", n)
	}
	if !strings.Contains(b.Logged.String(), `"verdict":"retry","reason":"named"`) {
		t.Errorf("the event is not delayed by a Retry-After:\n%s", b.Logged)
	}
}

func TestARefusedRequestBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	api, calls := clickwrap(t, fails(http.StatusBadRequest))
	b := servicetest.New(t, settings(api))
	b.Start(enricher.Run)
	b.Publish(event.Message(t.Context(), fact("acme", "document.sent", "")))
	dead := b.Await(flow.DLQ, "dlq.v1.enricher", 1)[0]
	b.Settled(flow.Enricher)
	if dead.Headers().Get("Signrelay-Dlq-Reason") != "permanent" || calls.Load() != 1 || b.Count(flow.Notify, "notify.v1.>") != 0 {
		t.Errorf("%v after %d calls", dead.Headers(), calls.Load())
	}
}

func TestTheTokenIsSentOnlyToTheProvider(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	leads := func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) }
	api, calls := clickwrap(t, leads, responds(request))
	b := servicetest.New(t, settings(api))
	b.Start(enricher.Run)
	b.Publish(event.Message(t.Context(), fact("acme", "document.sent", "")))
	await(t, b, "notify.v1.link.>", 2)
	if elsewhere.Load() != 0 || calls.Load() != 2 {
		t.Errorf("%d calls to another server, %d to the provider", elsewhere.Load(), calls.Load())
	}
}

func TestEventsWithoutMessages(t *testing.T) {
	t.Parallel()
	api, calls := clickwrap(t, responds(request))
	b := servicetest.New(t, settings(api))
	b.Start(enricher.Run)
	b.Publish(event.Message(t.Context(), fact("quiet", "document.sent", "")))   // no API in the settings
	b.Publish(event.Message(t.Context(), fact("unknown", "document.sent", ""))) // no such source: to the DLQ, to be replayed
	b.Publish(event.Message(t.Context(), fact("acme", "document.sent", "")))    // the control
	await(t, b, "notify.v1.link.acme.>", 2)
	b.Await(flow.DLQ, "dlq.v1.>", 1)
	b.Settled(flow.Enricher)
	if n := b.Count(flow.Notify, "notify.v1.>"); n != 2 || calls.Load() != 1 {
		t.Errorf("%d notifications, %d calls", n, calls.Load())
	}
	if n := b.Count(flow.DLQ, "dlq.v1.>"); n != 1 {
		t.Errorf("%d in the DLQ, want 1", n)
	}
}

func TestRunRefusesUnusableSettings(t *testing.T) {
	t.Parallel()
	b := servicetest.New(t, config.Config{Sources: []config.Source{
		providers.NewSource("clickwrap", "acme", "api.base_url=https://api.example"), // a URL and no token
		{Name: "other", Provider: "unknown"},
	}})
	if err := enricher.Run(t.Context(), b.Env); err == nil {
		t.Error("Run accepted a source without a token and a source without a provider")
	}
}

// Responses of the provider that an earlier version misread, and the result of each: the channel and address, or the reason.
func TestResponsesThatWereMisread(t *testing.T) {
	t.Parallel()
	const (
		link   = `"request_url": "https://sign.example.com/x/1"`
		texted = `"signer_id": "sig1", "send_to": {"email": false, "mobile_number": true}, ` + link
		couple = `"send_to": {"email": true, "mobile_number": true}, "signer": {"email": "home@example.com", "mobile_number": "+13175551234"}`
	)
	responses := map[string]struct {
		signers string
		want    []string
	}{
		"note":      {`{` + texted + `, "signer": {"mobile_number": "555-1234 (Bob)"}}`, []string{"sms: number-incomplete"}},
		"cell":      {`{` + texted + `, "signer": {"mobile_number": "(317) 555-1234 cell"}}`, []string{"sms to +13175551234"}},
		"couple":    {`{` + couple + `, "request_url": "https://sign.example.com/husband"}, {` + couple + `, "request_url": "https://sign.example.com/wife"}`, []string{"email to home@example.com", "email to home@example.com", "sms to +13175551234", "sms to +13175551234"}},
		"list":      {`{"signer_id": "sig1", "send_to": ["email", "mobile_number"], "signer": {"email": "", "mobile_number": "+13175551234"}, ` + link + `}`, []string{"email: no-address", "sms to +13175551234"}},
		"word":      {`{"signer_id": "sig1", "send_to": "email", "signer": {"email": "", "mobile_number": "+13175551234"}, ` + link + `}`, []string{"email: no-address"}},
		"nowhere":   {`{"signer_id": "sig1", "send_to": {"email": false, "mobile_number": false}, "signer": {"email": "eric@example.com"}, ` + link + `}`, []string{": no-channel"}},
		"no-web":    {`{` + texted + `, "signer": {"mobile_number": "+13175551234"}, "request_url": "sign.example.com/x/1"}`, []string{"sms: link-invalid"}},
		"opted-out": {`{` + texted + `, "signer": {"email": "eric@example.com", "mobile_number": "+13175551234", "deliverable": {"mobile_number_status": "Opted out"}}}`, []string{"email to eric@example.com", "sms: opted-out"}},
		"domain":    {`{"signer_id": "sig1", "send_to": {"email": true}, "signer": {"email": "\u202aeric@b\u00fccher.example\u202c"}, ` + link + `}`, []string{"email to eric@xn--bcher-kva.example"}},
		"odd":       {`null, {` + texted + `, "signer": {"mobile_number": "+13175551234", "additional_attributes": "", "email": []}}`, []string{"sms to +13175551234"}},
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, id, _ := strings.Cut(r.URL.Path, "/requests/")
		_, _ = w.Write([]byte(`{"name": "Deed", "signers": [` + responses[id].signers + `]}`))
	}))
	t.Cleanup(api.Close)
	b := servicetest.New(t, settings(api))
	b.Start(enricher.Run)
	for id := range responses {
		e := fact("acme", "document.sent", "")
		e.Document.Id = id
		e.Id = event.TransitionID(e)
		b.Publish(event.Message(t.Context(), e))
	}
	b.Settled(flow.Enricher)
	got := map[string][]string{}
	log := event.Log{JS: b.Env.JS}
	log.Stream = flow.Notify
	for m, err := range log.Messages(t.Context(), "notify.v1.>", time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		n, err := notification.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		all, err := notification.PerChannel(n)
		if err != nil {
			t.Error(err)
		}
		for _, n := range all {
			got[n.GetDocumentId()] = append(got[n.GetDocumentId()], event.ChannelName(n.GetChannel())+" to "+n.GetTo().GetMobile()+n.GetTo().GetEmail())
		}
	}
	log.Stream = flow.Signing
	for m, err := range log.Messages(t.Context(), "signing.v1.acme.clickwrap.notification.suppressed.>", time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		got[e.GetDocument().GetId()] = append(got[e.GetDocument().GetId()], e.GetNotice().GetChannel()+": "+e.GetNotice().GetReason())
	}
	for id, test := range responses {
		slices.Sort(got[id])
		if !slices.Equal(got[id], test.want) {
			t.Errorf("%s: %q, want %q", id, got[id], test.want)
		}
	}
}
