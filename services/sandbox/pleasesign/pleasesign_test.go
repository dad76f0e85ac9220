package pleasesign_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

var pleasesignKeys = http.Header{"X-Pleasesign-Key": {"ps-key"}, "X-Pleasesign-Secret": {"ps-secret"}}

// psDocument is PleaseSign's response, by its literal names.
type psDocument struct {
	ID         string  `json:"id"`
	Title      string  `json:"title"`
	Status     string  `json:"status"`
	SenderName string  `json:"sender_name"`
	Sender     string  `json:"sender_email"`
	SentDate   *int64  `json:"sent_date"`
	Complete   *int64  `json:"complete_date"`
	Void       *int64  `json:"void_date"`
	Reason     *string `json:"void_reason"`
	Recipients []struct {
		ID        string  `json:"id"`
		FirstName string  `json:"first_name"`
		LastName  string  `json:"last_name"`
		Email     string  `json:"email"`
		Mobile    *string `json:"mobile"`
		Status    string  `json:"status"`
		Silent    bool    `json:"silent"`
		Routing   int     `json:"routing"`
		Complete  *int64  `json:"complete_date"`
	} `json:"recipients"`
}

func pleasesign(w sandboxtest.World, id string) psDocument {
	w.T.Helper()
	a := w.Do("GET", "/document/"+id, "", pleasesignKeys)
	sandboxtest.WantStatus(w.T, a, 200)
	if a.Header.Get("Request-Id") == "" {
		w.T.Error("the response has no Request-Id")
	}
	return sandboxtest.Read[psDocument](w.T, a)
}

// states returns the status of a document and those of its recipients, in order.
func (d psDocument) states() string {
	all := []string{d.Status}
	for _, r := range d.Recipients {
		all = append(all, r.Status)
	}
	return strings.Join(all, " ")
}

func TestAPleaseSignDocumentChangesBeforeItsCallbackIsSent(t *testing.T) {
	t.Parallel()
	for story, want := range map[string][]string{
		"two-signers":     {"sent sent sent", "sent complete sent", "sent complete complete", "complete complete complete"},
		"ordered-signing": {"sent sent pending", "sent complete sent", "sent complete complete", "complete complete complete"},
		"declined":        {"sent sent sent", "void void sent"},
		"bounced":         {"sent sent sent", "sent sent sent", "sent sent failed"},
	} {
		in := sandboxtest.NewIngest(t)
		w := sandboxtest.Open(t, in.URL)
		var states []string
		in.Meets = func(_ http.ResponseWriter, c sandboxtest.Call) bool {
			states = append(states, pleasesign(w, c.Fields["document_id"].(string)).states())
			return false
		}
		w.Play("pleasesign", story)
		if !slices.Equal(states, want) {
			t.Errorf("%s: the document was %q, want %q", story, states, want)
		}
	}
}

var (
	pleasesignID = regexp.MustCompile(`^PLSDOC[0-9a-f]{26}$`)
	recipientID  = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

func TestAPleaseSignDocumentContainsItsRecipients(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, sandboxtest.NewIngest(t).URL)
	id := w.Play("pleasesign", "mixed").Documents[0]
	d := pleasesign(w, id)
	if !pleasesignID.MatchString(id) || d.ID != id || d.Title != "Loan Agreement" || d.SenderName == "" || d.Sender == "" {
		t.Errorf("the document is %+v", d)
	}
	if d.SentDate == nil || d.Complete == nil || d.Void != nil || d.Reason != nil {
		t.Errorf("its dates are %+v", d)
	}
	silent, mailed := d.Recipients[0], d.Recipients[1]
	if !recipientID.MatchString(silent.ID) || !silent.Silent || silent.Mobile == nil || *silent.Mobile != "61491570006" || silent.Routing != 1 || silent.Complete == nil {
		t.Errorf("the silent one is %+v", silent)
	}
	if mailed.Silent || mailed.Mobile != nil || mailed.Email == "" || mailed.FirstName != "Mia" || mailed.LastName != "Kelly" || mailed.Routing != 1 {
		t.Errorf("the other one is %+v", mailed)
	}
	ordered := pleasesign(w, w.Play("pleasesign", "ordered-signing").Documents[0])
	if ordered.Recipients[0].Routing != 1 || ordered.Recipients[1].Routing != 2 {
		t.Errorf("in order they are %+v", ordered.Recipients)
	}
	void := pleasesign(w, w.Play("pleasesign", "declined").Documents[0])
	if void.Void == nil || void.Reason == nil || *void.Reason == "" || void.Complete != nil {
		t.Errorf("the void one is %+v", void)
	}
}

func TestPleaseSignRequiresBothKeysAndAKnownDocument(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, sandboxtest.NewIngest(t).URL)
	d := pleasesign(w, w.Play("pleasesign", "one-signer").Documents[0])
	paths := []string{"/document/" + d.ID, "/document/" + d.ID + "/master", "/recipient/" + d.Recipients[0].ID + "/signingurl"}
	for _, keys := range []http.Header{
		{}, {"X-Pleasesign-Key": {"ps-key"}}, {"X-Pleasesign-Secret": {"ps-secret"}},
		{"X-Pleasesign-Key": {"ps-key"}, "X-Pleasesign-Secret": {"other"}},
		{"X-Pleasesign-Key": {"rest-token"}, "X-Pleasesign-Secret": {"ps-secret"}},
	} {
		for _, path := range paths {
			a := w.Do("GET", path, "", keys)
			sandboxtest.WantStatus(t, a, 401)
			if !strings.HasPrefix(a.Body, `{"message":"`) {
				t.Errorf("%s: response %s", path, a.Body)
			}
		}
	}
	for _, path := range []string{
		"/document/PLSDOC00000000000000000000000000", "/document/PLSDOC00000000000000000000000000/master",
		"/recipient/" + d.ID + "/signingurl", "/document/" + d.Recipients[0].ID,
	} {
		sandboxtest.WantStatus(t, w.Do("GET", path, "", pleasesignKeys), 404)
	}
}

// addressed is the response to both requests for an address.
type addressed struct{ ID, URL string }

func TestASigningURLIsReturnedWhileItIsUsable(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	var got []string
	in.Meets = func(_ http.ResponseWriter, c sandboxtest.Call) bool {
		var statuses []int
		for _, r := range pleasesign(w, c.Fields["document_id"].(string)).Recipients {
			a := w.Do("GET", "/recipient/"+r.ID+"/signingurl", "", pleasesignKeys)
			statuses = append(statuses, a.Status)
			if a.Status != 200 {
				if !strings.HasPrefix(a.Body, `{"message":"`) {
					t.Errorf("refused with %s", a.Body)
				}
				continue
			}
			link := sandboxtest.Read[addressed](t, a)
			if link.ID != r.ID || !strings.HasPrefix(link.URL, w.Link("/pleasesign?e=")) {
				t.Errorf("the signing url is %+v", link)
			}
			page := w.Get(strings.TrimPrefix(link.URL, w.Link("")))
			if turn := strings.Contains(page.Body, "Sign as "+r.FirstName); turn != (r.Status == "sent") {
				t.Errorf("the page of %s, who is %s: %s", r.FirstName, r.Status, page.Body)
			}
		}
		got = append(got, strings.Trim(fmt.Sprint(statuses), "[]"))
		return false
	}
	w.Play("pleasesign", "ordered-signing")
	in.Meets = nil
	void := pleasesign(w, w.Play("pleasesign", "declined").Documents[0])
	if a := w.Do("GET", "/recipient/"+void.Recipients[1].ID+"/signingurl", "", pleasesignKeys); void.Recipients[1].Status != "sent" || a.Status != 400 {
		t.Errorf("on a void document, a recipient who is %s got %d", void.Recipients[1].Status, a.Status)
	}
	if want := []string{"200 200", "400 200", "400 400", "400 400"}; !slices.Equal(got, want) {
		t.Errorf("signing urls got %q, want %q", got, want)
	}
}

func TestTheFilesOfADocument(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Clocked(t, in.URL, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	id := w.Play("pleasesign", "one-signer").Documents[0]
	end := in.Calls[len(in.Calls)-1].Fields
	get := func(address string) sandboxtest.Response { return w.Get(strings.TrimPrefix(address, w.Link(""))) }
	fromAPI := map[string]string{}
	contents := map[string]bool{}
	for kind, path := range map[string]string{"original": "original", "signed": "master"} {
		a := w.Do("GET", "/document/"+id+"/"+path, "", pleasesignKeys)
		sandboxtest.WantStatus(t, a, 200)
		fromAPI[kind] = sandboxtest.Read[addressed](t, a).URL
		sandboxtest.WantPDF(t, get(fromAPI[kind]))
		if get(fromAPI[kind]).Body != get(end[kind].(string)).Body {
			t.Errorf("the %s of the API is not that of the callback", kind)
		}
	}
	for _, kind := range []string{"original", "signed", "certificate"} {
		sandboxtest.WantPDF(t, get(end[kind].(string)))
		contents[get(end[kind].(string)).Body] = true
	}
	if len(contents) != 3 {
		t.Errorf("the three files have %d contents", len(contents))
	}
	type file struct {
		Document, Kind, SHA256 string
		Size                   int
	}
	served := sandboxtest.Read[[]file](t, w.Get("/api/files"))
	signed := get(end["signed"].(string)).Body
	sum := sha256.Sum256([]byte(signed))
	if !slices.Contains(served, file{id, "signed", hex.EncodeToString(sum[:]), len(signed)}) {
		t.Errorf("served are %+v", served)
	}

	// The API's addresses work for a day, and the callback's for three.
	ahead.Add(int64(25 * time.Hour))
	sandboxtest.WantStatus(t, get(fromAPI["signed"]), 403)
	sandboxtest.WantPDF(t, get(end["signed"].(string)))
	ahead.Add(int64(48 * time.Hour))
	sandboxtest.WantStatus(t, get(end["signed"].(string)), 403)
	sandboxtest.WantStatus(t, w.Get("/files/0123/document.pdf"), 404)
}

// A callback pasted from the documentation finds its recipient, before any story was played.
func TestTheDocumentationsPleaseSignDocumentExists(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	d := pleasesign(w, "PLSDOC19704278f8c51564ff0c707817")
	if d.states() != "sent sent" || d.Recipients[0].ID != "52cc002fac06025cddad05de87f75b37" {
		t.Errorf("document %+v", d)
	}
}

func TestEveryFault(t *testing.T) {
	t.Parallel()
	sandboxtest.API{Target: "pleasesign", Good: 200, Call: func(w sandboxtest.World) (sandboxtest.Response, error) {
		return w.Try(w.T.Context(), "GET", "/document/PLSDOC19704278f8c51564ff0c707817", "", pleasesignKeys)
	}}.Fails(t)
}
