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
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// Refused is an answer that is not the one that was asked for. What its body says may be personal, and is not kept.
func (call Call) Refused(answer *http.Response) *pack.CallError {
	// Read a little, so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, answer.Body, 4<<10)
	return &pack.CallError{
		Op:         call.Op,
		Status:     answer.StatusCode,
		RetryAfter: limit.RetryAfter(answer.Header, time.Now()),
		Then:       then(answer.StatusCode),
	}
}

// then tells what asking again can change. A 404 may pass: a document that was just sent may not be readable yet.
func then(status int) pack.Then {
	switch status {
	case http.StatusBadRequest, http.StatusGone, http.StatusUnprocessableEntity:
		return pack.GiveUp
	case http.StatusUnauthorized, http.StatusForbidden:
		return pack.Stop
	default:
		return pack.Retry
	}
}

// Unreadable is an answer that says everything is well and does not hold what was asked for. A proxy's page in its place
// passes. Why it could not be read is left out: decoders quote what they read.
func (call Call) Unreadable() *pack.CallError {
	return &pack.CallError{Op: call.Op, Err: errors.New("the answer does not hold what was asked for")}
}

// OrGone is err, but for a document that the provider does not know. Where it was known before, as that of a link must
// have been, it is gone.
func OrGone(err error) error {
	var call *pack.CallError
	if errors.As(err, &call) && (call.Status == http.StatusNotFound || call.Status == http.StatusGone) {
		return &pack.NotOpenError{Reason: pack.Gone}
	}
	return err
}

func (call Call) failed(ctx context.Context, err error) *pack.CallError {
	return &pack.CallError{Op: call.Op, Err: cause(ctx, err)}
}

// cause is why no answer came, without the URL, the ids and the addresses that the network's own errors name.
func cause(ctx context.Context, err error) error {
	var later *limit.LaterError
	var name *net.DNSError
	var call *net.OpError
	switch {
	case errors.As(err, &later): // nobody was asked
		return later
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &name):
		return errors.New("the server's name was not found")
	case isTimeout(err):
		return errors.New("no answer in time")
	case errors.As(err, &call):
		return fmt.Errorf("the connection failed (%s)", call.Op)
	default:
		return errors.New("the connection broke")
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
