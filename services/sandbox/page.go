package sandbox

import (
	_ "embed"
	"html/template"
	"net/http"
	"regexp"
	"strconv"

	"github.com/signrelay/signrelay/services/sandbox/party"
)

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{"linked": linked}).Parse(pageHTML))

// pageMessages is the number of messages on the page, the newest ones. The API returns all.
const pageMessages = 200

// The data of the page.
type (
	page struct {
		Nonce     string
		Providers []storiesOf
		Targets   []string      // of faults
		Faults    []party.Fault // queued
		Shown     int
		Hidden    int // older messages that are not shown
		Phones    []*phone
		Emails    []party.Message
	}
	storiesOf struct {
		Name    string
		Stories []party.Story
	}
	phone struct {
		Number  string
		Bubbles []party.Message
	}
)

// getPage serves GET /: the messages that signers received, and the stories to play.
func (s *Server) getPage(w http.ResponseWriter, _ *http.Request) {
	p := page{Nonce: party.RandomHex(16), Targets: s.Faults.Targets(), Faults: s.Faults.List()}
	for _, one := range parties {
		if len(one.Stories) > 0 {
			p.Providers = append(p.Providers, storiesOf{one.Title, one.Stories})
		}
	}
	received := s.Inbox.List("", "")
	if len(received) > pageMessages {
		p.Hidden = len(received) - pageMessages
		received = received[p.Hidden:]
	}
	p.Shown = len(received)
	phones := map[string]*phone{}
	for _, m := range received {
		if m.IsEmail() {
			p.Emails = append([]party.Message{m}, p.Emails...) // the newest first
			continue
		}
		if phones[m.To] == nil {
			phones[m.To] = &phone{Number: m.To}
			p.Phones = append(p.Phones, phones[m.To])
		}
		phones[m.To].Bubbles = append(phones[m.To].Bubbles, m)
	}
	party.WritePage(w, http.StatusOK, pageTemplate, "form-action 'none'; script-src 'nonce-"+p.Nonce+"'; connect-src 'self'", p)
}

// getEmail serves GET /emails/{number}: an e-mail's HTML unchanged, with a policy that allows no scripts and no requests.
func (s *Server) getEmail(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.Atoi(r.PathValue("number"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	email, ok := s.Inbox.Email(number)
	if !ok || email.HTML == "" {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:")
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write([]byte(email.HTML)) // an error means that the browser has disconnected
}

var webLink = regexp.MustCompile(`https?://[^\s<>"]+[^\s<>".,;:!?)]`)

// piece is a part of a text: plain text or a link.
type piece struct {
	Text string
	Link bool
}

// linked splits a text into plain text and links, because the template escapes them differently.
func linked(text string) []piece {
	var pieces []piece
	from := 0
	for _, at := range webLink.FindAllStringIndex(text, -1) {
		pieces = append(pieces, piece{Text: text[from:at[0]]}, piece{Text: text[at[0]:at[1]], Link: true})
		from = at[1]
	}
	return append(pieces, piece{Text: text[from:]})
}
