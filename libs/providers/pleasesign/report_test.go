package pleasesign_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/pleasesign"
	"github.com/signrelay/signrelay/libs/providers/providertest"
)

func callback(body string) pack.Request {
	return pack.Request{Method: http.MethodPost, Body: []byte(body), Header: http.Header{"Content-Type": {"application/json"}}}
}

const about = `"document_id":"` + providertest.Document + `"`

func reportSetup() providertest.ReportSetup {
	setup := providertest.ReportSetup{APISetup: apiSetup()}
	setup.Source = setup.Source.With("webhook.secrets=test")
	return setup
}

func TestReportsOfACompleteDocument(t *testing.T) {
	t.Parallel()
	setup := reportSetup()
	setup.Reported = `[{"id":"` + providertest.Document + `","title":"Deed","status":"complete","sent_date":1531228693,"complete_date":"1531228700","recipients":[
	  {"id":"2","status":"complete","complete_date":1531228699},{"id":"1","status":"complete","complete_date":1531228695}]}]`
	setup.Callbacks = []pack.Request{
		callback(`{"id":"a","event":"document.created",` + about + `,"processed_date":1531228693}`),
		callback(`{"id":"b","event":"recipient.complete",` + about + `,"recipient_id":"1","complete_date":1531228695}`),
		callback(`{"id":"c","event":"recipient.complete",` + about + `,"recipient_id":"2","complete_date":1531228699}`),
		callback(`{"id":"d","event":"document.complete",` + about + `,"complete_date":1531228700}`),
	}
	list := func(next, status string, ids ...string) string {
		var all []string
		for _, id := range ids {
			all = append(all, `{"id":"`+id+`","status":"`+status+`","complete_date":1899999999,"void_date":1899999999,"recipients":[]}`)
		}
		return `{"data":[` + strings.Join(all, ",") + `],"total_count":9,"next":` + next + `}`
	}
	setup.Pages = []string{
		list(`"x=="`, "sent", "1", "2"), list(`null`, "sent", "3"), list(`"y"`, "complete", "4"), list(`null`, "complete", "5"), list(`null`, "void"),
	}
	setup.Listed = []string{"1", "2", "3", "4", "5"}
	providertest.RunReports(t, pleasesign.Pack, setup)
}

func TestReportsOfADeclinedDocument(t *testing.T) {
	t.Parallel()
	setup := reportSetup()
	setup.Reported = `[{"id":"` + providertest.Document + `","status":"void","sent_date":1531228693,"void_date":1531228700,"void_reason":"No.","recipients":[
	  {"id":"1","status":"void"},{"id":"2","status":"sent"}]}]`
	setup.Callbacks = []pack.Request{
		callback(`{"id":"a","event":"document.created",` + about + `,"processed_date":1531228693}`),
		callback(`{"id":"d","event":"document.void",` + about + `,"recipient_id":"1","void_date":1531228700,"void_reason":"No."}`),
	}
	setup.Pages, setup.Listed = []string{`{"data":[]}`, `{"data":[]}`, `{"data":[]}`}, nil
	providertest.RunReports(t, pleasesign.Pack, setup)
}

// PleaseSign has no callback for a document that its sender withdraws, and none of a draft.
func TestReportsWithoutCallbacks(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"id":"1","status":"void","sent_date":1531228693,"void_date":1531228700,"recipients":[{"id":"1","status":"sent"}]}`: event.DocumentSent + " " + event.DocumentVoided,
		`{"id":"1","status":"building","sent_date":1531228693,"recipients":[{"id":"1","status":"pending"}]}`:                 "",
		`{"id":"1","status":"new-word","sent_date":1531228693,"recipients":[]}`:                                              event.DocumentSent,
		`{"status":"sent","recipients":[]}`: "none",
		`{"id":"1","status":"sent"}`:        "none",
	} {
		reports, err := reporter(t, "["+body+"]").Reports(t.Context(), "1")
		if err != nil {
			t.Fatal(err)
		}
		got := "none"
		if len(reports) == 1 {
			var types []string
			for _, f := range reports[0].Facts {
				types = append(types, f.Event.GetType())
			}
			got = strings.Join(types, " ")
		}
		if got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

func reporter(t *testing.T, body string) pack.Reporter {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
	t.Cleanup(server.Close)
	source := apiSetup().Source
	source.API.BaseURL = server.URL
	a, err := pleasesign.Pack.API(source, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	r, ok := a.(pack.Reporter)
	if !ok {
		t.Fatal("no pack.Reporter")
	}
	return r
}
