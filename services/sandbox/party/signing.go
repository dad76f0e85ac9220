package party

import (
	_ "embed"
	"html/template"
	"net/http"
	"strings"
)

//go:embed sign.html
var signHTML string

var signPage = template.Must(template.New("sign.html").Parse(signHTML))

// Visit is a person's visit to the page of a document.
type Visit struct {
	Provider *Provider
	Document Document
	Who      int
}

// signingPage is the data of sign.html.
type signingPage struct {
	Provider string
	Title    string
	Who      string
	Closed   string // the reason why the person cannot sign; empty if the person can
	Complete bool
	File     string // the address of the complete document
	Problem  string // the error after the button was pressed
}

// signPolicy allows a signing page only to post its own form.
const signPolicy = "form-action 'self'"

// Admit returns the visit of a person with a ticket of that provider.
func (e Env) Admit(p *Provider, secret string) (Visit, bool) {
	used, _, ok := e.Tickets.Use(secret)
	if !ok || used.Provider != p || used.file != "" || used.Once {
		return Visit{}, false
	}
	d, who, ok := p.Recipient(used.Recipient)
	return Visit{p, d, who}, ok
}

// GetLink handles GET of a link that opens only once. After a robot has opened it, it does not open for the person. It redirects to a page
// below session, which opens any number of times.
func (e Env) GetLink(p *Provider, session string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		used, before, ok := e.Tickets.Use(r.PathValue("ticket"))
		switch {
		case !ok || !used.Once:
			http.NotFound(w, r)
		case before:
			WritePage(w, http.StatusGone, signPage, signPolicy, signingPage{Provider: p.title, Closed: "This link was already used."})
		default:
			used.Once, used.used = false, false
			w.Header().Set("Referrer-Policy", "no-referrer")
			http.Redirect(w, r, session+e.Tickets.Issue(used), http.StatusSeeOther)
		}
	}
}

// GetSigningPage shows a document to a recipient, with buttons to sign and to decline.
func (e Env) GetSigningPage(at func(*http.Request) (Visit, bool)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, ok := at(r)
		if !ok {
			http.NotFound(w, r)
			return
		}
		e.showSigning(w, r, http.StatusOK, v, "")
	}
}

// PostSigningPage signs or declines, sends the provider's callbacks, and then shows the page in its new state.
func (e Env) PostSigningPage(at func(*http.Request) (Visit, bool)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, ok := at(r)
		if !ok {
			http.NotFound(w, r)
			return
		}
		do := r.PostFormValue("do")
		if do != "sign" && do != "decline" {
			http.Error(w, `the field "do" must be sign or decline`, http.StatusBadRequest)
			return
		}
		calls, err := v.Provider.press(v.Document.ID, v.Who, do == "decline", e.BaseURL())
		if err != nil {
			e.showSigning(w, r, http.StatusConflict, v, "")
			return
		}
		if err := LiftDeadlines(w); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		v.Document, _ = v.Provider.Find(v.Document.ID)
		for _, c := range calls {
			if _, err := e.Callbacks.Send(r.Context(), v.Document.Source, c); err != nil {
				e.showSigning(w, r, http.StatusBadGateway, v, "The callback was not accepted: "+err.Error()+".")
				return
			}
		}
		w.Header().Set("Location", r.URL.RequestURI())
		w.WriteHeader(http.StatusSeeOther)
	}
}

func (e Env) showSigning(w http.ResponseWriter, r *http.Request, status int, v Visit, problem string) {
	p := signingPage{
		Provider: v.Provider.title, Title: v.Document.Title, Who: v.Document.Recipients[v.Who].Name(), Closed: v.Document.closed(v.Who),
		Complete: v.Document.Status == StatusComplete, Problem: problem,
	}
	if p.Complete {
		p.File = strings.TrimPrefix(e.Tickets.File(PublicURL(r), v.Provider, v.Document.ID, SignedFile, 0), PublicURL(r))
	}
	WritePage(w, status, signPage, signPolicy, p)
}
