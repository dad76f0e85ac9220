package enricher

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/optout"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// provider is an API that returns a status, and whose callbacks about a person do not contain the document.
type provider struct {
	pack.API // no test here calls it

	mu        sync.Mutex
	document  pack.Document
	requested []string
	foreign   bool // its documents are of another group
	err       error
}

func (p *provider) Document(_ context.Context, id string) (*pack.Document, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requested = append(p.requested, id)
	if p.foreign {
		return nil, pack.ErrNotOurs
	}
	if p.err != nil {
		return nil, p.err
	}
	d := p.document
	d.ID = id
	return &d, nil
}

func (p *provider) DocumentOf(_ context.Context, recipient string) (string, error) {
	return "document-of-" + recipient, nil
}

func (p *provider) set(change func(*pack.Document)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.document)
}

func (p *provider) calls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.requested)
}

// start runs the service with one source of that provider.
func start(t *testing.T, api pack.API) *servicetest.Bench {
	t.Helper()
	b := servicetest.New(t, config.Config{})
	b.Start(func(ctx context.Context, env service.Env) error { return run(ctx, env, sources(api)) })
	return b
}

func sources(api pack.API) func() providers.Sources {
	settings := config.Source{Name: "acme", Provider: "clickwrap", Region: "US"}
	all := providers.Sources{{Name: "acme", Provider: "clickwrap"}: {Settings: settings, API: api}}
	return func() providers.Sources { return all }
}

// beside returns an enricher without a runner, for single attempts.
func beside(t *testing.T, b *servicetest.Bench, sources func() providers.Sources) *enricher {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	optOuts, err := optout.Open(t.Context(), b.Env.JS, keyring.New(nil))
	if err != nil {
		t.Fatal(err)
	}
	return &enricher{sources: sources, log: event.Log{JS: b.Env.JS, Stream: flow.Signing}, optOuts: optOuts, metrics: m, now: time.Now}
}

func publish(t *testing.T, b *servicetest.Bench, e *signingv1.SigningEvent) {
	t.Helper()
	b.Publish(event.Message(t.Context(), e))
}

// about returns an event that was received just now, with its verification.
func about(eventType, document, recipient string, v signingv1.Verification) *signingv1.SigningEvent {
	e := happened(eventType, nil)
	e.Document, e.Verification, e.ReceivedAt = nil, v, timestamppb.Now()
	if document != "" {
		e.Document = &signingv1.Document{Id: document}
	}
	if recipient != "" {
		e.Recipient = by(recipient)
	}
	e.Id = event.TransitionID(e)
	return e
}

const (
	hmac    = signingv1.Verification_VERIFICATION_HMAC
	rsa     = signingv1.Verification_VERIFICATION_RSA
	nothing = signingv1.Verification_VERIFICATION_NONE
)

// A signer's event has no document: all messages and events that follow have the document from the API.
func TestTheDocumentOfAPersonIsRequested(t *testing.T) {
	t.Parallel()
	api := &provider{document: pack.Document{Status: pack.StatusOpen, Recipients: []pack.Recipient{with(ann, unresolved), with(bob, unresolved, place(1))}}}
	b := start(t, api)
	publish(t, b, about(event.RecipientSigned, "", "ann", rsa))
	n, err := notification.Decode(b.Await(flow.Notify, "notify.v1.link.acme.clickwrap.document-of-ann", 1)[0].Data())
	if err != nil || n.GetDocumentId() != "document-of-ann" || n.GetTo().GetRecipientId() != "bob" || n.GetLink() == nil || n.GetLink().GetTarget() != "" {
		t.Errorf("invitation %v, %v", n, err)
	}
	b.Await(flow.Signing, "signing.v1.acme.clickwrap.notification.requested.document-of-ann", 1)

	publish(t, b, about(event.RecipientSigned, "", "", rsa)) // without a person and a document
	b.Settled(flow.Enricher)
	if n := b.Count(flow.Notify, "notify.v1.>"); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// The id "*" is not a legal token. Its subject is the same as that of the document "Kg", its base64url. The end of one document does not end
// the other.
func TestDocumentsWithTheSameTokenHaveSeparateHistories(t *testing.T) {
	t.Parallel()
	b := servicetest.New(t, config.Config{})
	api := &provider{document: pack.Document{Recipients: []pack.Recipient{ann, bob}}}
	e := beside(t, b, sources(api))
	publish(t, b, about(event.DocumentVoided, "*", "", hmac))
	publish(t, b, about(event.DocumentVoided, "other", "", hmac))
	const ended = "suppressed bob: document-ended"
	for document, want := range map[string]string{"Kg": "progress to bob", "*": ended, "other": ended} {
		signed := stage.Event[*signingv1.SigningEvent]{Attempt: 1, Data: about(event.RecipientSigned, document, "ann", hmac)}
		outs, err := e.enrich(t.Context(), signed)
		if got := follows(t, outs); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q, want %q: %v", document, got, want, err)
		}
	}
}

func TestDocumentsOfOtherGroupsAreSkipped(t *testing.T) {
	t.Parallel()
	api := &provider{foreign: true}
	b := start(t, api)
	publish(t, b, about(event.DocumentCompleted, "doc", "", rsa))
	b.Settled(flow.Enricher)
	if api.calls() != 1 || b.Count(flow.Notify, "notify.v1.>")+b.Count(flow.DLQ, "dlq.v1.>") != 0 {
		t.Errorf("%d calls, %d messages, %d in the DLQ", api.calls(), b.Count(flow.Notify, "notify.v1.>"), b.Count(flow.DLQ, "dlq.v1.>"))
	}
}

// A callback without authentication causes no messages until the API confirms it. A signed callback causes them at once.
func TestAnUnauthenticatedCallbackIsConfirmedFirst(t *testing.T) {
	t.Parallel()
	api := &provider{document: pack.Document{Status: pack.StatusOpen, Recipients: []pack.Recipient{bob}}}
	b := start(t, api)
	publish(t, b, about(event.DocumentCompleted, "hinted", "", nothing))
	publish(t, b, about(event.DocumentCompleted, "signed", "", hmac))
	b.Await(flow.Notify, "notify.v1.link.acme.clickwrap.signed", 1)
	e := beside(t, b, sources(api))
	hint := stage.Event[*signingv1.SigningEvent]{Attempt: 2, Data: about(event.DocumentCompleted, "hinted", "", nothing)}
	if outs, err := e.enrich(t.Context(), hint); err == nil || len(outs) != 0 {
		t.Errorf("%d follow, %v", len(outs), err)
	}
	if n := b.Count(flow.Notify, "notify.v1.*.acme.clickwrap.hinted"); n != 0 {
		t.Errorf("%d messages for a hint", n)
	}

	api.set(func(d *pack.Document) { d.Status = pack.StatusCompleted })
	if outs, err := e.enrich(t.Context(), hint); err != nil || len(outs) != 2 { // the message, and its event
		t.Errorf("confirmed, %d follow, %v", len(outs), err)
	}
}

// Both callbacks arrive, in either order. The last signature never causes a progress message, because of the API's status or of the log.
func TestNoProgressAfterTheEnd(t *testing.T) {
	t.Parallel()
	for _, status := range []pack.Status{pack.StatusCompleted, pack.StatusDeclined, pack.StatusVoided, pack.StatusExpired} {
		t.Run(string(status), func(t *testing.T) {
			t.Parallel()
			api := &provider{document: pack.Document{Status: status, Recipients: []pack.Recipient{ann, bob}}}
			b := start(t, api)
			publish(t, b, about(event.RecipientSigned, "doc", "ann", hmac))
			b.Settled(flow.Enricher)
			if n := b.Count(flow.Notify, "notify.v1.>"); n != 0 {
				t.Errorf("%d messages, want none", n)
			}
			api.set(func(d *pack.Document) { d.Status = pack.StatusOpen })
			publish(t, b, about(event.RecipientSigned, "other", "ann", hmac))
			b.Await(flow.Notify, "notify.v1.send.email.acme.clickwrap.other", 1) // the control
		})
	}
	for _, end := range []string{event.DocumentCompleted, event.DocumentDeclined, event.DocumentVoided, event.DocumentExpired} {
		t.Run("the log has "+end, func(t *testing.T) {
			t.Parallel()
			api := &provider{document: pack.Document{Status: pack.StatusOpen, Recipients: []pack.Recipient{ann, bob}}}
			b := servicetest.New(t, config.Config{})
			publish(t, b, about(end, "doc", "", hmac))
			publish(t, b, about(event.RecipientSigned, "doc", "ann", hmac))
			publish(t, b, about(event.RecipientSigned, "other", "ann", hmac)) // the control
			b.Start(func(ctx context.Context, env service.Env) error { return run(ctx, env, sources(api)) })
			b.Await(flow.Notify, "notify.v1.send.email.acme.clickwrap.other", 1)
			b.Settled(flow.Enricher)
			const reports = "signing.v1.acme.clickwrap.notification.requested.doc" // the messages about the end itself
			for _, m := range b.Await(flow.Signing, reports, max(b.Count(flow.Signing, reports), 1)) {
				if report, err := event.Decode(m.Data()); err != nil || report.GetNotice().GetKind() == "progress" {
					t.Errorf("%v, %v", report, err)
				}
			}
		})
	}
}

// The provider never responds: the attempt ends with its timeout, and is repeated.
func TestHangingProvider(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-release
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(release) })
	b := servicetest.New(t, config.Config{Sources: []config.Source{providers.NewSource("clickwrap", "acme", "api.base_url="+server.URL, "api.token=api-token")}})
	opened, err := providers.Open(b.Env.Config.Sources, providers.ForEvents, b.Env.Limits, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := beside(t, b, func() providers.Sources { return opened })
	ctx, end := context.WithCancel(t.Context())
	go func() {
		<-arrived
		end() // the attempt's time is over
	}()
	outs, err := e.enrich(ctx, stage.Event[*signingv1.SigningEvent]{Attempt: 1, Data: about(event.DocumentSent, "doc", "", hmac)})
	if v := stage.Decide(err, 1, flow.StageNamed(flow.Enricher).Policy); v.Kind != "retry" || v.Reason != "failed" || len(outs) != 0 {
		t.Errorf("%+v, %v, %d follow", v, err, len(outs))
	}
}
