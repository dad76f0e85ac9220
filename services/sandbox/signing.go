package sandbox

import (
	"net/http"
	"strings"
)

// visit is a person at a document's page.
type visit struct {
	provider *provider
	paper    paper
	who      int
}

// signingPage is what sign.html shows.
type signingPage struct {
	Provider string
	Title    string
	Who      string
	Closed   string // why there is nothing to sign; empty where there is
	Complete bool
	File     string // where the finished document is
	Trouble  string // what went wrong after the button was pressed
}

// atClickwrap is who comes to /sign/{request}/{signer}, a link that stays good and leads to the finished document, too.
func (s *Server) atClickwrap(_ http.ResponseWriter, r *http.Request) (visit, bool) {
	d, i, ok := s.clickwrap.person(r.PathValue("signer"))
	return visit{s.clickwrap, d, i}, ok && d.id == r.PathValue("request")
}

// atPleasesign is who comes to /pleasesign?e=…&p=…
func (s *Server) atPleasesign(_ http.ResponseWriter, r *http.Request) (visit, bool) {
	return s.admit(pleasesignName, r.URL.Query().Get("p"))
}

// atEsign is who comes to /esign/session/{ticket}, where a link that opens once has led.
func (s *Server) atEsign(_ http.ResponseWriter, r *http.Request) (visit, bool) {
	return s.admit(esignName, r.PathValue("ticket"))
}

func (s *Server) admit(provider, word string) (visit, bool) {
	shown, _, ok := s.tickets.show(word)
	if !ok || shown.provider != provider || shown.pdf || shown.once {
		return visit{}, false
	}
	p := s.provider(provider)
	d, ok := p.find(shown.paper)
	return visit{p, d, shown.who}, ok
}

// getEsignLink is GET /esign/{ticket}: the link of new-link. It opens once, for whoever comes first: a robot that looks
// at it leaves nothing for its person.
func (s *Server) getEsignLink(w http.ResponseWriter, r *http.Request) {
	shown, before, ok := s.tickets.show(r.PathValue("ticket"))
	switch {
	case !ok || !shown.once:
		http.NotFound(w, r)
	case before:
		writePage(w, http.StatusGone, "sign.html", signPolicy, signingPage{Provider: titles[esignName], Closed: "This link was used."})
	default:
		shown.once, shown.used = false, false
		w.Header().Set("Referrer-Policy", "no-referrer")
		http.Redirect(w, r, "/esign/session/"+s.tickets.issue(shown), http.StatusSeeOther)
	}
}

// getSigningPage shows a document to the person whose link it is, with buttons to sign and to decline.
func (s *Server) getSigningPage(at func(http.ResponseWriter, *http.Request) (visit, bool)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, ok := at(w, r)
		if !ok {
			http.NotFound(w, r)
			return
		}
		s.showSigning(w, r, http.StatusOK, v, "")
	}
}

// postSigningPage signs, or declines, and sends the callbacks that the provider would. Then the page is shown as it is now.
func (s *Server) postSigningPage(at func(http.ResponseWriter, *http.Request) (visit, bool)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, ok := at(w, r)
		if !ok {
			http.NotFound(w, r)
			return
		}
		do := r.PostFormValue("do")
		if do != "sign" && do != "decline" {
			http.Error(w, `the field "do" is sign or decline`, http.StatusBadRequest)
			return
		}
		calls, err := v.provider.act(v.paper.id, v.who, do == "decline", s.world())
		if err != nil {
			s.showSigning(w, r, http.StatusConflict, v, "")
			return
		}
		if !lift(w) {
			return
		}
		v.paper, _ = v.provider.find(v.paper.id)
		for _, c := range calls {
			if _, err := s.send(r.Context(), v.paper.source, c); err != nil {
				s.showSigning(w, r, http.StatusBadGateway, v, "Signrelay was not told of it: "+err.Error()+".")
				return
			}
		}
		w.Header().Set("Location", r.URL.RequestURI())
		w.WriteHeader(http.StatusSeeOther)
	}
}

func (s *Server) showSigning(w http.ResponseWriter, r *http.Request, status int, v visit, trouble string) {
	p := signingPage{
		Provider: titles[v.provider.name], Title: v.paper.title, Who: v.paper.people[v.who].name(), Closed: v.paper.closed(v.who),
		Complete: v.paper.status == complete, Trouble: trouble,
	}
	if p.Complete {
		p.File = strings.TrimPrefix(s.tickets.file(publicURL(r), v.provider.name, v.paper.id), publicURL(r))
	}
	writePage(w, status, "sign.html", signPolicy, p)
}
