package enricher

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/recipient"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The enricher's own reasons why a person does not get a message. Package recipient has the others, and docs/subscribe.md lists all.
const (
	documentOver = event.OverDocument // the document ended before the message was made
	unconfirmed  = "unconfirmed"      // the callback is not authenticated, and the provider's API does not confirm it
)

// suppress ends an event whose planned messages must not be sent. The log gets an event with the reason for each message. The input is
// skipped if there is no such message.
func (e *enricher) suppress(
	ctx context.Context, happened *signingv1.SigningEvent, made recipient.Messages, stored time.Time, reason string,
) ([]stage.Out, error) {
	outs, err := e.suppressed(ctx, happened, made, stored, reason)
	if err == nil && len(outs) == 0 {
		return nil, outcome.Skip(reason)
	}
	return outs, err
}

// suppressed returns notification.suppressed for each planned message, except those that an earlier attempt or another event has made already.
func (e *enricher) suppressed(
	ctx context.Context, happened *signingv1.SigningEvent, made recipient.Messages, stored time.Time, reason string,
) ([]stage.Out, error) {
	requested, err := e.requested(ctx, happened)
	if err != nil {
		return nil, err
	}
	all := made.Suppressed
	for _, n := range made.Made {
		all = append(all, recipient.Suppressed{Message: n, Reason: reason})
	}
	for _, u := range made.Waiting {
		all = append(all, recipient.Suppressed{Message: u.Message, Reason: reason})
	}
	all = slices.DeleteFunc(all, func(u recipient.Suppressed) bool { return requested[u.Message.GetId()] })
	made = recipient.Messages{Suppressed: all}
	e.metrics.count(made)
	outs, err := recipient.Outs(ctx, flow.Enricher, happened, made, stored, nil)
	if err != nil || len(outs) == 0 {
		return nil, err
	}
	return stage.Unpublished(ctx, e.log.JS, outs)
}

// unconfirmed ends an event that confirm did not accept, or retries it.
func (e *enricher) unconfirmed(
	ctx context.Context, happened *signingv1.SigningEvent, made recipient.Messages, stored time.Time, err error,
) ([]stage.Out, error) {
	switch {
	case errors.Is(err, errNotConfirmable):
		return e.suppress(ctx, happened, made, stored, unconfirmed)
	case errors.Is(err, errDenied):
		outs, err := e.suppressed(ctx, happened, made, stored, unconfirmed)
		if err != nil {
			return nil, err
		}
		return nil, outcome.Permanent(&deniedError{outs})
	default:
		return nil, err
	}
}

// deniedError ends an event that the provider's API contradicts. The event becomes a dead letter, and outs report the suppressed messages in
// the log.
type deniedError struct{ outs []stage.Out }

func (*deniedError) Error() string { return errUnconfirmed.Error() }

// denied is the enricher's function Runner.GivenUp.
func denied(_ stage.Event[*signingv1.SigningEvent], reason error) []stage.Out {
	if d := new(deniedError); errors.As(reason, &d) {
		return d.outs
	}
	return nil
}

// unknown reports whether the provider's API does not have the document, or refuses each such request.
func unknown(err error) bool {
	var call *pack.CallError
	return errors.As(err, &call) && (call.Status == http.StatusNotFound || outcome.Of(err).Kind() == outcome.GaveUp)
}
