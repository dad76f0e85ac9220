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

// page is the response to a visitor who is not redirected: it says what happened, and what to do. words.go has its texts, by
// outcome.
type page struct {
	outcome string // a metric's label, and which words
	status  int
	retry   time.Duration // Retry-After; 0 for none
	in      time.Duration // when to try again, in words; 0 if unknown
	hides   bool          // the page reveals nothing about the link
}

//go:embed page.html
var pageText string

var pages = template.Must(template.New("page").Parse(pageText))

// contentPolicy lets the page have its own style, by its hash, and nothing else from anywhere. No form-action: Chromium holds the
// provider's address that the button leads to against it.
var contentPolicy = "default-src 'none'; style-src 'sha256-" + styleHash() + "'; base-uri 'none'; frame-ancestors 'none'"

func styleHash() string {
	_, style, _ := strings.Cut(pageText, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	return base64.StdEncoding.EncodeToString(sum[:])
}

var (
	unknown = page{outcome: "unknown", status: http.StatusNotFound}
	expired = page{outcome: "expired", status: http.StatusGone}
	failed  = page{outcome: "failed", status: http.StatusServiceUnavailable, retry: 5 * time.Second}
	busy    = page{outcome: "busy", status: http.StatusServiceUnavailable}

	// Messengers show the page of their robots to everybody in the conversation.
	robot = page{outcome: "robot", status: http.StatusOK, hides: true}
	// A browser that asks before the click must not keep the answer and show it then; it drops one that failed.
	prefetch = page{outcome: "prefetch", status: http.StatusServiceUnavailable, hides: true}
)

// button is the page of a link whose provider is asked when its button is pressed.
func button(l link) page {
	if l.Purpose == string(pack.Download) {
		return page{outcome: "button-download", status: http.StatusOK}
	}
	return page{outcome: "button", status: http.StatusOK}
}

func limited(wait time.Duration) page {
	return page{outcome: "limited", status: http.StatusTooManyRequests, retry: wait}
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
		return page{outcome: string(why.Reason), status: http.StatusOK}
	case pack.Ended:
		return page{outcome: string(why.Reason), status: http.StatusGone}
	case pack.NotYet:
		return page{outcome: string(why.Reason), status: http.StatusServiceUnavailable, retry: max(why.In, time.Minute), in: why.In}
	default:
		return page{outcome: "gone", status: http.StatusGone}
	}
}

// content is what page.html shows.
type content struct {
	Language      string
	Title, Sender string // of the document; empty where they are not known, or not shown
	Heading, Text string
	Button        string // what asks for the link once more; empty for none
	Note          string
	Asks          bool // the page shows the document and asks for a click; all others say what happened
}

// show answers with a page.
func (p page) show(v *visit, log *slog.Logger) {
	var text bytes.Buffer
	if err := pages.Execute(&text, p.content(v)); err != nil {
		log.ErrorContext(v.r.Context(), "page of a short link not made", "error", err)
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(text.Len()))
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retry.Seconds()))))
	}
	v.w.WriteHeader(p.status)
	if _, err := v.w.Write(text.Bytes()); err != nil && v.r.Method != http.MethodHead {
		log.DebugContext(v.r.Context(), "short link's reader left", "error", err)
	}
}

func (p page) content(v *visit) content {
	about := v.entry.shown
	words := wordsFor(v.r.Header.Get("Accept-Language"), about.Locale)
	if p.hides {
		about = shown{}
	}
	said := words.said[p.outcome]
	c := content{
		Language: words.language, Title: about.Title, Sender: about.Sender,
		Heading: said.heading, Text: said.text, Button: said.button, Asks: said.note != nil,
	}
	if p.outcome == string(pack.NotYet) {
		c.Text += " " + words.comeBack(p.in)
	}
	if said.note != nil {
		c.Note = said.note(about.Sender)
	}
	return c
}
