package pleasesign_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/pleasesign"
	"github.com/signrelay/signrelay/libs/providers/providertest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// The channels that people choose.
var (
	onSMS   = []notifyv1.Channel{event.SMS}
	onEmail = []notifyv1.Channel{event.Email}
)

const documentID = "PLSDOC19704278f8c51564ff0c707817"

func TestAPI(t *testing.T) {
	t.Parallel()
	providertest.RunAPI(t, pleasesign.Pack, apiSetup())
}

func FuzzAPI(f *testing.F) { providertest.FuzzAPI(f, pleasesign.Pack, apiSetup()) }

func apiSetup() providertest.APISetup {
	recipient := `"recipients":[{"id":"` + providertest.Recipient + `","email":"jane@example.com","status":%q,"silent":true,"routing":1}]}`
	return providertest.APISetup{
		Source: pleasesign.Settings.New("demo").With("api.key=PLSAPP-key", "api.secret=api-secret"),
		Incomplete: map[string]config.Source{
			"api.key":    pleasesign.Settings.New("demo").With("api.secret=api-secret"),
			"api.secret": pleasesign.Settings.New("demo").With("api.key=PLSAPP-key"),
		},
		Header: http.Header{
			"X-Pleasesign-Key": {"PLSAPP-key"}, "X-Pleasesign-Secret": {"api-secret"}, "Accept": {"application/json"},
		},
		Document:  "/document/" + providertest.Document,
		Unsigned:  `{"status":"sent",` + fmt.Sprintf(recipient, "sent"),
		Completed: `{"status":"complete",` + fmt.Sprintf(recipient, "complete"),
		Everything: `{"title":"Deed","status":"sent","sender_name":"John Doe","sender_email":"john@example.com","recipients":[
		  {"id":"1","first_name":"Jane","last_name":"Doe","email":"jane@example.com","mobile":"61491570313","status":"sent","silent":true,"routing":1},
		  {"id":"2","first_name":"Ann","last_name":"Lee","email":"ann@example.com","mobile":"61491570314","status":"pending","silent":true,"routing":2}]}`,
		Then: map[pack.Purpose]string{
			pack.Sign:     "/recipient/" + providertest.Recipient + "/signingurl",
			pack.Download: "/document/" + providertest.Document + "/master",
		},
	}
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		body string
		want pack.Document
	}{
		"as the documentation prints it": {
			`{"id":"PLSDOC19704278f8c51564ff0c707817","title":"Example document","message":"Lorem ipsum dolor sit amet.","status":"complete",
			  "brand_id":"60b4eb348cb410fbd2dbc410790fd99c","sender_id":"a6564df8db9e9624","sender_name":"John Doe","sender_email":"example@pleasesign.com.au",
			  "sender_business":"PleaseSign Developers","created_date":1531228693,"sent_date":1531228693,"complete_date":1531228693,"void_date":1531228693,
			  "void_reason":"Lorem ipsum dolor sit amet.","recipients":[{"id":"52cc002fac06025cddad05de87f75b37","first_name":"Jane","last_name":"Doe",
			  "email":"example@pleasesign.com.au","mobile":null,"status":"complete","silent":false,"redirect":"https://www.google.com.au/",
			  "redirect_void":"https://www.google.com.au/","routing":1,"nominee_id":null,"created_date":1531228693,"complete_date":1531228693,
			  "reminder_date":null,"reminder_count":0}]}`,
			pack.Document{
				Title: "Example document", Status: pack.StatusCompleted, Sender: pack.Sender{Name: "John Doe", Email: "example@pleasesign.com.au"},
				Recipients: []pack.Recipient{{
					ID: "52cc002fac06025cddad05de87f75b37", FirstName: "Jane", LastName: "Doe", Email: "example@pleasesign.com.au", Wants: onEmail, Order: 1, Signed: true,
				}},
			},
		},
		"in order, some invited by us": {
			`{"status":"sent","recipients":[{"id":"3","routing":10,"silent":true,"status":"pending"},{"id":"2","routing":"2","silent":"true","status":"sent"},
			  {"id":"1","routing":1,"silent":null,"status":"complete"}]}`,
			pack.Document{Status: pack.StatusOpen, Recipients: []pack.Recipient{
				{ID: "1", Order: 1, Signed: true}, {ID: "2", Order: 2, Invite: true}, {ID: "3", Order: 10, Invite: true},
			}},
		},
		"numbers": {
			`{"status":"building","recipients":[{"id":"1","mobile":"61491570313"},{"id":"2","mobile":61491570313},{"id":"3","mobile":"+61491570313"},
			  {"id":"4","mobile":"6149157031"},{"id":"5","mobile":""},{"id":"6","mobile":false,"email":null}]}`,
			pack.Document{Status: pack.StatusOpen, Recipients: []pack.Recipient{
				{ID: "1", Mobile: "+61491570313", Wants: onSMS}, {ID: "2", Mobile: "+61491570313", Wants: onSMS}, {ID: "3", Mobile: "+61491570313", Wants: onSMS},
				{ID: "4", Mobile: "6149157031", Wants: onSMS}, {ID: "5"}, {ID: "6"},
			}},
		},
		"declined by one": {
			`{"status":"void","recipients":[{"id":"1","status":"complete"},{"id":"2","status":"void"},{"id":"3","status":"sent"}]}`,
			pack.Document{Status: pack.StatusDeclined, Recipients: []pack.Recipient{{ID: "1", Signed: true}, {ID: "2", Declined: true}, {ID: "3"}}},
		},
		"withdrawn": {
			`{"status":"void","recipients":[{"id":"1","status":"complete"},{"id":"2","status":"sent"}]}`,
			pack.Document{Status: pack.StatusVoided, Recipients: []pack.Recipient{{ID: "1", Signed: true}, {ID: "2"}}},
		},
		"all void, so the reason is unknown": {
			`{"status":"void","recipients":[{"id":"1","status":"void"},{"id":"2","status":"void"}]}`,
			pack.Document{Status: pack.StatusVoided, Recipients: []pack.Recipient{{ID: "1"}, {ID: "2"}}},
		},
		"odd types": {
			`{"id":1,"title":7,"status":"archived","sender_name":null,"sender_email":{},"recipients":[{"id":5,"first_name":[],"last_name":{},"status":null,"routing":"x","silent":"1"}]}`,
			pack.Document{Title: "7", Recipients: []pack.Recipient{{ID: "5", Invite: true}}},
		},
		"silent, and reminded in spite of it": {
			`{"status":"sent","recipients":[{"id":"1","silent":true,"reminder_date":1750000000},{"id":"2","silent":true,"reminder_date":null}]}`,
			pack.Document{Status: pack.StatusOpen, Recipients: []pack.Recipient{{ID: "1", Invite: true, RemindedByProvider: true}, {ID: "2", Invite: true}}},
		},
		"no recipients": {`{"status":"sent","recipients":[]}`, pack.Document{Status: pack.StatusOpen}},
		"a null among the recipients, and one without readable fields": {
			`{"status":"sent","recipients":[null,"PLSREC",{"id":"1"}]}`,
			pack.Document{Status: pack.StatusOpen, Recipients: []pack.Recipient{{}, {ID: "1"}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := apiOf(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, tt.body) })
			got, err := a.Document(t.Context(), documentID)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.ID = documentID
			for i := range tt.want.Recipients { // PleaseSign reminds the people to whom it sent the document
				r := &tt.want.Recipients[i]
				r.RemindedByProvider = r.RemindedByProvider || !r.Invite
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, body := range []string{`{"status":"sent"}`, `{"status":"sent","recipients":null}`, `{"recipients":[]}`, `{"status":"sent","recipients":{}}`} {
		a := apiOf(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
		var call *pack.CallError
		if d, err := a.Document(t.Context(), documentID); !errors.As(err, &call) || outcome.Of(err).Kind() != outcome.Failed {
			t.Errorf("%s: %+v, %v", body, d, err)
		}
	}
}

// No address is requested if the document's status excludes one: the test server has no other response.
func TestOpen(t *testing.T) {
	t.Parallel()
	const sign, download = pack.Sign, pack.Download
	for name, tt := range map[string]struct {
		document string
		purpose  pack.Purpose
		reason   pack.NotOpen // empty if an address is requested
	}{
		"his turn":                      {`"status":"sent","recipients":[{"id":"R","status":"sent"}]`, sign, ""},
		"in turn, not notified yet":     {`"status":"sent","recipients":[{"id":"1","status":"complete","routing":1},{"id":"R","status":"pending","routing":2}]`, sign, ""},
		"others sign in parallel":       {`"status":"sent","recipients":[{"id":"1","status":"sent","routing":1},{"id":"R","status":"sent","routing":1}]`, sign, ""},
		"an unknown status":             {`"status":"sent","recipients":[{"id":"R","status":"visited"}]`, sign, ""},
		"others sign before":            {`"status":"sent","recipients":[{"id":"1","status":"sent","routing":1},{"id":"R","status":"pending","routing":2}]`, sign, pack.NotYet},
		"the file is prepared":          {`"status":"building","recipients":[{"id":"R","status":"pending"}]`, sign, pack.NotYet},
		"has signed":                    {`"status":"sent","recipients":[{"id":"R","status":"complete"},{"id":"2","status":"sent"}]`, sign, pack.AlreadySigned},
		"all have signed":               {`"status":"complete","recipients":[{"id":"R","status":"complete"}]`, sign, pack.AlreadySigned},
		"he declined":                   {`"status":"void","recipients":[{"id":"R","status":"void"}]`, sign, pack.Ended},
		"withdrawn":                     {`"status":"void","recipients":[{"id":"R","status":"sent"}]`, sign, pack.Ended},
		"withdrawn after the signature": {`"status":"void","recipients":[{"id":"R","status":"complete"}]`, sign, pack.Ended},
		"the e-mail bounced":            {`"status":"sent","recipients":[{"id":"R","status":"failed"}]`, sign, pack.Gone},
		"corrected to another":          {`"status":"sent","recipients":[{"id":"2","status":"sent"}]`, sign, pack.Gone},

		"finished":            {`"status":"complete","recipients":[{"id":"R","status":"complete"}]`, download, ""},
		"not finished":        {`"status":"sent","recipients":[{"id":"R","status":"complete"},{"id":"2","status":"sent"}]`, download, pack.NotYet},
		"never finished":      {`"status":"void","recipients":[{"id":"R","status":"complete"}]`, download, pack.Ended},
		"who knows":           {`"status":"archived","recipients":[{"id":"R","status":"complete"}]`, download, pack.NotYet},
		"corrected to others": {`"status":"complete","recipients":[{"id":"2","status":"complete"}]`, download, pack.Gone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := ""
			a := apiOf(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/document/"+documentID {
					fmt.Fprint(w, "{"+tt.document+"}")
					return
				}
				asked = r.URL.Path
				fmt.Fprint(w, `{"id":"R","url":"https://sign.example?e=84364f3c73e8&p=c71ea459c014"}`)
			})
			got, err := a.Open(t.Context(), pack.Link{Document: documentID, Recipient: "R", Purpose: tt.purpose})
			var not *pack.NotOpenError
			switch {
			case tt.reason != "":
				if !errors.As(err, &not) || not.Reason != tt.reason || asked != "" {
					t.Errorf("%+v, %v, requested %q; want %s", got, err, asked, tt.reason)
				}
			case err != nil || got.URL != "https://sign.example?e=84364f3c73e8&p=c71ea459c014" || got.Body != nil:
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// A recipient's id comes from the provider and is not trusted.
func TestARecipientIDWithAPathTraversal(t *testing.T) {
	t.Parallel()
	a := apiOf(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/document/"+documentID {
			t.Errorf("%s was requested", r.RequestURI)
		}
		fmt.Fprint(w, `{"status":"sent","recipients":[{"id":"../document/1","status":"sent"}]}`)
	})
	var call *pack.CallError
	_, err := a.Open(t.Context(), pack.Link{Document: documentID, Recipient: "../document/1", Purpose: pack.Sign})
	if !errors.As(err, &call) || outcome.Of(err).Kind() != outcome.GaveUp {
		t.Error(err)
	}
}

func apiOf(t *testing.T, h http.HandlerFunc) pack.API {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	source := pleasesign.Settings.New("demo").With("api.base_url="+server.URL, "api.key=PLSAPP-key", "api.secret=api-secret")
	a, err := pleasesign.Pack.API(source, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	return a
}
