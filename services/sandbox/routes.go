package sandbox

import (
	"net/http"

	"github.com/signrelay/signrelay/libs/service"
)

// maxForm bounds the body of everything that comes over HTTP: a form of Vonage's, or one of our own small requests.
const maxForm = 64 << 10

func (s *Server) routes() http.Handler {
	mux := service.NewRoutes()
	mux.TakeEscapes("/") // ids of the providers may have any character

	// The outside world: the providers' REST APIs.
	mux.HandleFunc("GET /v1.1/requests/{id}", s.faulty(clickwrapName, clickwrapSays, s.getClickwrapRequest))
	mux.HandleFunc("GET /document/{id}", s.toPleasesign(s.getPleasesignDocument))
	mux.HandleFunc("GET /document/{id}/master", s.toPleasesign(s.getPleasesignMaster))
	mux.HandleFunc("GET /recipient/{id}/signingurl", s.toPleasesign(s.getSigningURL))
	for path, answer := range map[string]http.HandlerFunc{
		"document/{id}": s.getEsignDocument, "signer/{id}": s.getEsignSigner, "signer/{id}/new-link": s.getNewLink, "pdf/{id}": s.getEsignPDF,
	} {
		mux.HandleFunc("GET /api/v1/"+path+"/{$}", s.toEsign(answer))
		mux.HandleFunc("GET /api/v1/"+path, s.toEsign(s.withoutSlash))
	}

	// Where their links lead.
	mux.HandleFunc("GET /sign/{request}/{signer}", s.getSigningPage(s.atClickwrap))
	mux.HandleFunc("POST /sign/{request}/{signer}", s.postSigningPage(s.atClickwrap))
	mux.HandleFunc("GET /pleasesign", s.getSigningPage(s.atPleasesign))
	mux.HandleFunc("POST /pleasesign", s.postSigningPage(s.atPleasesign))
	mux.HandleFunc("GET /esign/{ticket}", s.getEsignLink)
	mux.HandleFunc("GET /esign/session/{ticket}", s.getSigningPage(s.atEsign))
	mux.HandleFunc("POST /esign/session/{ticket}", s.postSigningPage(s.atEsign))
	mux.HandleFunc("GET /files/{ticket}/document.pdf", s.getFile)

	// Shorteners and Vonage.
	mux.HandleFunc("GET /v4/user", s.toBitly(s.getBitlyUser))
	mux.HandleFunc("POST /v4/shorten", s.toBitly(s.shortenBitly))
	mux.HandleFunc("GET /b/{tag}", getShort(s.bitly))
	mux.HandleFunc("GET /v1/account", s.toRebrandly(s.getRebrandlyAccount))
	mux.HandleFunc("POST /v1/links", s.toRebrandly(s.postRebrandly))
	mux.HandleFunc("GET /v1/links", s.toRebrandly(s.getRebrandly))
	mux.HandleFunc("GET /v1/links/{id}", s.toRebrandly(s.getRebrandlyLink))
	mux.HandleFunc("GET /r/{tag}", getShort(s.rebrandly))
	mux.HandleFunc("POST /sms/json", s.faulty("vonage", vonageSays, s.sendSMS))

	// Our own window on it.
	mux.HandleFunc("GET /{$}", s.getPage)
	mux.HandleFunc("GET /letters/{number}", s.getLetter)
	mux.HandleFunc("GET /api/messages", s.getMessages)
	mux.HandleFunc("DELETE /api/messages", s.deleteMessages)
	mux.HandleFunc("GET /api/stories", s.getStories)
	mux.HandleFunc("POST /api/play", takesJSON(s.postPlay))
	mux.HandleFunc("GET /api/faults", s.getFaults)
	mux.HandleFunc("POST /api/faults", takesJSON(s.postFault))
	mux.HandleFunc("DELETE /api/faults", s.deleteFaults)

	return service.Private("sandbox.hosts", s.cfg.Sandbox.Hosts, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		mux.ServeHTTP(w, r)
	}))
}
