package esignv1_test

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
	"github.com/signrelay/signrelay/libs/providers/esignv1"
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

const documentID = "d0d0d0d0-d0d0-d0d0-d0d0-d0d0d0d0d0d0"

func TestAPI(t *testing.T) {
	t.Parallel()
	providertest.RunAPI(t, esignv1.Pack, apiSetup())
}

func FuzzAPI(f *testing.F) { providertest.FuzzAPI(f, esignv1.Pack, apiSetup()) }

func apiSetup() providertest.APISetup {
	signer := `"signer_objects":[{"uuid":"` + providertest.Recipient + `","email":"amelia@example.com","order":0,"status":%d}]}`
	return providertest.APISetup{
		Source: esignv1.Settings.New("demo").With("api.user=api-user", "api.secret=api-secret"),
		Incomplete: map[string]config.Source{
			"api.user":   esignv1.Settings.New("demo").With("api.secret=api-secret"),
			"api.secret": esignv1.Settings.New("demo").With("api.user=api-user"),
		},
		Version:   "/api/v1",
		Header:    http.Header{"Authorization": {"ApiKey api-user:api-secret"}},
		Document:  "/document/" + providertest.Document + "/",
		Unsigned:  `{"status":10,` + fmt.Sprintf(signer, 10),
		Completed: `{"status":30,` + fmt.Sprintf(signer, 40),
		Everything: `{"name":"Deed","status":20,"group":"/api/v1/group/my-group/","do_email":false,"signers_in_order":true,"signer_in_order":true,"signer_objects":[
		  {"firstname":"John","lastname":"Smith","email":"john@example.com","order":0,"tel":"07700 900122","status":20,"uuid":"1","resource_uri":"/api/v1/signer/1/"},
		  {"firstname":"Betty","lastname":"MacLean","email":"betty@example.com","order":1,"tel":"07700 900123","status":10,"uuid":"2","resource_uri":"/api/v1/signer/2/"}]}`,
		Then: map[pack.Purpose]string{
			pack.Sign:     "/signer/" + providertest.Recipient + "/new-link/",
			pack.Download: "/pdf/" + providertest.Document + "/",
		},
	}
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	const john, betty = "50505050-5050-5050-5050-505050505050", "51515151-5151-5151-5151-515151515151"
	two := func(order int) []pack.Recipient {
		return []pack.Recipient{
			{ID: john, FirstName: "John", LastName: "Smith", Email: "john@example.com", Wants: onEmail, Invite: true},
			{ID: betty, FirstName: "Betty", LastName: "MacLean", Email: "betty@example.com", Mobile: "07700 900123", Wants: onBoth, Invite: true, Order: order},
		}
	}
	const arrays = `"signers":[["/api/v1/signers/` + betty + `/","Betty","MacLean","betty@example.com","07700 900123",true,10,1],
	  ["/api/v1/signer/` + john + `/","John","Smith","john@example.com","",true,20,0]]`
	const objects = `"signer_objects":[
	  {"firstname":"Betty","lastname":"MacLean","email":"betty@example.com","order":1,"role":"signer","tel":"07700 900123","status":10,"uuid":"` + betty + `"},
	  {"firstname":"John","lastname":"Smith","email":"john@example.com","order":0,"tel":null,"status":20,"resource_uri":"/api/v1/signer/` + john + `/"}]`

	for name, tt := range map[string]struct {
		body string
		want pack.Document
	}{
		"as objects": {
			`{"name":"test cs_agreement","status":10,"do_email":false,"signers_in_order":true,` + objects + `,"signers":[["/api/v1/signer/other/"]]}`,
			pack.Document{Title: "test cs_agreement", Status: pack.StatusOpen, Recipients: two(1)},
		},
		"as arrays": {
			`{"name":"test cs_agreement","status":"20","do_email":false,"signer_in_order":1,` + arrays + `,"signer_objects":[]}`,
			pack.Document{Title: "test cs_agreement", Status: pack.StatusOpen, Recipients: two(1)},
		},
		"all at once":       {`{"status":10,"signers_in_order":false,` + objects + `}`, pack.Document{Status: pack.StatusOpen, Recipients: two(0)}},
		"all at once, as 0": {`{"status":10,"signer_in_order":0,` + arrays + `}`, pack.Document{Status: pack.StatusOpen, Recipients: two(0)}},
		"without the order": {`{"status":10,` + arrays + `}`, pack.Document{Status: pack.StatusOpen, Recipients: two(1)}},
		"the provider writes to them": {
			`{"status":10,"do_email":true,"signers":[["/api/v1/signer/1/"]]}`,
			pack.Document{Status: pack.StatusOpen, Recipients: []pack.Recipient{{ID: "1"}}},
		},
		"who has signed, and who declined": {
			`{"status":50,"do_email":1,"signers":[["/api/v1/signer/1/","","","","",true,"40","0"],["/api/v1/signer/2/","","","","",true,50,1],["/api/v1/signer/3/","","","","",true,60,2],
			  ["/api/v1/signer/4/","","","","",true,39,3],["/api/v1/signer/5/",null,[],{},false,null,null,null],[]]}`,
			pack.Document{Status: pack.StatusDeclined, Recipients: []pack.Recipient{
				{ID: "1", Signed: true}, {ID: "5"}, {}, {ID: "2", Order: 1, Signed: true}, {ID: "3", Order: 2, Declined: true}, {ID: "4", Order: 3},
			}},
		},
		"an order that is odd": {`{"status":10,"signers_in_order":[],` + arrays + `}`, pack.Document{Status: pack.StatusOpen, Recipients: two(1)}},
		"a null among the signers, an object, and one without readable fields": {
			`{"status":10,"signers":[null,{"uuid":"1","tel":"1","order":1},7]}`,
			pack.Document{Status: pack.StatusOpen, Recipients: []pack.Recipient{{Invite: true}, {ID: "1", Mobile: "1", Wants: onSMS, Order: 1, Invite: true}}},
		},
		"completed": {`{"status":30,"signers":[]}`, pack.Document{Status: pack.StatusCompleted}},
		"removed":   {`{"status":"40","signers":[]}`, pack.Document{Status: pack.StatusVoided}},
		"odd types": {`{"name":7,"status":99,"do_email":"true","signer_objects":[{"uuid":5,"firstname":{},"tel":441234,"order":"x","status":[]}]}`, pack.Document{
			Title: "7", Recipients: []pack.Recipient{{ID: "5", Mobile: "441234", Wants: onSMS}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := apiOf(t, esignv1.API{}, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, tt.body) })
			got, err := a.Document(t.Context(), documentID)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.ID = documentID
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, body := range []string{`{"status":10}`, `{"status":10,"signers":null}`, `{"signers":[]}`, `{"status":10,"signers":{}}`} {
		a := apiOf(t, esignv1.API{}, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
		var call *pack.CallError
		if d, err := a.Document(t.Context(), documentID); !errors.As(err, &call) || outcome.Of(err).Kind() != outcome.Failed {
			t.Errorf("%s: %+v, %v", body, d, err)
		}
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		set, got string
		ours     bool
	}{
		"none set":           {"", `"/api/v1/group/trial/"`, true},
		"the same":           {"my-group", `"/api/v1/group/my-group/"`, true},
		"the same, as a URI": {"/api/v1/group/my-group/", `"/api/v1/group/my-group/"`, true},
		"the same, by name":  {"/api/v1/group/my-group", `"my-group"`, true},
		"another":            {"my-group", `"/api/v1/group/trial/"`, false},
		"one that begins so": {"my-group", `"/api/v1/group/my-group-2/"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := apiOf(t, esignv1.API{Group: tt.set}, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/api/v1/document/"+documentID+"/" {
					w.Header().Set("Location", "https://sign.example/1")
					w.WriteHeader(http.StatusCreated)
					return
				}
				fmt.Fprint(w, `{"status":10,"signers":[["/api/v1/signer/R/"]],"group":`+tt.got+`}`)
			})
			if _, err := a.Document(t.Context(), documentID); errors.Is(err, pack.ErrNotOurs) == tt.ours || (err == nil) != tt.ours {
				t.Error(err)
			}
			_, err := a.Open(t.Context(), pack.Link{Document: documentID, Recipient: "R", Purpose: pack.Sign})
			var not *pack.NotOpenError
			if gone := errors.As(err, &not) && not.Reason == pack.Gone; gone == tt.ours || (err == nil) != tt.ours {
				t.Error("its link:", err)
			}
		})
	}
	for _, got := range []string{`null`, `""`, `7.5e`, `["my-group"]`} {
		a := apiOf(t, esignv1.API{Group: "my-group"}, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"status":10,"signers":[],"group":`+got+`}`)
		})
		var call *pack.CallError
		if _, err := a.Document(t.Context(), documentID); !errors.As(err, &call) || outcome.Of(err).Kind() != outcome.Failed {
			t.Errorf("got %s: %v", got, err)
		}
	}
}

func TestDocumentOfASigner(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"document":"/api/v1/document/` + documentID + `/","email":"amelia@example.com","order":0,"status":20}`: documentID,
		`{"document":"/api/v1/documents/` + documentID + `/"}`:                                                   documentID,
		`{"document":"https://eu-api.legalesign.com/api/v1/document/` + documentID + `/"}`:                       documentID,
		`{"document":"` + documentID + `"}`:                                                                      documentID,
		`{"document":null}`:                                                                                      "",
		`{"document":"/api/v1/document/../"}`:                                                                    "",
		`{"document":"/api/v1/document/a\\b/"}`:                                                                  "",
		`{}`:                                                                                                     "",
	} {
		var path string
		a := apiOf(t, esignv1.API{}, func(w http.ResponseWriter, r *http.Request) {
			path = r.URL.Path
			fmt.Fprint(w, body)
		})
		got, err := a.(pack.Finder).DocumentOf(t.Context(), "R")
		var call *pack.CallError
		if got != want || (err == nil) != (want != "") || (err != nil && (!errors.As(err, &call) || outcome.Of(err).Kind() != outcome.Failed)) || path != "/api/v1/signer/R/" {
			t.Errorf("%s: %q, %v by %s", body, got, err, path)
		}
	}
}

func apiOf(t *testing.T, settings esignv1.API, h http.HandlerFunc) pack.API {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return apiAt(t, server.URL, settings, server.Client())
}

func apiAt(t *testing.T, base string, settings esignv1.API, client *http.Client) pack.API {
	t.Helper()
	settings.User, settings.Secret = "api-user", "api-secret"
	a, err := esignv1.Pack.API(esignv1.Settings.Source("demo", esignv1.Source{API: settings}).With("api.base_url="+base), client)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
