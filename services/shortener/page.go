package shortener

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

// page is what a person reads who is not sent on: what happened, and what to do.
type page struct {
	outcome string // a metric's label
	status  int
	retry   time.Duration // Retry-After; 0 for none

	Title, Text string
	Button      string // what asks for the link once more; empty for none
}

//go:embed page.html
var pageText string

var pages = template.Must(template.New("page").Parse(pageText))

var (
	unknown = page{outcome: "unknown", status: http.StatusNotFound, Title: "This link does not work",
		Text: "Part of it may have been lost on its way. Please open it from the message itself, or ask whoever sent it to send it again."}
	expired = page{outcome: "expired", status: http.StatusGone, Title: "This link has expired",
		Text: "Links work for a limited time. Please ask whoever sent you the document for a new one."}
	failed = page{outcome: "failed", status: http.StatusServiceUnavailable, retry: 5 * time.Second, Title: "We cannot open this right now",
		Text: "Your link is fine. Please try again in a moment.", Button: "Try again"}

	// A robot's page tells nothing of what is behind the link; previews show it.
	robot = page{outcome: "robot", status: http.StatusOK, Title: "Open your link", Text: "Please press Continue to go on.", Button: "Continue"}
	// A browser that asks before the click must not keep the answer and show it then; it drops one that failed.
	prefetch = page{outcome: "prefetch", status: http.StatusServiceUnavailable, Title: robot.Title, Text: robot.Text, Button: robot.Button}

	busy = page{outcome: "busy", status: http.StatusServiceUnavailable, Title: "The document cannot be reached right now",
		Text: "Your link is fine, and nothing is lost. Please try again in a few minutes.", Button: "Try again"}
)

func limited(wait time.Duration) page {
	return page{outcome: "limited", status: http.StatusTooManyRequests, retry: wait, Title: "Too many links at once",
		Text: "Many links were opened from your network in a short time. Please try again in a minute.", Button: "Try again"}
}

// busyFor is busy, until a time that may be known.
func busyFor(wait time.Duration) page {
	p := busy
	p.retry = max(wait, 30*time.Second)
	return p
}

// notOpen says why there is nothing behind a link now.
func notOpen(why *pack.NotOpenError) page {
	switch why.Reason {
	case pack.AlreadySigned: // all is well, so 200
		return page{outcome: string(why.Reason), status: http.StatusOK, Title: "You have already signed",
			Text: "There is nothing left for you to do here. Thank you!"}
	case pack.Ended:
		return page{outcome: string(why.Reason), status: http.StatusGone, Title: "This document is closed",
			Text: "It was declined or withdrawn, or its time ran out. If you did not expect that, please ask whoever sent it to you."}
	case pack.NotYet:
		return page{outcome: string(why.Reason), status: http.StatusServiceUnavailable, retry: max(why.In, time.Minute),
			Title: "The document is not ready yet",
			Text:  "Someone else has to sign first, or it is being fetched from the archive. Please come back " + inWords(why.In) + ".", Button: "Try again"}
	default:
		return page{outcome: "gone", status: http.StatusGone, Title: "This document is no longer there",
			Text: "Please ask whoever sent it to you to send it again."}
	}
}

// inWords is a time as one says it: "in about 4 hours".
func inWords(d time.Duration) string {
	count := func(n float64, unit string) string {
		if n = math.Ceil(n); n == 1 {
			return "in about one " + unit
		}
		return fmt.Sprintf("in about %.0f %ss", n, unit)
	}
	switch {
	case d <= 0:
		return "later"
	case d <= time.Hour:
		return count(d.Minutes(), "minute")
	default:
		return count(d.Hours(), "hour")
	}
}

// show answers with a page.
func (p page) show(w http.ResponseWriter, r *http.Request, log *slog.Logger) {
	var text bytes.Buffer
	if err := pages.Execute(&text, p); err != nil {
		log.ErrorContext(r.Context(), "page of a short link not made", "error", err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(text.Len()))
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retry.Seconds()))))
	}
	w.WriteHeader(p.status)
	if _, err := w.Write(text.Bytes()); err != nil && r.Method != http.MethodHead {
		log.DebugContext(r.Context(), "short link's reader left", "error", err)
	}
}
