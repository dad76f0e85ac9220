package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/oauth"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// Refused turns an unexpected response into an error. The body may contain personal data, so it is dropped. A 404 may be temporary: a
// document that was just sent may not be readable yet.
func (call Call) Refused(response *http.Response) error {
	// Read a little, so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, response.Body, 4<<10)
	var err error = &pack.CallError{Op: call.Op, Status: response.StatusCode}
	if after := limit.RetryAfter(response.Header, time.Now()); after > 0 {
		err = outcome.RetryAfter(after, err)
	}
	switch response.StatusCode {
	case http.StatusBadRequest, http.StatusGone, http.StatusUnprocessableEntity:
		return outcome.Refused(outcome.Provider, "", err)
	case http.StatusUnauthorized, http.StatusForbidden:
		return outcome.NeedsOperator(outcome.Account, "", err)
	default:
		return outcome.Failure(outcome.Provider, "", err)
	}
}

// Unreadable returns the error for a successful response without the expected content. It may be temporary, such as a proxy's page. The error
// omits the cause, because decoders quote their input.
func (call Call) Unreadable() error {
	return call.failure(errors.New("the response lacks the expected content"))
}

// OrGone returns err, but a *pack.NotOpenError with pack.Gone for a document that the provider does not know. The document of a link was
// known before, so it was removed.
func OrGone(err error) error {
	var call *pack.CallError
	if errors.As(err, &call) && (call.Status == http.StatusNotFound || call.Status == http.StatusGone) {
		return &pack.NotOpenError{Reason: pack.Gone, Archived: true}
	}
	return err
}

// signInPause is the time after which a call is tried again that waits for a person's sign-in. Such a try reads an entry of a bucket.
const signInPause = 10 * time.Second

// failed returns the error of a call without a complete response.
func (call Call) failed(ctx context.Context, err error) error {
	if later := new(limit.LaterError); errors.As(err, &later) { // the provider was not called
		return later.Outcome(&pack.CallError{Op: call.Op, Err: later})
	}
	if signIn := new(oauth.SignInError); errors.As(err, &signIn) { // the provider was not called
		return outcome.NotTried(signInPause, "sign-in", &pack.CallError{Op: call.Op, Err: signIn})
	}
	return call.failure(cause(ctx, err))
}

// failure returns the error of a call that may succeed in another attempt.
func (call Call) failure(err error) error {
	return outcome.Failure(outcome.Provider, "", &pack.CallError{Op: call.Op, Err: err})
}

// invalid returns the error of a call that cannot be made at all.
func (call Call) invalid(err error) error {
	return outcome.Refused(outcome.Provider, "", &pack.CallError{Op: call.Op, Err: err})
}

// cause returns why there was no response, without the URL, ids and addresses that network errors contain.
func cause(ctx context.Context, err error) error {
	var name *net.DNSError
	var call *net.OpError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &name):
		return errors.New("the server's name does not resolve")
	case isTimeout(err):
		return errors.New("no response in time")
	case errors.As(err, &call):
		return fmt.Errorf("the connection failed (%s)", call.Op)
	default:
		return errors.New("the connection was lost")
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
