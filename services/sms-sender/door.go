package smssender

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/service"
)

// door takes Vonage's delivery receipts: POST|GET /receipts/vonage/{source}. A text is found by its own reference and not by
// the source in the path, which may be any of the settings': where the account's dashboard says where receipts go, it names
// one address for the texts of all.
type door struct {
	texts   texts
	sources map[string]bool      // names
	hides   bool                 // an unknown source is answered as a wrong signature
	account func() config.Vonage // as the settings are now
	log     *slog.Logger
	metrics metrics
}

func newDoor(env service.Env, t texts, m metrics) *door {
	d := &door{
		texts: t, sources: map[string]bool{}, hides: env.Config.HideSources, log: env.Log, metrics: m,
		account: func() config.Vonage { return env.Live.Now().SMS.Vonage },
	}
	for _, s := range env.Config.Sources {
		d.sources[s.Name] = true
	}
	if env.Config.SMS.Vonage.SignatureSecret == "" {
		env.Log.Warn("delivery receipts of text messages are refused: sms.vonage.signature_secret is empty, so nobody can sign them")
	}
	return d
}

// told is what Vonage is told, and what we note of it.
type told struct {
	status  int
	outcome string // a metric's label: recorded, repeated, unknown, refused, malformed, unavailable
	detail  string
	err     error // for the log
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	source := r.PathValue("source")
	rec, a := d.serve(w, r, source)
	if !d.sources[source] {
		source = "unknown" // the path's own text could be a number
	}
	d.metrics.receipts.WithLabelValues(rec.status, a.outcome).Inc()
	d.log.Log(r.Context(), a.level(), "receipt", "source", source, "id", rec.reference, "part_status", rec.status,
		"reason", rec.reason, "status", a.status, "outcome", a.outcome, "took_ms", time.Since(began).Milliseconds(), "error", a.err)
	a.write(w)
}

// largest is many times what a receipt has.
const largest = 64 << 10

// serve returns the receipt only where it is authentic.
func (d *door) serve(w http.ResponseWriter, r *http.Request, source string) (receipt, told) {
	account := d.account()
	switch {
	case r.Method != http.MethodPost && r.Method != http.MethodGet: // the pattern lets HEAD in
		w.Header().Set("Allow", "GET, POST")
		return receipt{}, told{status: http.StatusMethodNotAllowed, outcome: "malformed", detail: "This door takes GET or POST."}
	case !d.sources[source] && !d.hides:
		return receipt{}, told{status: http.StatusNotFound, outcome: "refused", detail: "The settings name no such source."}
	case account.SignatureSecret == "":
		return receipt{}, unauthentic(errors.New("sms.vonage.signature_secret is empty"))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largest))
	if over := new(http.MaxBytesError); errors.As(err, &over) {
		return receipt{}, told{status: http.StatusRequestEntityTooLarge, outcome: "malformed", detail: "The body is larger than 64 KiB."}
	}
	if err != nil {
		return receipt{}, malformed(errors.New("the body ended early or came too slowly"))
	}
	p, err := parameters(r, body)
	if err != nil {
		return receipt{}, malformed(err)
	}
	if !signedByAny(p, account.SignatureSecrets(), account.SignatureMethod) {
		return receipt{}, unauthentic(errors.New("the signature is wrong or missing"))
	}
	if !d.sources[source] {
		return receipt{}, unauthentic(errors.New("the settings name no such source"))
	}
	service.Verified(r.Context())
	rec, err := readReceipt(p, time.Now())
	if err != nil {
		return receipt{}, malformed(err)
	}
	return d.record(r.Context(), rec)
}

// recordWithin is a third of the 15 s that Vonage waits for an answer.
const recordWithin = 5 * time.Second

// record takes the receipt in. Its reference goes no further unless it is one of ours: strangers' may be anything.
func (d *door) record(ctx context.Context, rec receipt) (receipt, told) {
	ctx, cancel := context.WithTimeout(ctx, recordWithin)
	defer cancel()
	news, err := d.texts.hear(ctx, rec)
	switch {
	case errors.Is(err, errUnknown):
		rec.reference = ""
		return rec, told{status: http.StatusOK, outcome: "unknown"}
	case err != nil:
		rec.reference = ""
		return rec, told{status: http.StatusServiceUnavailable, outcome: "unavailable", detail: "The receipt could not be stored now.", err: err}
	case news:
		return rec, told{status: http.StatusOK, outcome: "recorded"}
	default:
		return rec, told{status: http.StatusOK, outcome: "repeated"}
	}
}

// unauthentic does not tell a forger what was wrong; the log does.
func unauthentic(err error) told {
	return told{status: http.StatusUnauthorized, outcome: "refused", detail: "The signature is wrong or missing.", err: err}
}

func malformed(err error) told {
	return told{status: http.StatusBadRequest, outcome: "malformed", detail: err.Error(), err: err}
}

func (a told) level() slog.Level {
	switch {
	case a.status < 300:
		return slog.LevelDebug // the metrics count them
	case a.status >= 500:
		return slog.LevelError
	default:
		return slog.LevelWarn
	}
}

// retrySeconds is when a caller that heeds Retry-After comes again after an outage of ours; Vonage comes when it likes.
const retrySeconds = 5

// write answers with the outcome, or with an RFC 9457 problem.
func (a told) write(w http.ResponseWriter) {
	if a.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(retrySeconds))
	}
	if a.status >= 300 {
		service.NewProblem(a.status, "", a.detail).Write(w)
		return
	}
	service.WriteJSON(w, a.status, struct {
		Status string `json:"status"`
	}{a.outcome})
}
