package shortener

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// door serves the short links to signers.
type door struct {
	links book
	js    jetstream.JetStream
	log   *slog.Logger
	asked *prometheus.CounterVec
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")         // every opening is heard of
	h.Set("Referrer-Policy", "no-referrer")    // the code is a secret, and stays out of the target's logs
	h.Set("X-Robots-Tag", "noindex, nofollow") // and out of search engines

	l, err := d.links.open(r.Context(), r.PathValue("code"))
	switch {
	case errors.Is(err, errUnknown):
		d.asked.WithLabelValues("unknown").Inc()
		http.Error(w, "This link does not exist, or no longer does.", http.StatusNotFound)
		return
	case err != nil:
		d.asked.WithLabelValues("failed").Inc()
		d.log.ErrorContext(r.Context(), "short link not served", "error", err)
		h.Set("Retry-After", "5")
		http.Error(w, "This link cannot be opened right now. Please try again in a moment.", http.StatusServiceUnavailable)
		return
	}

	h.Set("Location", l.Target)
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusFound)
	if r.Method == http.MethodHead {
		d.asked.WithLabelValues("previewed").Inc() // a robot that looks whether the link lives; nobody opened it
		return
	}
	d.asked.WithLabelValues("redirected").Inc()
	// The signer is on the way before the log hears of it. Still within the request, so that a server that is told to stop
	// waits for it.
	if err := http.NewResponseController(w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		d.log.DebugContext(r.Context(), "short link's reader left", "error", err)
	}
	if err := d.tell(r.Context(), l); err != nil {
		d.log.WarnContext(r.Context(), "opening of a short link not recorded",
			"source", l.Source, "provider", l.Provider, "error", err)
	}
}

// tellWithin is how long the log has to take an opening. It is worth less than a handler that hangs.
const tellWithin = time.Second

// tell publishes link.opened. Each opening is an event of its own, so its id has a random part.
func (d *door) tell(ctx context.Context, l link) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellWithin)
	defer cancel()
	opened := &signingv1.SigningEvent{
		Source: l.Source, Provider: l.Provider, Type: "link.opened",
		OccurredAt:   timestamppb.Now(),
		Verification: signingv1.Verification_VERIFICATION_INTERNAL,
		Attributes:   map[string]string{"purpose": l.Purpose},
		Notice:       &signingv1.Notice{Kind: l.Kind},
	}
	if l.Document != "" {
		opened.Document = &signingv1.Document{Id: l.Document}
	}
	if l.Recipient != "" {
		opened.Recipient = &signingv1.Recipient{Id: l.Recipient}
	}
	opened.Id = event.OccurrenceID(opened, rand.Text())
	m, err := event.Message(ctx, opened)
	if err != nil {
		return err
	}
	if _, err := d.js.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("publish link.opened: %w", err)
	}
	return nil
}
