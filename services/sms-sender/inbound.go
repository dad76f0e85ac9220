package smssender

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sms-sender/gateway"
)

// inboundHandler serves the texts that people send to the account: POST|GET /inbound/{vendor}/{source}. It is signed as receipts are. It
// returns 2xx only when everything that follows from the text is stored. The vendor repeats other texts for a day.
type inboundHandler struct {
	vendor  gateway.Gateway
	replies replies
	sources map[string]bool // names
	hides   bool            // an unknown source gets the same response as a wrong signature
	log     *slog.Logger
	metrics metrics
}

func newInboundHandler(env service.Env, vendor gateway.Gateway, r replies, m metrics) *inboundHandler {
	h := &inboundHandler{vendor: vendor, replies: r, sources: map[string]bool{}, hides: env.Config.HideSources, log: env.Log, metrics: m}
	for _, s := range env.Config.Sources {
		h.sources[s.Name] = true
		m.initReplies(s.Name, s.Provider)
	}
	return h
}

func (h *inboundHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	source := r.PathValue("source")
	id, resp := h.serve(w, r, source)
	if !h.sources[source] {
		source = "unknown" // the text in the path could be a number
	}
	h.metrics.inbound.WithLabelValues(resp.result).Inc()
	h.log.Log(r.Context(), resp.level(), "inbound text", "source", source, "id", id, "status", resp.status, "outcome", resp.result,
		"took_ms", time.Since(began).Milliseconds(), "error", resp.err)
	resp.write(w)
}

// serve returns the vendor's id of the text, only if the text is authentic.
func (h *inboundHandler) serve(w http.ResponseWriter, r *http.Request, source string) (id string, resp response) {
	fields, refused := verified(w, r, h.vendor, h.sources[source], h.hides)
	if refused != nil {
		return "", *refused
	}
	text, err := h.vendor.ReadText(fields, h.replies.now())
	if err != nil {
		return "", malformed(err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), recordTimeout)
	defer cancel()
	result, err := h.replies.handle(ctx, source, text)
	if err != nil {
		return text.ID, response{status: http.StatusServiceUnavailable, result: "unavailable", detail: "The text could not be stored now.", err: err}
	}
	return text.ID, response{status: http.StatusOK, result: result}
}

// verified returns the fields of a request that the vendor signed, for a source of the settings. Otherwise it returns the response.
func verified(w http.ResponseWriter, r *http.Request, vendor gateway.Gateway, known, hides bool) (map[string]string, *response) {
	if r.Method != http.MethodPost && r.Method != http.MethodGet { // the pattern accepts HEAD
		w.Header().Set("Allow", "GET, POST")
		return nil, &response{status: http.StatusMethodNotAllowed, result: "malformed", detail: "This path accepts GET and POST."}
	}
	if !known && !hides {
		return nil, &response{status: http.StatusNotFound, result: "refused", detail: "The settings have no such source."}
	}
	refuse := func(r response) (map[string]string, *response) { return nil, &r }
	if _, err := vendor.Receipts(); err != nil {
		return refuse(unauthentic(err))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largest))
	if over := new(http.MaxBytesError); errors.As(err, &over) {
		return refuse(response{status: http.StatusRequestEntityTooLarge, result: "malformed", detail: "The body is larger than 64 KiB."})
	}
	if err != nil {
		return refuse(malformed(errors.New("the body ended early or came too slowly")))
	}
	fields, err := vendor.Verify(r, body)
	switch {
	case errors.Is(err, gateway.ErrSignature):
		return refuse(unauthentic(err))
	case err != nil:
		return refuse(malformed(err))
	case !known:
		return refuse(unauthentic(errors.New("the settings have no such source")))
	}
	service.Verified(r.Context())
	return fields, nil
}

// The results of an inbound text, in the response, the log and the metrics.
const (
	inboundRecorded = "recorded"
	inboundRepeated = "repeated" // the vendor sent it before
	inboundPart     = "part"     // other parts of it are missing
	inboundOutdated = "outdated" // the person sent a later one with the opposite meaning, or it is too old
	inboundIgnored  = "ignored"  // it does not come from a phone number, so no person wrote it
)

var inboundResults = []string{
	inboundRecorded, inboundRepeated, inboundPart, inboundOutdated, inboundIgnored, "refused", "malformed", "unavailable",
}

// localeOf returns the language of a reply.
func localeOf(last lastText, fallback string) string { return cmp.Or(last.Locale, fallback, "en") }
