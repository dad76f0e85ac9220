package sandbox

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"regexp"
	"strconv"
)

//go:embed page.html sign.html
var pageFiles embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{"linked": linked}).ParseFS(pageFiles, "*.html"))

// pageMessages is how many messages the page shows, the newest; the API has them all.
const pageMessages = 200

// The page's parts.
type (
	page struct {
		Nonce     string
		Providers []storiesOf
		Targets   []string // who can fail
		Faults    []fault  // what is ordered
		Shown     int
		Hidden    int // older messages that are not shown
		Phones    []*phone
		Letters   []letter
	}
	storiesOf struct {
		Name    string
		Stories []story
	}
	phone struct {
		Number  string
		Bubbles []Message
	}
	letter struct {
		Message
		Number int
	}
)

// titles are the providers' names for people.
var titles = map[string]string{clickwrapName: "Ironclad Clickwrap", pleasesignName: "PleaseSign", esignName: "the eSignature API v1"}

// getPage is GET /: what signers received, and the stories to play.
func (s *Server) getPage(w http.ResponseWriter, _ *http.Request) {
	p := page{Nonce: randomHex(16), Targets: faultTargets, Faults: s.faults.list(), Providers: []storiesOf{
		{titles[clickwrapName], clickwrapStories}, {titles[pleasesignName], pleasesignStories}, {titles[esignName], esignStories},
	}}
	received := s.inbox.list("", "")
	if len(received) > pageMessages {
		p.Hidden = len(received) - pageMessages
		received = received[p.Hidden:]
	}
	p.Shown = len(received)
	phones := map[string]*phone{}
	for _, m := range received {
		if m.Channel == channelEmail {
			p.Letters = append([]letter{{m, m.number}}, p.Letters...) // the newest on top of the pile
			continue
		}
		if phones[m.To] == nil {
			phones[m.To] = &phone{Number: m.To}
			p.Phones = append(p.Phones, phones[m.To])
		}
		phones[m.To].Bubbles = append(phones[m.To].Bubbles, m)
	}
	writePage(w, http.StatusOK, "page.html", "form-action 'none'; script-src 'nonce-"+p.Nonce+"'; connect-src 'self'", p)
}

// getLetter is GET /letters/{number}: an e-mail's HTML as it came, shut in so that nothing in it runs or is fetched.
func (s *Server) getLetter(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.Atoi(r.PathValue("number"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	letter, ok := s.inbox.letter(number)
	if !ok || letter.HTML == "" {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:")
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write([]byte(letter.HTML)) // the browser is gone, and nobody is left to tell
}

// writePage renders a page whole before it sends a byte, so that a mistake in a template is a 500 and not half a page.
func writePage(w http.ResponseWriter, status int, name, policy string, data any) {
	var body bytes.Buffer
	if err := pages.ExecuteTemplate(&body, name, data); err != nil {
		http.Error(w, fmt.Sprintf("render %s: %v", name, err), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none'; "+policy)
	// To ourselves the browser must say where a form comes from, or it is taken for a page's elsewhere.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w) // the browser is gone, and nobody is left to tell
}

// signPolicy is what a signing page may do beyond being read: post its own form.
const signPolicy = "form-action 'self'"

// publicURL is what links to the sandbox begin with: the host that the caller knows it by.
func publicURL(r *http.Request) string { return "http://" + r.Host }

var webLink = regexp.MustCompile(`https?://[^\s<>"]+[^\s<>".,;:!?)]`)

// piece is a stretch of text, or a link in it.
type piece struct {
	Text string
	Link bool
}

// linked cuts a text into plain stretches and links, for the template to escape each as what it is.
func linked(text string) []piece {
	var pieces []piece
	from := 0
	for _, at := range webLink.FindAllStringIndex(text, -1) {
		pieces = append(pieces, piece{Text: text[from:at[0]]}, piece{Text: text[at[0]:at[1]], Link: true})
		from = at[1]
	}
	return append(pieces, piece{Text: text[from:]})
}
