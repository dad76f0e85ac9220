package enricher

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/servicetest"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// attemptAt makes one attempt at an event, and publishes and returns its outputs.
func attemptAt(t *testing.T, b *servicetest.Bench, e *enricher, n int, happened *signingv1.SigningEvent) ([]string, error) {
	t.Helper()
	in := stage.Event[*signingv1.SigningEvent]{ID: happened.GetId(), Attempt: n, Stored: happened.GetReceivedAt().AsTime(), Data: happened}
	outs, err := e.enrich(t.Context(), in)
	if stage.Decide(err, n, flow.StageNamed(flow.Enricher).Policy).Kind == "give-up" {
		outs = denied(in, err)
	}
	for _, m := range outs {
		b.Publish(m, nil)
	}
	return follows(t, outs), err
}

// A document ends while a signer waits for a link. The invitation is never sent, and the log has the reason. The signer who was invited
// before is not reported as suppressed.
func TestADocumentThatEndsWhileASignerWaits(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"by the log", "by the API"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			b := servicetest.New(t, config.Config{})
			api := &provider{document: pack.Document{Recipients: []pack.Recipient{bob, with(ann, unresolved)}}}
			e := beside(t, b, sources(api))
			sent := about(event.DocumentSent, "doc", "", hmac)
			if got, _ := attemptAt(t, b, e, 1, sent); !slices.Equal(got, []string{"invitation to bob"}) {
				t.Fatalf("first %q", got)
			}
			if end == "by the log" {
				publish(t, b, about(event.DocumentVoided, "doc", "", hmac))
			} else {
				api.set(func(d *pack.Document) { d.Status = pack.StatusVoided })
			}
			if got, err := attemptAt(t, b, e, 2, sent); err != nil || !slices.Equal(got, []string{"suppressed ann: document-ended"}) {
				t.Errorf("after the end %q, %v", got, err)
			}
			if got, _ := attemptAt(t, b, e, 3, sent); len(got) != 0 {
				t.Errorf("and again %q", got)
			}
		})
	}
}

// An event after the end of its document causes no messages, and the log has the reason for each message.
func TestMessagesAfterTheEndAreSuppressed(t *testing.T) {
	t.Parallel()
	gone := failed(0, &pack.CallError{Op: "GET document", Status: http.StatusNotFound})
	for name, row := range map[string]struct {
		late string // the event
		end  string // in the log
		err  error  // of the API
		want []string
	}{
		"a sending":                      {event.DocumentSent, event.DocumentVoided, nil, []string{"suppressed ann: document-ended", "suppressed bob: document-ended"}},
		"a signature":                    {event.RecipientSigned, event.DocumentDeclined, nil, []string{"suppressed bob: document-ended"}},
		"an expiry after the completion": {event.DocumentExpired, event.DocumentCompleted, nil, []string{"suppressed : no-sender-address", "suppressed ann: document-ended", "suppressed bob: document-ended"}},
		"a sending of a document that no longer exists": {event.DocumentSent, event.DocumentVoided, gone, []string{"suppressed : document-ended"}},
		"before the end": {event.RecipientSigned, event.RecipientSigned, nil, []string{"progress to bob"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := servicetest.New(t, config.Config{})
			api := &provider{document: pack.Document{Status: pack.StatusOpen, Recipients: []pack.Recipient{ann, bob}}, err: row.err}
			publish(t, b, about(row.end, "doc", "", hmac))
			if got, err := attemptAt(t, b, beside(t, b, sources(api)), 1, about(row.late, "doc", "ann", hmac)); err != nil || !slices.Equal(got, row.want) {
				t.Errorf("%q, %v, want %q", got, err, row.want)
			}
		})
	}
}

// A callback without authentication that the provider's API does not confirm causes no messages, and the log has the reason for each.
func TestAnUnconfirmedCallbackIsSuppressed(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		status pack.Status
		age    time.Duration
		want   []string
		kind   stage.Kind
	}{
		"the API has no status":             {pack.StatusUnknown, 0, []string{"suppressed ann: unconfirmed", "suppressed bob: unconfirmed"}, "done"},
		"the API has another status":        {pack.StatusOpen, 5 * time.Minute, []string{"suppressed ann: unconfirmed", "suppressed bob: unconfirmed"}, "give-up"},
		"the API may lag behind":            {pack.StatusOpen, time.Minute, nil, "retry"},
		"the API has the same status":       {pack.StatusCompleted, 0, []string{"completed to ann", "completed to bob"}, "done"},
		"the API has the same status later": {pack.StatusCompleted, time.Hour, []string{"completed to ann", "completed to bob"}, "done"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := servicetest.New(t, config.Config{})
			e := beside(t, b, sources(&provider{document: pack.Document{Status: row.status, Recipients: []pack.Recipient{ann, bob}}}))
			hint := about(event.DocumentCompleted, "doc", "", nothing)
			hint.ReceivedAt = timestamppb.New(time.Now().Add(-row.age))
			got, err := attemptAt(t, b, e, 2, hint)
			if kind := stage.Decide(err, 2, flow.StageNamed(flow.Enricher).Policy).Kind; kind != row.kind || !slices.Equal(got, row.want) {
				t.Errorf("%s with %q (%v), want %s with %q", kind, got, err, row.kind, row.want)
			}
			if row.kind == "give-up" && !errors.Is(err, errUnconfirmed) && err.Error() != errUnconfirmed.Error() {
				t.Errorf("the dead letter has the error %v", err)
			}
		})
	}
}
