package clickwrap_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers/clickwrap"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/providertest"
)

const requestID = "596f858584281715b3493d0c"

func TestAPI(t *testing.T) {
	t.Parallel()
	answer := `{"signers":[{"signer_id":"` + providertest.Recipient + `","signer":{"email":"eric@example.com"},"request_url":"https://sign.example/1"}]}`
	providertest.RunAPI(t, clickwrap.Pack, providertest.APISetup{
		Settings:   config.API{Token: "api-token"},
		Incomplete: map[string]config.API{"api.token": {}},
		Version:    "/v1.1",
		Header:     http.Header{"Authorization": {"Bearer api-token"}, "Accept": {"application/json"}},
		Document:   "/requests/" + providertest.Document,
		Unsigned:   answer,
		Completed:  answer,
	})
}

func TestAnswersOfEveryShape(t *testing.T) {
	t.Parallel()
	eric := pack.Recipient{
		ID: "S1", FirstName: "Eric", LastName: "Smith", Email: "eric@example.com", Mobile: "+13175551234", ByEmail: true, BySMS: true, Invite: true,
		SigningURL: "https://sign.example/1", DownloadURL: "https://sign.example/1",
	}
	const seed = `{"send_to":{"email":true,"mobile_number":true},"signer":{"email":"eric@example.com","mobile_number":"+13175551234"},"request_url":"https://sign.example/1"`
	seeded := eric
	seeded.ID, seeded.FirstName, seeded.LastName = "", "", ""

	for name, tt := range map[string]struct {
		body string
		want pack.Document
	}{
		"as the guide prints it": {
			`{"signers":[` + seed + `}]}`,
			pack.Document{Recipients: []pack.Recipient{seeded}},
		},
		"in data, with a name and created as the reference says": {
			`{"data":{"name":"PS Employment Agreement","signers":[{"signer_id":"S1","signer":{"email":"eric@example.com","mobile_number":"+13175551234",
			  "additional_attributes":{"first_name":"Eric","last_name":"Smith"}},"send_to":{"email":true,"mobile_number":true},"request_url":"https://sign.example/1"}]}}`,
			pack.Document{Title: "PS Employment Agreement", Recipients: []pack.Recipient{eric}},
		},
		"other spellings": {
			`{"title":"T","signers":[{"signer":{"_id":"S1","name":"Eric Smith","email":"eric@example.com","mobile_number":"+13175551234"},
			  "send_to":{"email":"true","mobile_number":1},"request_url":"https://sign.example/1","data":null}]}`,
			pack.Document{Title: "T", Recipients: []pack.Recipient{eric}},
		},
		"the person beside the signer's id": {
			`{"subject":"S","name":null,"signers":[{"signer":"S1","first_name":"Eric","last_name":"Smith","email":"eric@example.com",
			  "mobile_number":"+13175551234","send_to":{"email":true,"mobile_number":true},"request_url":"https://sign.example/1"}]}`,
			pack.Document{Title: "S", Recipients: []pack.Recipient{eric}},
		},
		"numbers for ids, and in order": {
			`{"signers":[{"id":2,"order":2},{"id":10,"order":"10"},{"id":1,"order":1},{"id":0.5}]}`,
			pack.Document{Recipients: []pack.Recipient{{ID: "0.5"}, {ID: "1"}, {ID: "2"}, {ID: "10"}}},
		},
		"who has signed": {
			`{"signers":[{"id":"1","status":"Signed"},{"id":"2","status":"complete"},{"id":"3","signed_time":"2017-07-19T16:15:43Z"},{"id":"4","signed_at":1500480943},
			  {"id":"5","signed":true},{"id":"6","status":"sent","signed":false,"signed_time":null},{"id":"7","signed_at":""}]}`,
			pack.Document{Recipients: []pack.Recipient{
				{ID: "1", Signed: true}, {ID: "2", Signed: true}, {ID: "3", Signed: true}, {ID: "4", Signed: true}, {ID: "5", Signed: true}, {ID: "6"}, {ID: "7"},
			}},
		},
		"where to download": {
			`{"pdf_url":"https://pdf.example/all","signers":[{"id":"1","request_url":"https://sign.example/1"},{"id":"2","download_url":"https://pdf.example/2","request_url":"https://sign.example/2"}]}`,
			pack.Document{Recipients: []pack.Recipient{
				{ID: "1", Invite: true, SigningURL: "https://sign.example/1", DownloadURL: "https://pdf.example/all"},
				{ID: "2", Invite: true, SigningURL: "https://sign.example/2", DownloadURL: "https://pdf.example/2"},
			}},
		},
		"no word of channels": {
			`{"signers":[{"id":"1","email":"a@example.com","mobile_number":"1"},{"id":"2","mobile_number":"1"},{"id":"3"},{"id":"4","email":"a@example.com","send_to":{}}]}`,
			pack.Document{Recipients: []pack.Recipient{
				{ID: "1", Email: "a@example.com", Mobile: "1", ByEmail: true}, {ID: "2", Mobile: "1", BySMS: true}, {ID: "3"}, {ID: "4", Email: "a@example.com"},
			}},
		},
		"who signs in order": {
			`{"enforce_order":true,"signers":[{"id":"2","order":2},{"id":"1","order":1},{"id":"3","order":2}]}`,
			pack.Document{Recipients: []pack.Recipient{{ID: "1", Order: 1}, {ID: "2", Order: 2}, {ID: "3", Order: 2}}},
		},
		"who signs in order, otherwise spelled": {
			`{"data":{"order_enforced":"true","ordered":false,"signers":[{"id":"1","order":"1"}]}}`,
			pack.Document{Recipients: []pack.Recipient{{ID: "1", Order: 1}}},
		},
		"an order that nobody keeps": {
			`{"enforce_order":false,"signers":[{"id":"1","order":1}]}`,
			pack.Document{Recipients: []pack.Recipient{{ID: "1"}}},
		},
		"nobody": {`{"signers":[]}`, pack.Document{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := apiOf(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, tt.body) })
			got, err := a.Document(t.Context(), requestID)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.ID = requestID
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	a := apiOf(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"signers":[{"id":"1","request_url":"https://sign.example/1","pdf_url":"https://pdf.example/1"},
		  {"id":"2","request_url":"https://sign.example/2"},{"id":"3"},{"id":"4","request_url":"javascript:alert(1)"},{"id":"5","request_url":"//sign.example"}]}`)
	})
	for link, want := range map[pack.Link]string{
		{Document: requestID, Recipient: "1", Purpose: pack.Sign}:     "https://sign.example/1",
		{Document: requestID, Recipient: "1", Purpose: pack.Download}: "https://pdf.example/1",
		{Document: requestID, Recipient: "2", Purpose: pack.Download}: "https://sign.example/2",
		{Document: requestID, Recipient: "3", Purpose: pack.Sign}:     "",
		{Document: requestID, Recipient: "4", Purpose: pack.Sign}:     "",
		{Document: requestID, Recipient: "5", Purpose: pack.Sign}:     "",
	} {
		got, err := a.Open(t.Context(), link)
		var not *pack.NotOpenError
		switch {
		case want == "":
			if !errors.As(err, &not) || not.Reason != pack.Gone {
				t.Errorf("%+v: %+v, %v", link, got, err)
			}
		case err != nil || got.URL != want || got.Body != nil:
			t.Errorf("%+v: %+v, %v", link, got, err)
		}
	}
}

func apiOf(t *testing.T, h http.HandlerFunc) pack.API {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	a, err := clickwrap.Pack.API(config.Source{Name: "demo", API: config.API{BaseURL: server.URL, Token: "api-token"}}, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	return a
}
