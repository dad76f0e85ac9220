package esignv1_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

var esignKeys = http.Header{"Authorization": {"ApiKey me:v1-secret"}}

// v1Document is the eSignature API's response, by its literal names.
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

func esign(w sandboxtest.World, path string) sandboxtest.Response {
	w.T.Helper()
	return w.Do("GET", "/api/v1"+path, "", esignKeys)
}

func esignDocument(w sandboxtest.World, id string) v1Document {
	w.T.Helper()
	a := esign(w, "/document/"+id+"/")
	sandboxtest.WantStatus(w.T, a, 200)
	return sandboxtest.Read[v1Document](w.T, a)
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$`)

func TestAnEsignDocumentContainsItsSignersTwice(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, sandboxtest.NewIngest(t).URL)
	id := w.Play("esign-v1", "two-signers").Documents[0]
	d := esignDocument(w, id)
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
		t.Errorf("as an array the signer is %v, want %v", d.Signers[1], array)
	}

	a := esign(w, "/signer/"+oliver.UUID+"/")
	sandboxtest.WantStatus(t, a, 200)
	signer := sandboxtest.Read[map[string]any](t, a)
	if signer["document"] != d.ResourceURI || signer["status"] != 40.0 || signer["first_name"] != "Oliver" || len(signer) != 8 {
		t.Errorf("the signer alone is %v", signer)
	}
}

func TestEsignStatusesFollowTheStory(t *testing.T) {
	t.Parallel()
	for story, want := range map[string][]string{
		"one-signer":  {"10 4", "30 40", "30 40"},
		"two-signers": {"10 4 4", "10 40 4", "30 40 40"},
		"declined":    {"10 4 4", "50 60 4"},
	} {
		in := sandboxtest.NewIngest(t)
		w := sandboxtest.Open(t, in.URL)
		document := regexp.MustCompile(`/api/v1/document/([0-9a-f-]+)/`)
		var id string
		var states []string
		in.Meets = func(_ http.ResponseWriter, c sandboxtest.Call) bool {
			if found := document.FindStringSubmatch(fmt.Sprint(c.Fields)); found != nil {
				id = found[1]
			}
			d := esignDocument(w, id)
			state := []int{d.Status}
			for _, s := range d.SignerObjects {
				state = append(state, s.Status)
			}
			states = append(states, strings.Trim(fmt.Sprint(state), "[]"))
			return false
		}
		w.Play("esign-v1", story)
		if !slices.Equal(states, want) {
			t.Errorf("%s: the document was %q, want %q", story, states, want)
		}
	}
}

func TestEsignRequiresKeyDocumentAndSlash(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, sandboxtest.NewIngest(t).URL)
	d := esignDocument(w, w.Play("esign-v1", "one-signer").Documents[0])
	signer := d.SignerObjects[0].UUID
	paths := []string{"/document/" + d.UUID, "/signer/" + signer, "/signer/" + signer + "/new-link", "/pdf/" + d.UUID}
	for _, path := range paths {
		for _, authorization := range []string{"", "ApiKey", "ApiKey me:", "ApiKey me:wrong", "ApiKey other:v1-secret", "Bearer me:v1-secret", "me:v1-secret"} {
			sandboxtest.WantStatus(t, w.Do("GET", "/api/v1"+path+"/", "", http.Header{"Authorization": {authorization}}), 401)
		}
		sandboxtest.WantStatus(t, esign(w, path), 404) // without the slash
	}
	// The key of any source is accepted, because all accounts are on one server.
	sandboxtest.WantStatus(t, w.Do("GET", "/api/v1/document/"+d.UUID+"/", "", http.Header{"Authorization": {"ApiKey other:other-secret"}}), 200)
	for _, path := range []string{"/document/" + signer + "/", "/signer/" + d.UUID + "/", "/signer/" + d.UUID + "/new-link/", "/pdf/" + signer + "/"} {
		sandboxtest.WantStatus(t, esign(w, path), 404)
	}
}

func TestANewLinkOpensOnce(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, sandboxtest.NewIngest(t).URL)
	d := esignDocument(w, w.Play("esign-v1", "long-night").Documents[1])
	var links []string
	for range 2 {
		a := esign(w, "/signer/"+d.SignerObjects[0].UUID+"/new-link/")
		sandboxtest.WantStatus(t, a, 201)
		if a.Body != "" {
			t.Errorf("new-link has a body: %s", a.Body)
		}
		links = append(links, strings.TrimPrefix(a.Header.Get("Location"), w.Link("")))
	}
	for _, link := range links { // each opens exactly once
		first := w.Get(link)
		sandboxtest.WantStatus(t, first, 303)
		for range 2 { // the session stays valid
			if page := w.Get(first.Header.Get("Location")); page.Status != 200 || !strings.Contains(page.Body, "Sign as Isla Morgan") {
				t.Errorf("the page is %d %s", page.Status, page.Body)
			}
		}
		again := w.Get(link)
		sandboxtest.WantStatus(t, again, 410)
		if !strings.Contains(again.Body, "This link was already used.") {
			t.Errorf("the second time it shows %s", again.Body)
		}
		sandboxtest.WantStatus(t, w.Get(strings.Replace(link, "/esign/", "/esign/session/", 1)), 404)
	}
	sandboxtest.WantStatus(t, w.Get("/esign/0123"), 404)

	done := esignDocument(w, w.Play("esign-v1", "one-signer").Documents[0])
	sandboxtest.WantStatus(t, esign(w, "/signer/"+done.SignerObjects[0].UUID+"/new-link/"), 400)
}

func TestThePDFIsReadyRedirectedOrArchived(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	w := sandboxtest.Clocked(t, sandboxtest.NewIngest(t).URL, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	d := esignDocument(w, w.Play("esign-v1", "one-signer").Documents[0])
	here := esign(w, "/pdf/"+d.UUID+"/")
	sandboxtest.WantPDF(t, here)
	if sum := sha256.Sum256([]byte(here.Body)); d.HashValue != hex.EncodeToString(sum[:]) {
		t.Errorf("hash_value is %q", d.HashValue)
	}

	there := esign(w, "/pdf/"+w.Play("esign-v1", "two-signers").Documents[0]+"/")
	sandboxtest.WantStatus(t, there, 302)
	location, err := url.Parse(there.Header.Get("Location"))
	if err != nil || location.Hostname() != "localhost" {
		t.Fatalf("it is at %v, want another host: %v", location, err)
	}
	sandboxtest.WantPDF(t, w.Get(location.Path)) // without the key

	night := w.Play("esign-v1", "long-night").Documents
	sandboxtest.WantStatus(t, esign(w, "/pdf/"+night[0]+"/"), 201)
	sandboxtest.WantStatus(t, esign(w, "/pdf/"+night[1]+"/"), 400) // the document is not complete
	ahead.Add(int64(4*time.Hour - time.Minute))
	sandboxtest.WantStatus(t, esign(w, "/pdf/"+night[0]+"/"), 201)
	sandboxtest.WantStatus(t, w.Get(location.Path), 403) // the address was short-lived
	ahead.Add(int64(2 * time.Minute))
	sandboxtest.WantPDF(t, esign(w, "/pdf/"+night[0]+"/"))
}

func TestTheDocumentationsEsignDocumentExists(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	if d := esignDocument(w, "%5Bdoc-id%5D"); d.Status != 30 || d.SignerObjects[0].UUID != "[signer-id]" {
		t.Errorf("document %+v", d)
	}
}

func TestEveryFault(t *testing.T) {
	t.Parallel()
	sandboxtest.API{Target: "esign-v1", Good: 200, Call: func(w sandboxtest.World) (sandboxtest.Response, error) {
		return w.Try(w.T.Context(), "GET", "/api/v1/document/%5Bdoc-id%5D/", "", esignKeys)
	}}.Fails(t)
}
