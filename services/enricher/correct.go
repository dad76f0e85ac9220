package enricher

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/crash"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/optout"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/recipient"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// correct fulfils correction.requested: at the provider, if its API can correct a recipient, otherwise for the messages of Signrelay only. The
// invitation to the corrected person follows from recipient.corrected. The correction is stored before that event, so that no message to the old
// address leaves once the event is in the log.
func (e *enricher) correct(ctx context.Context, in stage.Event[*signingv1.SigningEvent]) ([]stage.Out, error) {
	o := order{enricher: e, in: in, done: event.RecipientCorrected, refused: event.CorrectionRefused}
	return o.run(ctx, func(src providers.Source, who event.Signer) error {
		rules := rulesFor(src.Settings)
		to, mistakes := recipient.CheckDetails(detailsOf(in.Data.GetRecipient()), rules, src.Settings.Region)
		if len(mistakes) > 0 {
			return &refusal{event.RefusedNotAllowed, mistakes[0].Field + ": " + mistakes[0].Text}
		}
		corrected := o.event(event.RecipientCorrected)
		if corrector, can := src.API.(pack.Corrector); can && rules != nil {
			id, err := corrector.Correct(ctx, who.Document, who.Recipient, to)
			if err != nil {
				return err
			}
			crash.Point("corrected at the provider")
			corrected.Recipient = recipient.Corrected(id, to)
			corrected.Attributes[event.AttributeScope] = event.AtProvider
			if id != who.Recipient {
				corrected.Attributes[event.AttributePrevious] = who.Recipient
			}
		} else {
			listed, err := recipient.Find(ctx, e.log, src.API, who)
			was, _ := recipient.CheckDetails(listed.Details(), nil, src.Settings.Region) // in the same spelling
			switch {
			case err != nil:
				return err
			case !listed.Invite:
				return &refusal{reason: recipient.ProviderWrites}
			case was == to:
				return &refusal{reason: event.RefusedUnchanged}
			}
			corrected.Recipient = recipient.Corrected(who.Recipient, to)
			corrected.Attributes[event.AttributeScope] = event.OwnMessages
			corrected.Attributes[event.AttributePreviousEmail], corrected.Attributes[event.AttributePreviousMobile] = listed.Given.Email, listed.Given.Mobile
		}
		if err := e.optOuts.Correct(ctx, who, optout.Correction{ID: corrected.GetId(), At: event.Time(corrected)}); err != nil {
			return outcome.Failure(outcome.Ours, "optouts-away", err)
		}
		crash.Point("correction stored")
		o.outcome = corrected
		return nil
	})
}

// resend fulfils a resend.requested that the provider fulfils with its own message.
func (e *enricher) resend(ctx context.Context, in stage.Event[*signingv1.SigningEvent]) ([]stage.Out, error) {
	o := order{enricher: e, in: in, done: event.RecipientResent, refused: event.ResendRefused}
	return o.run(ctx, func(src providers.Source, who event.Signer) error {
		resender, can := src.API.(pack.Resender)
		if !can {
			return &refusal{reason: event.RefusedNotSupported}
		}
		err := resender.Resend(ctx, who.Document, who.Recipient)
		if in.Attempt > 1 && refusalOf(err) != nil {
			// An attempt before this one may have died after the call. The provider refuses a second message within a time.
			sent, failure := e.sentSince(ctx, who, in.Stored)
			if failure != nil {
				return failure
			}
			if sent {
				err = nil
			}
		}
		if err != nil {
			return err
		}
		crash.Point("resent by the provider")
		o.outcome = o.event(event.RecipientResent)
		return nil
	})
}

// sentSince reports whether the provider has reported a message to a person since a time in the log.
func (e *enricher) sentSince(ctx context.Context, who event.Signer, since time.Time) (bool, error) {
	for stored, err := range e.log.Document(ctx, who, []string{event.RecipientSent}) {
		if err != nil {
			return false, err
		}
		if stored.Event.GetRecipient().GetId() == who.Recipient && stored.Time.After(since) {
			return true, nil
		}
	}
	return false, nil
}

// order is an order about a person at the provider, and its outcome.
type order struct {
	*enricher
	in            stage.Event[*signingv1.SigningEvent]
	done, refused string // the types of its outcomes
	outcome       *signingv1.SigningEvent
}

// refusal is the outcome of an order that is not fulfilled, and that another attempt cannot fulfil either.
type refusal struct{ reason, message string }

func (r *refusal) Error() string { return "refused: " + r.reason }

// run fulfils an order once. An attempt that follows a crash finds its outcome in the log.
func (o *order) run(ctx context.Context, fulfil func(providers.Source, event.Signer) error) ([]stage.Out, error) {
	who := event.SignerOf(o.in.Data)
	if who.Document == "" || who.Recipient == "" {
		return nil, outcome.PermanentFor("no-person", errors.New("the order names no document or no person"))
	}
	src, ok := o.sources()[providers.SourceKey{Name: who.Source, Provider: who.Provider}]
	if !ok {
		return nil, outcome.Permanent(errors.New("the order's source is not in the settings"))
	}
	if o.in.Attempt > 1 {
		for _, typ := range []string{o.done, o.refused} {
			id := o.event(typ).GetId()
			known, err := o.log.Which(ctx, event.SubjectOf(who.Source, who.Provider, typ, who.Document), event.Span{}, id)
			if err != nil {
				return nil, err
			}
			if known[id] {
				return nil, errRepeated
			}
		}
	}
	is, err := o.log.Standing(ctx, who)
	if err != nil {
		return nil, err
	}
	switch {
	case is.Over != "" && is.Over != event.OverOptedOut: // a wrong person may have opted out
		err = &refusal{reason: is.Over}
	case src.API == nil:
		err = &refusal{reason: event.RefusedNoAPI}
	default:
		err = fulfil(src, who)
		if err == nil || errors.As(err, new(*pack.CallError)) {
			o.metrics.countCall(src.Settings, err)
		}
	}
	if why := refusalOf(err); why != nil {
		o.outcome = o.event(o.refused)
		o.outcome.Recipient = &signingv1.Recipient{Id: who.Recipient}
		o.outcome.Attributes[event.AttributeReason] = why.reason
		if why.message != "" {
			o.outcome.Attributes[event.AttributeMessage] = why.message
		}
	} else if err != nil {
		return nil, outcomeOf(err)
	}
	m, err := event.Message(ctx, o.outcome)
	if err != nil {
		return nil, outcome.Permanent(fmt.Errorf("encode an event: %w", err))
	}
	return []stage.Out{m}, nil
}

// refusalOf returns the refusal that an error means; nil if another attempt may succeed, or if only the operator can act.
func refusalOf(err error) *refusal {
	var own *refusal
	var state *pack.NotCorrectableError
	var call *pack.CallError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own
	case errors.As(err, &state):
		return &refusal{reason: string(state.Reason)}
	case errors.Is(err, pack.ErrNotOurs):
		return &refusal{reason: string(pack.NotListed)}
	case errors.As(err, &call) && call.Status == http.StatusNotFound:
		return &refusal{reason: string(pack.NotListed)}
	case errors.As(err, &call) && outcome.Of(err).Kind() == outcome.GaveUp:
		return &refusal{event.RefusedByProvider, call.Message}
	default:
		return nil
	}
}

// event returns an outcome of the order. Its id follows from the order, and its time is that of the order in the log.
func (o *order) event(typ string) *signingv1.SigningEvent {
	asked := o.in.Data
	return &signingv1.SigningEvent{
		Id: event.DerivedID(asked.GetId(), flow.Enricher, typ), Source: asked.GetSource(), Provider: asked.GetProvider(), Type: typ,
		OccurredAt: timestamppb.New(o.in.Stored), Verification: signingv1.Verification_VERIFICATION_INTERNAL,
		Document: &signingv1.Document{Id: asked.GetDocument().GetId()}, Recipient: &signingv1.Recipient{Id: asked.GetRecipient().GetId()},
		Attributes: map[string]string{
			event.AttributeOrder: asked.GetId(), event.AttributeBy: asked.GetAttributes()[event.AttributeBy],
			event.AttributeReason: asked.GetAttributes()[event.AttributeReason],
		},
	}
}

// rulesFor returns what the source's provider needs to correct a recipient; nil if it cannot.
func rulesFor(src config.Source) *pack.Corrects {
	p, _ := providers.ByName(src.Provider)
	return p.Corrects
}

func detailsOf(r *signingv1.Recipient) pack.Details {
	return pack.Details{FirstName: r.GetFirstName(), LastName: r.GetLastName(), Email: r.GetEmail(), Mobile: r.GetMobile()}
}

// inviteCorrected plans the invitation of the person of recipient.corrected. If the provider invites the person, it has done so with the
// correction.
func (p *planner) inviteCorrected() {
	p.People(p.signers.people)
	about := p.About(notifyv1.Kind_KIND_INVITATION)
	if len(p.signers.people) == 0 {
		p.AwaitSigners(about)
		return
	}
	id := p.Happened.GetRecipient().GetId()
	if slices.ContainsFunc(p.signers.people, func(who recipient.Person) bool { return who.ID == id && !who.Invite }) {
		return
	}
	if who, waits := p.waiting(about); waits {
		p.Notify(about, who)
	}
}

// correctionLink returns the link to the page on which the sender corrects the person of the event; nil if the person cannot be corrected.
func (p *planner) correctionLink() *notifyv1.Link {
	id := p.Happened.GetRecipient().GetId()
	i := recipient.Only(p.signers.people, func(who recipient.Person) bool { return who.ID != "" && who.ID == id })
	if i < 0 || p.signers.people[i].Declined || rulesFor(p.Source) == nil && !p.signers.people[i].Invite {
		return nil
	}
	return &notifyv1.Link{Purpose: notifyv1.Link_PURPOSE_CORRECT, RecipientId: id}
}
