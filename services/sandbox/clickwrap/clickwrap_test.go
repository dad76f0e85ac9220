package clickwrap_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

// signatureRequest is Clickwrap's response, by its literal names.
type signatureRequest struct {
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

func request(w sandboxtest.World, id string) signatureRequest {
	w.T.Helper()
	a := w.Do("GET", "/v1.1/requests/"+id, "", bearer)
	sandboxtest.WantStatus(w.T, a, 200)
	return sandboxtest.Read[signatureRequest](w.T, a)
}

func TestARequestIsReturnedWithItsSigners(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	id := w.Play("clickwrap", "seed").Documents[0]
	got := request(w, id)
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
		if !clickwrapID.MatchString(s.SignerID) || s.RequestURL != w.Link("/sign/"+id+"/"+s.SignerID) {
			t.Errorf("signer %q has the link %q", s.SignerID, s.RequestURL)
		}
	}
	// Another signer with a number must remain in the other document, because that person gets the guide's progress text.
	if other := request(w, w.Play("clickwrap", "seed").Documents[1]).Signers[1]; !other.SendTo.MobileNumber || other.Signer.MobileNumber == "" {
		t.Errorf("the other signer is %+v", other)
	}
}

func TestRequestsRequireTheTokenAndAKnownID(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	id := w.Play("clickwrap", "one-signer").Documents[0]
	for _, authorization := range []string{"", "Bearer", "Bearer ", "Bearer wrong", "rest-token", "Basic rest-token", "Bearer ps-key", "Bearer ps-secret", "Bearer 12345"} {
		a := w.Do("GET", "/v1.1/requests/"+id, "", http.Header{"Authorization": {authorization}})
		sandboxtest.WantStatus(t, a, 401)
		if !strings.Contains(a.Body, `{"error":{"message":`) || a.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%q: response %s", authorization, a.Body)
		}
	}
	a := w.Do("GET", "/v1.1/requests/5a0000000000000000000000", "", bearer)
	sandboxtest.WantStatus(t, a, 404)
	if !strings.Contains(a.Body, `"status":404`) {
		t.Errorf("response %s", a.Body)
	}
}

func TestAnUnknownSigningPageIsNotFound(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	id := w.Play("clickwrap", "one-signer").Documents[0]
	sandboxtest.WantStatus(t, w.Get("/sign/"+id+"/"+id), 404)
	sandboxtest.WantStatus(t, w.Get("/sign/5a0000000000000000000000/"+request(w, id).Signers[0].SignerID), 404)
	sandboxtest.WantStatus(t, w.Get("/sign/"+id+"/"+request(w, id).Signers[0].SignerID), 200)
}

// A callback pasted from the documentation finds its signer, before any story was played.
func TestTheDocumentationsRequestExists(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, sandboxtest.NewIngest(t).URL)
	r := request(w, "596f858584281715b3493d0c")
	if r.Name != "Example Contract" || len(r.Signers) != 1 || r.Signers[0].SignerID != "58001ea30c7ffa3111e9fa48" {
		t.Errorf("request %+v", r)
	}
}

func TestEveryFault(t *testing.T) {
	t.Parallel()
	sandboxtest.API{Target: "clickwrap", Good: 200, Call: func(w sandboxtest.World) (sandboxtest.Response, error) {
		return w.Try(w.T.Context(), "GET", "/v1.1/requests/596f858584281715b3493d0c", "", bearer)
	}}.Fails(t)
}
