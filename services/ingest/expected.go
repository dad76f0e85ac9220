package ingest

import (
	"context"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
)

// challenged is the outcome (a metric's label) of a request that verifies the address. Such a request is not a callback.
const challenged = "challenge"

// as returns the response in the provider's format. nil changes nothing.
func (a response) as(expected *pack.Response) response {
	if expected != nil {
		a.expected, a.status = expected, expected.Status
	}
	return a
}

// expected returns the response that the provider expects to a callback with this result; nil for ingest's own. The callback is already
// stored, so a panic of the pack here does not make it fail.
func (to destination) expected(ctx context.Context, env service.Env, r pack.Request, result pack.Result) (response *pack.Response) {
	switch result {
	case pack.Accepted, pack.Duplicate, pack.Quarantined:
	default:
		return nil
	}
	if to.route.Respond == nil {
		return nil
	}
	defer func() {
		if panicked(ctx, env, to.source, recover()) != nil {
			response = nil
		}
	}()
	return to.route.Respond(r, result)
}

// challenge returns the response to a request that verifies the address; nil for a request that does not.
func (to destination) challenge(ctx context.Context, env service.Env, r pack.Request) (response *pack.Response) {
	if to.route.Challenge == nil || !slices.Contains(to.route.Challenge.Methods, r.Method) {
		return nil
	}
	defer func() {
		if panicked(ctx, env, to.source, recover()) != nil {
			response = nil
		}
	}()
	return to.route.Challenge.Respond(r)
}

// writeExpected writes a pack's response. It may repeat a text of its request, so no browser may guess its type.
func writeExpected(w http.ResponseWriter, r pack.Response) {
	h := w.Header()
	maps.Copy(h, r.Header)
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Body != "" {
		h.Set("Content-Type", r.ContentType)
		h.Set("Content-Length", strconv.Itoa(len(r.Body)))
	}
	w.WriteHeader(r.Status)
	_, _ = io.WriteString(w, r.Body) // an error means that the client has disconnected; the work is done
}
