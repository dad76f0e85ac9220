package shortener

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

// page is the response to a visitor who is not redirected. It describes the situation and the next step. pagetext.go has its texts, by
// outcome.
type page struct {
	outcome string // a metric's label, and the key of its text
	status  int
	retry   time.Duration // Retry-After; 0 for none
	in      time.Duration // the time until another attempt, for the text; 0 if unknown
	hides   bool          // the page reveals nothing about the link
	wish    wish          // that its button sends; empty for a button that opens the document
	correct *correctForm  // nil for a page without it
	refresh time.Duration // after which the browser loads the page again; 0 for never
}

//go:embed page.html
var pageHTML string

var pages = template.Must(template.New("page").Parse(pageHTML))

// contentPolicy allows the page's own style, by its hash, and nothing else. It has no form-action: Chromium would apply it to the provider's
// address that the button redirects to.
var contentPolicy = "default-src 'none'; style-src 'sha256-" + styleHash() + "'; base-uri 'none'; frame-ancestors 'none'"

func styleHash() string {
	_, style, _ := strings.Cut(pageHTML, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	return base64.StdEncoding.EncodeToString(sum[:])
}

var (
	unknown = page{outcome: "unknown", status: http.StatusNotFound}
	expired = page{outcome: "expired", status: http.StatusGone}
	failed  = page{outcome: "failed", status: http.StatusServiceUnavailable, retry: 5 * time.Second}
	busy    = page{outcome: "busy", status: http.StatusServiceUnavailable}

	// Messengers show the page that their robot fetched to all participants of the conversation.
	robot = page{outcome: "robot", status: http.StatusOK, hides: true}
	// A browser that prefetches must not show this response at the click. Browsers drop a failed response.
	prefetch = page{outcome: "prefetch", status: http.StatusServiceUnavailable, hides: true}
)

// The pages on which a person says that no more messages about the document are wanted. The first asks, because a wrong tap would end the
// person's reminders.
var (
	askStop  = page{outcome: "stop-ask", status: http.StatusOK, wish: stopMessages}
	stopped  = page{outcome: "stopped", status: http.StatusOK, wish: startMessages}
	started  = page{outcome: "started", status: http.StatusOK}
	stopLost = page{outcome: "stop-failed", status: http.StatusServiceUnavailable, retry: 5 * time.Second}
)

// button returns the page of a link that the provider resolves when its button is pressed.
func button(l link) page {
	switch {
	case l.corrects():
		return page{outcome: "button-correct", status: http.StatusOK}
	case l.Purpose == string(pack.Download):
		return page{outcome: "button-download", status: http.StatusOK}
	}
	return page{outcome: "button", status: http.StatusOK}
}

func limited(wait time.Duration) page {
	return page{outcome: "limited", status: http.StatusTooManyRequests, retry: wait}
}

// busyFor works like busy, with the time until another attempt; 0 if unknown.
func busyFor(wait time.Duration) page {
	p := busy
	p.retry = max(wait, 30*time.Second)
	return p
}

// notOpen returns the page of a link that has no target now.
func notOpen(why *pack.NotOpenError) page {
	switch why.Reason {
	case pack.AlreadySigned: // not an error, so 200
		return page{outcome: string(why.Reason), status: http.StatusOK}
	case pack.Ended:
		return page{outcome: string(why.Reason), status: http.StatusGone}
	case pack.NotYet:
		return page{outcome: string(why.Reason), status: http.StatusServiceUnavailable, retry: max(why.In, time.Minute), in: why.In}
	default:
		return page{outcome: "gone", status: http.StatusGone}
	}
}

// content is the data of page.html.
type content struct {
	Language      string
	Title, Sender string // of the document; empty if unknown or hidden
	Heading, Text string
	Button        string // its text; empty for no button
	Note          string
	Asks          bool // the page shows the document and asks for a click; other pages report a problem
	Wish          wish
	Stop, Back    string          // the texts of the small button that asks for no more messages, and of the link back; empty for none
	Correct       *correctContent // nil for a page without the form
	Refresh       int             // in seconds; 0 for none
}

// show writes the page.
func (p page) show(v *visit, log *slog.Logger) {
	var text bytes.Buffer
	if err := pages.Execute(&text, p.content(v)); err != nil {
		log.ErrorContext(v.r.Context(), "page of a short link not rendered", "error", err)
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(text.Len()))
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retry.Seconds()))))
	}
	v.w.WriteHeader(p.status)
	if _, err := v.w.Write(text.Bytes()); err != nil && v.r.Method != http.MethodHead {
		log.DebugContext(v.r.Context(), "short link's visitor disconnected", "error", err)
	}
}

func (p page) content(v *visit) content {
	about := v.entry.shown
	in := translationFor(v.r.Header.Get("Accept-Language"), about.Locale)
	if p.hides {
		about = shown{}
	}
	text := in.texts[p.outcome]
	c := content{
		Language: in.language, Title: about.Title, Sender: about.Sender,
		Heading: text.heading, Text: text.text, Button: text.button, Asks: text.note != nil, Wish: p.wish,
	}
	switch p.outcome {
	case "button":
		if v.entry.mayStop() {
			c.Stop = in.stop
		}
	case askStop.outcome:
		c.Back = in.back
	}
	if p.outcome == string(pack.NotYet) {
		c.Text += " " + in.comeBack(p.in)
	}
	if p.correct != nil {
		c.Correct = p.correct.content(in)
	}
	c.Refresh = int(p.refresh.Seconds())
	if text.note != nil {
		c.Note = text.note(about.Sender)
	}
	return c
}
