package sandbox_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var esignKeys = http.Header{"Authorization": {"ApiKey me:v1-secret"}}

// v1Document is the eSignature API's answer, by its literal names.
type v1Document struct {
	DoEmail       bool   `json:"do_email"`
	Group         string `json:"group"`
	HashValue     string `json:"hash_value"`
	Name          string `json:"name"`
	ResourceURI   string `json:"resource_uri"`
	InOrder       bool   `json:"signers_in_order"`
	Status        int    `json:"status"`
	UUID          string `json:"uuid"`
	DownloadFinal bool   `json:"download_final"`
	SignerObjects []struct {
		FirstName   string `json:"firstname"`
		LastName    string `json:"lastname"`
		Email       string `json:"email"`
		Order       int    `json:"order"`
		Role        string `json:"role"`
		Tel         string `json:"tel"`
		Status      int    `json:"status"`
		UUID        string `json:"uuid"`
		ResourceURI string `json:"resource_uri"`
	} `json:"signer_objects"`
	Signers [][]any `json:"signers"`
}

func (w world) esign(path string) answer {
	w.t.Helper()
	return w.do("GET", "/api/v1"+path, "", esignKeys)
}

func (w world) esignDocument(id string) v1Document {
	w.t.Helper()
	a := w.esign("/document/" + id + "/")
	wantStatus(w.t, a, 200)
	return read[v1Document](w.t, a)
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$`)

func TestAnEsignDocumentIsToldWithItsSignersTwice(t *testing.T) {
	t.Parallel()
	w := open(t, newIngest(t).URL)
	id := w.playOf("esign-v1", "two-signers").Documents[0]
	d := w.esignDocument(id)
	if !uuid.MatchString(id) || d.UUID != id || d.ResourceURI != "/api/v1/document/"+id+"/" || d.Name != "Shareholder Agreement" ||
		d.Status != 30 || d.DoEmail || !d.InOrder || d.Group != "/api/v1/group/my-group/" || !d.DownloadFinal {
		t.Errorf("the document is %+v", d)
	}
	oliver := d.SignerObjects[1]
	if oliver.FirstName != "Oliver" || oliver.LastName != "Hughes" || oliver.Tel != "07700 900456" || oliver.Order != 1 || oliver.Status != 40 ||
		oliver.Role != "signer" || !uuid.MatchString(oliver.UUID) || oliver.ResourceURI != "/api/v1/signer/"+oliver.UUID+"/" {
		t.Errorf("the second signer is %+v", oliver)
	}
	array := []any{oliver.ResourceURI, "Oliver", "Hughes", oliver.Email, oliver.Tel, true, 40.0, 1.0}
	if !slices.Equal(d.Signers[1], array) {
		t.Errorf("as an array he is %v, want %v", d.Signers[1], array)
	}

	a := w.esign("/signer/" + oliver.UUID + "/")
	wantStatus(t, a, 200)
	signer := read[map[string]any](t, a)
	if signer["document"] != d.ResourceURI || signer["status"] != 40.0 || signer["first_name"] != "Oliver" || len(signer) != 8 {
		t.Errorf("asked for alone he is %v", signer)
	}
}

func TestEsignStatusesFollowTheStory(t *testing.T) {
	t.Parallel()
	for story, want := range map[string][]string{
		"one-signer":  {"10 4", "30 40", "30 40"},
		"two-signers": {"10 4 4", "10 40 4", "30 40 40"},
		"declined":    {"10 4 4", "50 60 4"},
	} {
		in := newIngest(t)
		w := open(t, in.URL)
		document := regexp.MustCompile(`/api/v1/document/([0-9a-f-]+)/`)
		var id string
		var states []string
		in.meets = func(_ http.ResponseWriter, c call) bool {
			if found := document.FindStringSubmatch(fmt.Sprint(c.fields)); found != nil {
				id = found[1]
			}
			d := w.esignDocument(id)
			state := []int{d.Status}
			for _, s := range d.SignerObjects {
				state = append(state, s.Status)
			}
			states = append(states, strings.Trim(fmt.Sprint(state), "[]"))
			return false
		}
		w.playOf("esign-v1", story)
		if !slices.Equal(states, want) {
			t.Errorf("%s: the document was %q, want %q", story, states, want)
		}
	}
}

func TestEsignNeedsItsKeyTheDocumentAndTheSlash(t *testing.T) {
	t.Parallel()
	w := open(t, newIngest(t).URL)
	d := w.esignDocument(w.playOf("esign-v1", "one-signer").Documents[0])
	signer := d.SignerObjects[0].UUID
	paths := []string{"/document/" + d.UUID, "/signer/" + signer, "/signer/" + signer + "/new-link", "/pdf/" + d.UUID}
	for _, path := range paths {
		for _, authorization := range []string{"", "ApiKey", "ApiKey me:", "ApiKey me:wrong", "ApiKey other:v1-secret", "Bearer me:v1-secret", "me:v1-secret"} {
			wantStatus(t, w.do("GET", "/api/v1"+path+"/", "", http.Header{"Authorization": {authorization}}), 401)
		}
		wantStatus(t, w.esign(path), 404) // without the slash
	}
	// Whoever has any source's key is let in, as the accounts are one server's.
	wantStatus(t, w.do("GET", "/api/v1/document/"+d.UUID+"/", "", http.Header{"Authorization": {"ApiKey other:other-secret"}}), 200)
	for _, path := range []string{"/document/" + signer + "/", "/signer/" + d.UUID + "/", "/signer/" + d.UUID + "/new-link/", "/pdf/" + signer + "/"} {
		wantStatus(t, w.esign(path), 404)
	}
}

func TestANewLinkOpensOnce(t *testing.T) {
	t.Parallel()
	w := open(t, newIngest(t).URL)
	d := w.esignDocument(w.playOf("esign-v1", "long-night").Documents[1])
	var links []string
	for range 2 {
		a := w.esign("/signer/" + d.SignerObjects[0].UUID + "/new-link/")
		wantStatus(t, a, 201)
		if a.body != "" {
			t.Errorf("new-link has a body: %s", a.body)
		}
		links = append(links, strings.TrimPrefix(a.header.Get("Location"), w.url("")))
	}
	for _, link := range links { // each opens, and each once
		first := w.get(link)
		wantStatus(t, first, 303)
		for range 2 { // the session goes on
			if page := w.get(first.header.Get("Location")); page.status != 200 || !strings.Contains(page.body, "Sign as Isla Morgan") {
				t.Errorf("the page is %d %s", page.status, page.body)
			}
		}
		again := w.get(link)
		wantStatus(t, again, 410)
		if !strings.Contains(again.body, "This link was used.") {
			t.Errorf("again it shows %s", again.body)
		}
		wantStatus(t, w.get(strings.Replace(link, "/esign/", "/esign/session/", 1)), 404)
	}
	wantStatus(t, w.get("/esign/0123"), 404)

	done := w.esignDocument(w.playOf("esign-v1", "one-signer").Documents[0])
	wantStatus(t, w.esign("/signer/"+done.SignerObjects[0].UUID+"/new-link/"), 400)
}

func TestThePDFIsAtHandElsewhereOrInTheArchive(t *testing.T) {
	t.Parallel()
	w := open(t, newIngest(t).URL)
	d := w.esignDocument(w.playOf("esign-v1", "one-signer").Documents[0])
	here := w.esign("/pdf/" + d.UUID + "/")
	wantPDF(t, here)
	if sum := sha256.Sum256([]byte(here.body)); d.HashValue != hex.EncodeToString(sum[:]) {
		t.Errorf("hash_value is %q", d.HashValue)
	}

	there := w.esign("/pdf/" + w.playOf("esign-v1", "two-signers").Documents[0] + "/")
	wantStatus(t, there, 302)
	wantPDF(t, w.get(strings.TrimPrefix(there.header.Get("Location"), w.url("")))) // without the key

	night := w.playOf("esign-v1", "long-night").Documents
	wantStatus(t, w.esign("/pdf/"+night[0]+"/"), 201)
	wantStatus(t, w.esign("/pdf/"+night[1]+"/"), 400) // nothing is final yet
}

func TestTheDocumentationsEsignDocumentIsThere(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	if d := w.esignDocument("%5Bdoc-id%5D"); d.Status != 30 || d.SignerObjects[0].UUID != "[signer-id]" {
		t.Errorf("document %+v", d)
	}
}
