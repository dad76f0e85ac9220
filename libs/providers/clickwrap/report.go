package clickwrap

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/instant"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/rest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Reporting implements pack.Reporter. No list of requests is documented, so only requests that the log has are looked at.
func (a *api) Reporting() pack.Reporting { return pack.Reporting{AtOnce: 1, Retries: 24 * time.Hour} }

// Reports implements pack.Reporter with one call for each request.
func (a *api) Reports(ctx context.Context, ids ...string) ([]pack.Report, error) {
	var all []pack.Report
	for _, id := range ids {
		found, err := a.request(ctx, id)
		if gone := new(pack.NotOpenError); errors.As(rest.OrGone(err), &gone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, found.report(a.source, id))
	}
	return all, nil
}

// report returns the signatures and the completion. A signature without a time is left out: its id includes the time.
func (r *request) report(source, id string) pack.Report {
	d := r.document(id) // sorts the signers
	report := pack.Report{Document: id, Status: d.Status}
	add := func(typ, name string, at *timestamppb.Timestamp, who *signingv1.Recipient) *signingv1.SigningEvent {
		e := &signingv1.SigningEvent{
			Source: source, Provider: Name, Type: typ, ProviderType: name, OccurredAt: at, Recipient: who,
			Document: &signingv1.Document{Id: id, Title: d.Title}, Verification: signingv1.Verification_VERIFICATION_CONFIRMED,
		}
		return e
	}
	for i, s := range r.Signers {
		who := d.Recipients[i]
		at := moment(s.SignedTime, s.SignedAt)
		switch {
		case who.ID == "":
		case !who.Signed:
			report.Unsigned = append(report.Unsigned, who.ID)
		case at != nil:
			e := add(event.RecipientSigned, "request_signed", at, &signingv1.Recipient{Id: who.ID, FirstName: who.FirstName, LastName: who.LastName})
			e.Id = event.TransitionID(e, at.AsTime().Format(time.RFC3339Nano)) // as for a callback without an activity, see sending
			report.Facts = append(report.Facts, pack.Fact{Event: e, By: at.AsTime()})
		}
	}
	if d.Status == pack.StatusCompleted {
		e := add(event.DocumentCompleted, "request_complete", moment(r.CompletedTime, r.CompletedAt), nil)
		e.Id = event.TransitionID(e)
		report.Facts = append(report.Facts, pack.Fact{Event: e, Exact: true})
	}
	pack.InOrder(report.Facts)
	return report
}

// moment returns the first readable time; nil for none.
func moment(texts ...rest.Text) *timestamppb.Timestamp {
	for _, text := range texts {
		if t, ok := instant.Parse(string(text)); ok {
			return timestamppb.New(t)
		}
	}
	return nil
}
