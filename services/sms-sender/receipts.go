package smssender

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sms-sender/gateway"
)

// receiptsHandler serves the vendor's delivery receipts: POST|GET /receipts/{vendor}/{source}. It finds a text by its reference and not by
// the source in the path. The path may contain any source of the settings, because a vendor's dashboard may have one URL for all sources.
type receiptsHandler struct {
	vendor  gateway.Gateway
	pending pendingReceipts
	sources map[string]bool // names
	hides   bool            // an unknown source gets the same response as a wrong signature
	log     *slog.Logger
	metrics metrics
}

func newReceiptsHandler(env service.Env, vendor gateway.Gateway, p pendingReceipts, m metrics) *receiptsHandler {
	h := &receiptsHandler{
		vendor: vendor, pending: p, sources: map[string]bool{}, hides: env.Config.HideSources, log: env.Log, metrics: m,
	}
	for _, s := range env.Config.Sources {
		h.sources[s.Name] = true
	}
	if _, err := vendor.Receipts(); err != nil {
		env.Log.Warn("delivery receipts of text messages are refused, because the settings have no secret to verify them", "error", err)
	}
	return h
}

// response is the response to a receipt, with the values for the log and the metrics.
type response struct {
	status int
	result string // a metric's label: recorded, repeated, unknown, refused, malformed, unavailable
	detail string
	err    error // for the log
}

func (h *receiptsHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	source := r.PathValue("source")
	receipt, resp := h.serve(w, r, source)
	if !h.sources[source] {
		source = "unknown" // the text in the path could be a number
	}
	h.metrics.receipts.WithLabelValues(string(receipt.Status), resp.result).Inc()
	h.log.Log(r.Context(), resp.level(), "receipt", "source", source, "id", receipt.Reference, "part_status", string(receipt.Status),
		"reason", receipt.Reason, "status", resp.status, "outcome", resp.result, "took_ms", time.Since(began).Milliseconds(), "error", resp.err)
	resp.write(w)
}

// largest is many times the size of a receipt.
const largest = 64 << 10

// serve returns the receipt only if it is authentic.
func (h *receiptsHandler) serve(w http.ResponseWriter, r *http.Request, source string) (gateway.DeliveryReceipt, response) {
	fields, refused := verified(w, r, h.vendor, h.sources[source], h.hides)
	if refused != nil {
		return gateway.DeliveryReceipt{}, *refused
	}
	receipt, err := h.vendor.ReadReceipt(fields, time.Now())
	if err != nil {
		return gateway.DeliveryReceipt{}, malformed(err)
	}
	return h.record(r.Context(), receipt)
}

// recordTimeout is a third of the 15 s that Vonage waits for a response.
const recordTimeout = 5 * time.Second

// record records a receipt. The reference of a text that is not ours is removed, because it may be any text.
func (h *receiptsHandler) record(ctx context.Context, receipt gateway.DeliveryReceipt) (gateway.DeliveryReceipt, response) {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	changed, err := h.pending.record(ctx, receipt)
	switch {
	case errors.Is(err, errNotOurs):
		receipt.Reference = ""
		return receipt, response{status: http.StatusOK, result: "unknown"}
	case err != nil:
		receipt.Reference = ""
		return receipt, response{status: http.StatusServiceUnavailable, result: "unavailable", detail: "The receipt could not be stored now.", err: err}
	case changed:
		return receipt, response{status: http.StatusOK, result: "recorded"}
	default:
		return receipt, response{status: http.StatusOK, result: "repeated"}
	}
}

// unauthentic writes the reason only to the log, so that an attacker does not get it.
func unauthentic(err error) response {
	return response{status: http.StatusUnauthorized, result: "refused", detail: "The signature is wrong or missing.", err: err}
}

func malformed(err error) response {
	return response{status: http.StatusBadRequest, result: "malformed", detail: err.Error(), err: err}
}

func (r response) level() slog.Level {
	switch {
	case r.status < 300:
		return slog.LevelDebug // the metrics count them
	case r.status >= 500:
		return slog.LevelError
	default:
		return slog.LevelWarn
	}
}

// retrySeconds is the Retry-After of our own failure. Vonage ignores the header.
const retrySeconds = 5

// write writes the result, or an RFC 9457 problem.
func (r response) write(w http.ResponseWriter) {
	if r.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(retrySeconds))
	}
	if r.status >= 300 {
		service.NewProblem(r.status, "", r.detail).Write(w)
		return
	}
	service.WriteJSON(w, r.status, struct {
		Status string `json:"status"`
	}{r.result})
}
