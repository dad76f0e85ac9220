package sandbox_test

import (
	"net/http"
	"strings"
	"testing"
)

// request is Clickwrap's answer, by its literal names.
type request struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Signers []struct {
		SignerID string `json:"signer_id"`
		Order    int    `json:"order"`
		SendTo   struct {
			Email        bool `json:"email"`
			MobileNumber bool `json:"mobile_number"`
		} `json:"send_to"`
		Signer struct {
			Email        string `json:"email"`
			MobileNumber string `json:"mobile_number"`
			Additional   struct {
				FirstName string `json:"first_name"`
				LastName  string `json:"last_name"`
			} `json:"additional_attributes"`
		} `json:"signer"`
		RequestURL string `json:"request_url"`
	} `json:"signers"`
}

var bearer = http.Header{"Authorization": {"Bearer rest-token"}}

func (w world) request(id string) request {
	w.t.Helper()
	a := w.do("GET", "/v1.1/requests/"+id, "", bearer)
	wantStatus(w.t, a, 200)
	return read[request](w.t, a)
}

func TestARequestIsToldWithItsSigners(t *testing.T) {
	t.Parallel()
	in := newIngest(t)
	w := open(t, in.URL)
	id := w.play("seed").Documents[0]
	got := w.request(id)
	if got.ID != id || got.Name != "PS Employment Agreement" || len(got.Signers) != 2 {
		t.Fatalf("the request is %+v", got)
	}
	eric, jane := got.Signers[0], got.Signers[1]
	if !eric.SendTo.Email || !eric.SendTo.MobileNumber || eric.Signer.MobileNumber != "+13175551234" || eric.Signer.Email == "" || eric.Order != 1 {
		t.Errorf("Eric is %+v", eric)
	}
	if !jane.SendTo.Email || jane.SendTo.MobileNumber || jane.Signer.MobileNumber == "" || jane.Signer.MobileNumber == eric.Signer.MobileNumber || jane.Order != 2 {
		t.Errorf("Jane is %+v", jane)
	}
	if name := eric.Signer.Additional; name.FirstName != "Eric" || name.LastName != "Smith" {
		t.Errorf("Eric's name is %+v", name)
	}
	for _, s := range got.Signers {
		if !clickwrapID.MatchString(s.SignerID) || s.RequestURL != w.url("/sign/"+id+"/"+s.SignerID) {
			t.Errorf("signer %q has the link %q", s.SignerID, s.RequestURL)
		}
	}
	// Somebody with a text must be left in the other document, or nobody gets the guide's progress text.
	if other := w.request(w.play("seed").Documents[1]).Signers[1]; !other.SendTo.MobileNumber || other.Signer.MobileNumber == "" {
		t.Errorf("the other signer is %+v", other)
	}
}

func TestARequestNeedsTheTokenAndMustExist(t *testing.T) {
	t.Parallel()
	in := newIngest(t)
	w := open(t, in.URL)
	id := w.play("one-signer").Documents[0]
	for _, authorization := range []string{"", "Bearer", "Bearer ", "Bearer wrong", "rest-token", "Basic rest-token", "Bearer not-clickwraps", "Bearer 12345"} {
		a := w.do("GET", "/v1.1/requests/"+id, "", http.Header{"Authorization": {authorization}})
		wantStatus(t, a, 401)
		if !strings.Contains(a.body, `{"error":{"message":`) || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%q: answered %s", authorization, a.body)
		}
	}
	a := w.do("GET", "/v1.1/requests/5a0000000000000000000000", "", bearer)
	wantStatus(t, a, 404)
	if !strings.Contains(a.body, `"status":404`) {
		t.Errorf("answered %s", a.body)
	}
}

func TestAnUnknownSigningPageIsNotFound(t *testing.T) {
	t.Parallel()
	in := newIngest(t)
	w := open(t, in.URL)
	id := w.play("one-signer").Documents[0]
	wantStatus(t, w.get("/sign/"+id+"/"+id), 404)
	wantStatus(t, w.get("/sign/5a0000000000000000000000/"+w.request(id).Signers[0].SignerID), 404)
	wantStatus(t, w.get("/sign/"+id+"/"+w.request(id).Signers[0].SignerID), 200)
}

// A callback pasted from the documentation finds its signer, before any story was played.
func TestTheDocumentationsRequestIsThere(t *testing.T) {
	t.Parallel()
	w := open(t, newIngest(t).URL)
	r := w.request("596f858584281715b3493d0c")
	if r.Name != "Example Contract" || len(r.Signers) != 1 || r.Signers[0].SignerID != "58001ea30c7ffa3111e9fa48" {
		t.Errorf("request %+v", r)
	}
}
