package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
)

// toEsign lets those in who bring the user and secret of one of the esign-v1 sources.
func (s *Server) toEsign(next http.HandlerFunc) http.HandlerFunc {
	return s.faulty(esignName, esignSays, func(w http.ResponseWriter, r *http.Request) {
		pair, ok := strings.CutPrefix(r.Header.Get("Authorization"), "ApiKey ")
		user, secret, _ := strings.Cut(pair, ":")
		if !ok || !s.knows(esignName, func(api config.API) bool { return same(user, api.User) && same(secret, api.Secret) }) {
			esignSays(w, http.StatusUnauthorized)
			return
		}
		next(w, r)
	})
}

// withoutSlash is what a path without the slash at its end gets: the API knows none such.
func (s *Server) withoutSlash(w http.ResponseWriter, _ *http.Request) {
	esignSays(w, http.StatusNotFound)
}

// The answer to GET /document/{id}/, as far as it tells of anything.
type esignDocument struct {
	Archived       bool          `json:"archived"`
	AutoArchive    bool          `json:"auto_archive"`
	CCEmails       string        `json:"cc_emails"`
	Created        string        `json:"created"`
	DoEmail        bool          `json:"do_email"`
	DownloadFinal  bool          `json:"download_final"`
	Group          string        `json:"group"`
	HasFields      bool          `json:"has_fields"`
	HashValue      string        `json:"hash_value"`
	Modified       string        `json:"modified"`
	Name           string        `json:"name"`
	Redirect       string        `json:"redirect"`
	ResourceURI    string        `json:"resource_uri"`
	SignTime       any           `json:"sign_time"`
	SignerObjects  []esignSigner `json:"signer_objects"`
	Signers        [][8]any      `json:"signers"`
	SignersInOrder bool          `json:"signers_in_order"`
	Status         int           `json:"status"`
	Tag            string        `json:"tag"`
	Tag1           string        `json:"tag1"`
	Tag2           string        `json:"tag2"`
	User           string        `json:"user"`
	UUID           string        `json:"uuid"`
}

type esignSigner struct {
	FirstName   string `json:"firstname"`
	LastName    string `json:"lastname"`
	Email       string `json:"email"`
	Order       int    `json:"order"` // from 0, whether they sign in it or not
	Role        string `json:"role"`
	Tel         string `json:"tel"`
	Status      int    `json:"status"`
	UUID        string `json:"uuid"`
	ResourceURI string `json:"resource_uri"`
}

// getEsignDocument is GET /api/v1/document/{id}/.
func (s *Server) getEsignDocument(w http.ResponseWriter, r *http.Request) {
	d, ok := s.esign.find(r.PathValue("id"))
	if !ok {
		esignSays(w, http.StatusNotFound)
		return
	}
	answer := esignDocument{
		AutoArchive: true, Created: d.created.Format(esignTime), Group: groupURI(d), HasFields: true, Modified: d.created.Format(esignTime),
		Name: d.title, ResourceURI: documentURI(d.id), SignersInOrder: d.ordered, Status: esignDocumentStatus[d.status],
		User: "/api/v1/user/34034334ab34334333/", UUID: d.id, DownloadFinal: d.status == complete,
	}
	if d.status == complete {
		sum := sha256.Sum256(pdf(d))
		answer.HashValue, answer.SignTime = hex.EncodeToString(sum[:]), d.ended.Format(esignTime)
	}
	for i, who := range d.people {
		status := esignSignerStatus[who.stage]
		answer.DoEmail = answer.DoEmail || who.mailed // one setting for all of a document
		answer.Signers = append(answer.Signers, [8]any{signerURI(who.id), who.first, who.last, who.email, who.mobile, true, status, i})
		answer.SignerObjects = append(answer.SignerObjects, esignSigner{
			FirstName: who.first, LastName: who.last, Email: who.email, Order: i, Role: "signer", Tel: who.mobile,
			Status: status, UUID: who.id, ResourceURI: signerURI(who.id),
		})
	}
	writeJSON(w, http.StatusOK, answer)
}

// Status codes; the same number means one thing on a document and another on a signer.
var (
	esignDocumentStatus = map[status]int{drafted: 10, open: 10, complete: 30, rejected: 50}
	esignSignerStatus   = map[stage]int{waiting: 4, due: 4, visited: 20, unreachable: 10, hasSigned: 40, hasDeclined: 60}
)

// getEsignSigner is GET /api/v1/signer/{id}/, which tells neither a number nor a link.
func (s *Server) getEsignSigner(w http.ResponseWriter, r *http.Request) {
	d, i, ok := s.esign.person(r.PathValue("id"))
	if !ok {
		esignSays(w, http.StatusNotFound)
		return
	}
	who := d.people[i]
	writeJSON(w, http.StatusOK, struct {
		Document    string `json:"document"`
		Email       string `json:"email"`
		FirstName   string `json:"first_name"`
		LastName    string `json:"last_name"`
		HasFields   bool   `json:"has_fields"`
		Order       int    `json:"order"`
		ResourceURI string `json:"resource_uri"`
		Status      int    `json:"status"`
	}{documentURI(d.id), who.email, who.first, who.last, true, i, signerURI(who.id), esignSignerStatus[who.stage]})
}

// getNewLink is GET /api/v1/signer/{id}/new-link/: nothing but a Location, which opens once.
func (s *Server) getNewLink(w http.ResponseWriter, r *http.Request) {
	d, i, ok := s.esign.person(r.PathValue("id"))
	switch {
	case !ok:
		esignSays(w, http.StatusNotFound)
	case d.status != open || d.people[i].stage == hasSigned:
		esignSays(w, http.StatusBadRequest)
	default:
		w.Header().Set("Location", publicURL(r)+"/esign/"+s.tickets.issue(ticket{provider: esignName, paper: d.id, who: i, once: true}))
		w.WriteHeader(http.StatusCreated)
	}
}

// getEsignPDF is GET /api/v1/pdf/{id}/: the document itself, the way to it, or that it has to be fetched from the archive.
func (s *Server) getEsignPDF(w http.ResponseWriter, r *http.Request) {
	d, ok := s.esign.find(r.PathValue("id"))
	switch {
	case !ok:
		esignSays(w, http.StatusNotFound)
	case d.status != complete:
		esignSays(w, http.StatusBadRequest)
	case d.keeps == archived:
		w.WriteHeader(http.StatusCreated)
	case d.keeps == elsewhere:
		w.Header().Set("Location", s.tickets.file(publicURL(r), esignName, d.id))
		w.WriteHeader(http.StatusFound)
	default:
		writePDF(w, d)
	}
}

// esignSays is an error as the eSignature API words it: its body is meant for people, and of no fixed shape.
func esignSays(w http.ResponseWriter, status int) {
	if status == http.StatusUnauthorized {
		w.WriteHeader(status)
		return
	}
	writeJSON(w, status, map[string]string{"error": http.StatusText(status)})
}

func groupURI(p paper) string {
	group := strings.Trim(p.source.API.Group, "/")
	if group == "" {
		group = "demo-group"
	}
	return "/api/v1/group/" + group[strings.LastIndexByte(group, '/')+1:] + "/"
}

func documentURI(id string) string { return "/api/v1/document/" + id + "/" }
func signerURI(id string) string   { return "/api/v1/signer/" + id + "/" }

// esignTime is how times are written: without a zone.
const esignTime = "2006-01-02T15:04:05"

// exampleEsign is the document of the documentation's callbacks, whose ids are its placeholders.
func exampleEsign() *paper {
	p := example("[doc-id]", "[signer-id]", ameliaClarke)
	p.title, p.status, p.ended = "name of doc", complete, p.sent.Add(time.Minute)
	p.people[0].stage = hasSigned
	return p
}
