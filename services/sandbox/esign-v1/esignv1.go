// Package esignv1 simulates the eSignature API v1: its REST API, its callbacks and its signing pages.
package esignv1

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sandbox/party"
)

const (
	name  = "esign-v1"
	title = "the eSignature API v1"
)

// Party is the eSignature API v1.
var Party = party.Party{Name: name, Title: title, Targets: []party.Target{party.HTTPTarget(name, http.StatusTooManyRequests)}, Stories: stories, New: open}

type esign struct {
	party.Env
	provider *party.Provider
	asked    *asked
}

func open(env party.Env) (party.Simulator, error) {
	e := esign{env, party.NewProvider(name, title, wire{}, env.Now), &asked{first: map[string]time.Time{}}}
	e.provider.Keep(example())
	return party.Simulator{Routes: e.routes, Provider: e.provider}, nil
}

func (e esign) routes(mux *service.Routes) {
	mux.HandleFunc("GET /api/v1/document/{$}", e.authorized(e.getDocuments))
	for path, handler := range map[string]http.HandlerFunc{
		"document/{id}": e.getDocument, "signer/{id}": e.getSigner, "signer/{id}/new-link": e.getNewLink, "pdf/{id}": e.getPDF,
	} {
		mux.HandleFunc("GET /api/v1/"+path+"/{$}", e.authorized(handler))
		mux.HandleFunc("GET /api/v1/"+path, e.authorized(withoutSlash))
	}
	mux.HandleFunc("GET /api/v1/notifications/{$}", e.authorized(e.getNotifications))
	mux.HandleFunc("POST /api/v1/subscribe/{$}", e.authorized(e.postSubscribe))
	mux.HandleFunc("POST /api/v1/unsubscribe/{$}", e.authorized(e.postUnsubscribe))
	mux.HandleFunc("GET /esign/{ticket}", e.GetLink(e.provider, "/esign/session/"))
	mux.HandleFunc("GET /esign/session/{ticket}", e.GetSigningPage(e.visit))
	mux.HandleFunc("POST /esign/session/{ticket}", e.PostSigningPage(e.visit))
}

// visit returns the visit at /esign/session/{ticket}, to which a link that opens once redirects.
func (e esign) visit(r *http.Request) (party.Visit, bool) {
	return e.Admit(e.provider, r.PathValue("ticket"))
}

// authorized requires the user and the secret of an esign-v1 source.
func (e esign) authorized(next http.HandlerFunc) http.HandlerFunc {
	return e.Faulty(name, writeError, func(w http.ResponseWriter, r *http.Request) {
		if _, ok := e.source(r); !ok {
			writeError(w, http.StatusUnauthorized)
			return
		}
		next(w, r)
	})
}

// source returns the name of the source that a request's user and secret belong to.
func (e esign) source(r *http.Request) (string, bool) {
	pair, ok := strings.CutPrefix(r.Header.Get("Authorization"), "ApiKey ")
	user, secret, _ := strings.Cut(pair, ":")
	if !ok {
		return "", false
	}
	return e.SourceWith(name, func(s config.Source) bool {
		return party.Same(user, s.Text("api.user")) && party.Same(secret, s.Text("api.secret"))
	})
}

// withoutSlash handles a path without a slash at its end. The API has no such paths.
func withoutSlash(w http.ResponseWriter, _ *http.Request) {
	writeError(w, http.StatusNotFound)
}

// document is the response to GET /document/{id}/, without the fields that are always empty.
type document struct {
	Archived       bool     `json:"archived"`
	AutoArchive    bool     `json:"auto_archive"`
	CCEmails       string   `json:"cc_emails"`
	Created        string   `json:"created"`
	DoEmail        bool     `json:"do_email"`
	DownloadFinal  bool     `json:"download_final"`
	Group          string   `json:"group"`
	HasFields      bool     `json:"has_fields"`
	HashValue      string   `json:"hash_value"`
	Modified       string   `json:"modified"`
	Name           string   `json:"name"`
	Redirect       string   `json:"redirect"`
	ResourceURI    string   `json:"resource_uri"`
	SignTime       any      `json:"sign_time"`
	SignerObjects  []signer `json:"signer_objects"`
	Signers        [][8]any `json:"signers"`
	SignersInOrder bool     `json:"signers_in_order"`
	Status         int      `json:"status"`
	Tag            string   `json:"tag"`
	Tag1           string   `json:"tag1"`
	Tag2           string   `json:"tag2"`
	User           string   `json:"user"`
	UUID           string   `json:"uuid"`
}

type signer struct {
	FirstName   string `json:"firstname"`
	LastName    string `json:"lastname"`
	Email       string `json:"email"`
	Order       int    `json:"order"` // from 0, also without a signing order
	Role        string `json:"role"`
	Tel         string `json:"tel"`
	Status      int    `json:"status"`
	UUID        string `json:"uuid"`
	ResourceURI string `json:"resource_uri"`
}

// getDocument serves GET /api/v1/document/{id}/.
func (e esign) getDocument(w http.ResponseWriter, r *http.Request) {
	d, ok := e.provider.Find(r.PathValue("id"))
	if !ok {
		writeError(w, http.StatusNotFound)
		return
	}
	party.WriteJSON(w, http.StatusOK, written(d))
}

// written returns a document as the API writes it.
func written(d party.Document) document {
	response := document{
		AutoArchive: true, Created: d.Created.Format(timeFormat), Group: groupURI(d), HasFields: true, Modified: d.Modified().Format(timeFormat),
		Name: d.Title, ResourceURI: documentURI(d.ID), SignersInOrder: d.Ordered, Status: documentStatus[d.Status],
		User: "/api/v1/user/34034334ab34334333/", UUID: d.ID, DownloadFinal: d.Status == party.StatusComplete,
	}
	if d.Status == party.StatusComplete {
		response.SignTime = d.Ended.Format(timeFormat)
		if final, err := party.PDF(d, party.SignedFile); err == nil { // otherwise the request for the file reports the error
			sum := sha256.Sum256(final)
			response.HashValue = hex.EncodeToString(sum[:])
		}
	}
	for i, who := range d.Recipients {
		status := signerStatus[who.Stage]
		response.DoEmail = response.DoEmail || who.Mailed // one setting for the whole document
		response.Signers = append(response.Signers, [8]any{signerURI(who.ID), who.First, who.Last, who.Email, who.Mobile, true, status, i})
		response.SignerObjects = append(response.SignerObjects, signer{
			FirstName: who.First, LastName: who.Last, Email: who.Email, Order: i, Role: "signer", Tel: who.Mobile,
			Status: status, UUID: who.ID, ResourceURI: signerURI(who.ID),
		})
	}
	return response
}

// The status codes. A number has different meanings for a document and for a signer.
var (
	documentStatus = map[party.Status]int{party.StatusDraft: 10, party.StatusOpen: 10, party.StatusComplete: 30, party.StatusRejected: 50}
	signerStatus   = map[party.Stage]int{
		party.StageWaiting: 4, party.StageDue: 4, party.StageVisited: 20, party.StageUnreachable: 10, party.StageSigned: 40, party.StageDeclined: 60,
	}
)

// getSigner serves GET /api/v1/signer/{id}/, which contains neither a number nor a link.
func (e esign) getSigner(w http.ResponseWriter, r *http.Request) {
	d, i, ok := e.provider.Recipient(r.PathValue("id"))
	if !ok {
		writeError(w, http.StatusNotFound)
		return
	}
	who := d.Recipients[i]
	party.WriteJSON(w, http.StatusOK, struct {
		Document    string `json:"document"`
		Email       string `json:"email"`
		FirstName   string `json:"first_name"`
		LastName    string `json:"last_name"`
		HasFields   bool   `json:"has_fields"`
		Order       int    `json:"order"`
		ResourceURI string `json:"resource_uri"`
		Status      int    `json:"status"`
	}{documentURI(d.ID), who.Email, who.First, who.Last, true, i, signerURI(who.ID), signerStatus[who.Stage]})
}

// getNewLink serves GET /api/v1/signer/{id}/new-link/: only a Location header with a link that opens once.
func (e esign) getNewLink(w http.ResponseWriter, r *http.Request) {
	d, i, ok := e.provider.Recipient(r.PathValue("id"))
	switch {
	case !ok:
		writeError(w, http.StatusNotFound)
	case d.Status != party.StatusOpen || d.Recipients[i].Stage == party.StageSigned:
		writeError(w, http.StatusBadRequest)
	default:
		w.Header().Set("Location", party.PublicURL(r)+"/esign/"+e.Tickets.Issue(party.Ticket{Provider: e.provider, Document: d.ID, Recipient: d.Recipients[i].ID, Once: true}))
		w.WriteHeader(http.StatusCreated)
	}
}

// getPDF serves GET /api/v1/pdf/{id}/: the document, a redirect to it, or 201 while it is fetched from the archive.
func (e esign) getPDF(w http.ResponseWriter, r *http.Request) {
	d, ok := e.provider.Find(r.PathValue("id"))
	switch {
	case !ok:
		writeError(w, http.StatusNotFound)
	case d.Status != party.StatusComplete:
		writeError(w, http.StatusBadRequest)
	case d.Storage == archived && !e.restored(d.ID):
		w.WriteHeader(http.StatusCreated)
	case d.Storage == elsewhere:
		w.Header().Set("Location", e.Tickets.File(otherHost(r), e.provider, d.ID, party.SignedFile, shortLived))
		w.WriteHeader(http.StatusFound)
	default:
		e.Tickets.Serve(w, d, party.SignedFile)
	}
}

// restoring is the time that it takes to fetch a document from the archive, and shortLived the time for which the address of a redirect works.
const (
	restoring  = 4 * time.Hour
	shortLived = 5 * time.Minute
)

// restored reports whether an archived document is available. The first request for it begins to fetch it.
func (e esign) restored(id string) bool {
	e.asked.mu.Lock()
	defer e.asked.mu.Unlock()
	first, ok := e.asked.first[id]
	if !ok {
		e.asked.first[id] = e.Now()
		return false
	}
	return !e.Now().Before(first.Add(restoring))
}

// asked has the time of the first request for each archived document.
type asked struct {
	mu    sync.Mutex
	first map[string]time.Time
}

// otherHost returns the sandbox's address with another host name, where it has one.
func otherHost(r *http.Request) string {
	if _, port, err := net.SplitHostPort(r.Host); err == nil && strings.HasPrefix(r.Host, "127.0.0.1:") {
		return "http://localhost:" + port
	}
	return party.PublicURL(r)
}

// writeError writes an error as the eSignature API does. Its body is for people and has no fixed format.
func writeError(w http.ResponseWriter, status int) {
	if status == http.StatusUnauthorized {
		w.WriteHeader(status)
		return
	}
	party.WriteJSON(w, status, map[string]string{"error": http.StatusText(status)})
}

func groupURI(d party.Document) string {
	group := strings.Trim(d.Source.Text("api.group"), "/")
	if group == "" {
		group = "demo-group"
	}
	return "/api/v1/group/" + group[strings.LastIndexByte(group, '/')+1:] + "/"
}

func documentURI(id string) string { return "/api/v1/document/" + id + "/" }
func signerURI(id string) string   { return "/api/v1/signer/" + id + "/" }

// timeFormat is the format of times, without a zone.
const timeFormat = "2006-01-02T15:04:05"

// example returns the document of the documentation's callbacks. Its ids are the documentation's placeholders.
func example() *party.Document {
	d := party.Example("[doc-id]", "[signer-id]", ameliaClarke)
	d.Title, d.Status, d.Ended = "name of doc", party.StatusComplete, d.Sent.Add(time.Minute)
	d.Recipients[0].Stage = party.StageSigned
	return d
}

// The places of a complete document that is not directly available.
const (
	elsewhere = "elsewhere" // on another server, to which /pdf/ redirects
	archived  = "archived"  // in an archive, from which it takes four hours to fetch
)
