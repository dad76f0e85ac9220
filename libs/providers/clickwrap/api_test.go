package clickwrap_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/clickwrap"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/providertest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// The channels that people want.
var (
	onSMS   = []notifyv1.Channel{event.SMS}
	onEmail = []notifyv1.Channel{event.Email}
	onBoth  = []notifyv1.Channel{event.SMS, event.Email}
)

const requestID = "596f858584281715b3493d0c"

// everything is a response with every field that the client reads.
const everything = `{"data":{"name":"Deed","title":"Deed","subject":"Deed","download_url":"https://pdf.example/0","pdf_url":"https://pdf.example/0","document_url":"https://pdf.example/0",
  "enforce_order":true,"order_enforced":true,"ordered":true,"signer_order":true,"signers":[
  {"signer_id":"S1","id":"S1","_id":"S1","send_to":{"email":true,"mobile_number":true},"order":1,"request_url":"https://sign.example/1","download_url":"https://pdf.example/1",
   "pdf_url":"https://pdf.example/1","document_url":"https://pdf.example/1","status":"sent","signed":false,"signed_time":null,"signed_at":null,
   "email":"eric@example.com","mobile_number":"+13175551234","first_name":"Eric","last_name":"Smith","name":"Eric Smith","additional_attributes":{"first_name":"Eric","last_name":"Smith"},
   "deliverable":{"email":true,"email_status":"ok","mobile_number":true,"mobile_number_status":"mobile"},
   "signer":{"id":"S1","_id":"S1","email":"eric@example.com","mobile_number":"+13175551234","first_name":"Eric","last_name":"Smith","name":"Eric Smith","order":1,
    "additional_attributes":{"first_name":"Eric","last_name":"Smith"},"deliverable":{"email":true,"email_status":"ok","mobile_number":true,"mobile_number_status":"mobile"}}},
  {"signer_id":"S2","send_to":{"email":false,"mobile_number":true},"order":2,"request_url":"https://sign.example/2",
   "signer":{"email":"ann@example.com","mobile_number":"+13175550002","additional_attributes":{"first_name":"Ann","last_name":"Lee"},"deliverable":{"mobile_number_status":"landline"}}}]}}`

func TestAPI(t *testing.T) {
	t.Parallel()
	providertest.RunAPI(t, clickwrap.Pack, apiSetup())
}

func FuzzAPI(f *testing.F) { providertest.FuzzAPI(f, clickwrap.Pack, apiSetup()) }

func apiSetup() providertest.APISetup {
	response := `{"signers":[{"signer_id":"` + providertest.Recipient + `","signer":{"email":"eric@example.com"},"request_url":"https://sign.example/1"}]}`
	return providertest.APISetup{
		Source:     clickwrap.Settings.New("demo").With("api.token=api-token"),
		Incomplete: map[string]config.Source{"api.token": clickwrap.Settings.New("demo")},
		Version:    "/v1.1",
		Header:     http.Header{"Authorization": {"Bearer api-token"}, "Accept": {"application/json"}},
		Document:   "/requests/" + providertest.Document,
		Unsigned:   response,
		Completed:  response,
		Everything: everything,
	}
}

func TestResponsesOfEveryShape(t *testing.T) {
	t.Parallel()
	eric := pack.Recipient{
		ID: "S1", FirstName: "Eric", LastName: "Smith", Email: "eric@example.com", Mobile: "+13175551234", Wants: onBoth, Invite: true,
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
		"without channels": {
			`{"signers":[{"id":"1","email":"a@example.com","mobile_number":"1"},{"id":"2","mobile_number":"1"},{"id":"3"},{"id":"4","email":"a@example.com","send_to":{}}]}`,
			pack.Document{Recipients: []pack.Recipient{
				{ID: "1", Email: "a@example.com", Mobile: "1", Wants: onEmail}, {ID: "2", Mobile: "1", Wants: onSMS}, {ID: "3"}, {ID: "4", Email: "a@example.com"},
			}},
		},
		"who signs in order": {
			`{"enforce_order":true,"signers":[{"id":"2","order":2},{"id":"1","order":1},{"id":"3","order":2}]}`,
			pack.Document{Recipients: []pack.Recipient{{ID: "1", Order: 1}, {ID: "2", Order: 2}, {ID: "3", Order: 2}}},
		},
		"who signs in order, as the reference has it": {
			`{"signer_order":true,"signers":[{"signer":{"id":"2","order":1}},{"signer":{"id":"1","order":0}}]}`,
			pack.Document{Recipients: []pack.Recipient{{ID: "1"}, {ID: "2", Order: 1}}},
		},
		"who signs in order, otherwise spelled": {
			`{"data":{"order_enforced":"true","ordered":false,"signers":[{"id":"1","order":"1"}]}}`,
			pack.Document{Recipients: []pack.Recipient{{ID: "1", Order: 1}}},
		},
		"an order that is not enforced": {
			`{"enforce_order":false,"signers":[{"id":"1","order":1}]}`,
			pack.Document{Recipients: []pack.Recipient{{ID: "1"}}},
		},
		"no signers": {`{"signers":[]}`, pack.Document{}},
		"a null among the signers": {
			`{"signers":[null,{"id":"1"},null]}`,
			pack.Document{Recipients: []pack.Recipient{{ID: "1"}}},
		},
		"a signer without readable fields": {
			`{"signers":["x",{"id":"1"},[]]}`,
			pack.Document{Recipients: []pack.Recipient{{}, {ID: "1"}, {}}},
		},
		"no signers beside the request": {
			`{"signers":null,"data":{"signers":[{"id":"1"}]}}`,
			pack.Document{Recipients: []pack.Recipient{{ID: "1"}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := apiOf(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, tt.body) })
			got, err := a.Document(t.Context(), requestID)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.ID = requestID
			for i := range tt.want.Recipients {
				tt.want.Recipients[i].Invite = true // with this provider, Signrelay sends all invitations
			}
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
	a, err := clickwrap.Pack.API(clickwrap.Settings.New("demo").With("api.base_url="+server.URL, "api.token=api-token"), server.Client())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// The channels on which a signer wants messages, in every shape of send_to.
func TestChannelsInSendTo(t *testing.T) {
	t.Parallel()
	const neither, email, mobile, both = "", "email", "sms", "email sms"
	for sendTo, want := range map[string]string{
		`{"email":true,"mobile_number":true}`:   both,
		`{"email":"true","mobile_number":0}`:    email,
		`{"email":false,"mobile_number":false}`: neither,
		`{"email":[],"mobile_number":{}}`:       neither,
		`{}`:                                    neither,
		`[]`:                                    neither, // PHP's form of {}
		`["email","mobile_number"]`:             both,
		`["mobile_number"]`:                     mobile,
		`["Email",null,7]`:                      email,
		`["sms"]`:                               mobile,
		`"email"`:                               email,
		`"mobile_number"`:                       mobile,
		`"email,mobile_number"`:                 both,
		`"email | sms"`:                         both,
		// A value without information counts as missing: one channel, the cheaper one.
		`null`:          email,
		`""`:            email,
		`"x"`:           email,
		`["fax"]`:       email,
		`[{"email":1}]`: email,
		`7`:             email,
		`true`:          email,
	} {
		a := apiOf(t, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"signers":[{"id":"1","email":"a@example.com","mobile_number":"1","send_to":`+sendTo+`}]}`)
		})
		d, err := a.Document(t.Context(), requestID)
		if err != nil {
			t.Errorf("%s: %v", sendTo, err)
			continue
		}
		var got []string
		if slices.Contains(d.Recipients[0].Wants, event.Email) {
			got = append(got, email)
		}
		if slices.Contains(d.Recipients[0].Wants, event.SMS) {
			got = append(got, mobile)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: by %q, want %q", sendTo, got, want)
		}
	}
}

// Reasons of the provider against a channel. An unknown status is not a reason.
func TestDeliverable(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]pack.Undeliverable{
		`"Opted out"`:        pack.OptedOut,
		`"opted out"`:        pack.OptedOut,
		`"OPTED_OUT"`:        pack.OptedOut,
		`"opted-out"`:        pack.OptedOut,
		`"OptedOut"`:         pack.OptedOut,
		`" Opted  Out "`:     pack.OptedOut,
		`"Opted out (STOP)"`: pack.OptedOut,
		`"opt-out"`:          pack.OptedOut,
		`"Unsubscribed"`:     pack.OptedOut,
		`"landline"`:         pack.Landline,
		`"Landline"`:         pack.Landline,
		`"land-line"`:        pack.Landline,
		`"fixed_line"`:       pack.Landline,
		`"Opted in"`:         "",
		`"not opted out"`:    "",
		`"mobile"`:           "",
		`"voip"`:             "",
		`"delivered"`:        "",
		`"bounced"`:          "",
		`"unknown"`:          "",
		`""`:                 "",
		`null`:               "",
		`false`:              "",
		`0`:                  "",
		`{}`:                 "",
		`["Opted out"]`:      "",
	} {
		for _, body := range []string{
			`{"signers":[{"id":"1","signer":{"deliverable":{"mobile_number":false,"mobile_number_status":` + status + `}}}]}`,
			`{"signers":[{"id":"1","deliverable":{"email_status":"ok","mobile_number_status":` + status + `}}]}`,
		} {
			a := apiOf(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
			d, err := a.Document(t.Context(), requestID)
			if err != nil || d.Recipients[0].Blocked[event.SMS] != want || d.Recipients[0].Blocked[event.Email] != "" {
				t.Errorf("%s: %+v, %v; want %q", body, d, err, want)
			}
		}
	}
	for body, want := range map[string]pack.Undeliverable{
		`{"deliverable":{"email_status":"Opted out","mobile_number_status":"mobile"}}`: pack.OptedOut,
		`{"deliverable":true}`: "",
		`{"deliverable":[]}`:   "",
	} {
		a := apiOf(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"signers":[`+body+`]}`) })
		if d, err := a.Document(t.Context(), requestID); err != nil || d.Recipients[0].Blocked[event.Email] != want || d.Recipients[0].Blocked[event.SMS] != "" {
			t.Errorf("%s: %+v, %v; want %q", body, d, err, want)
		}
	}
}
