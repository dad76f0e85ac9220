package esignv1_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/esignv1"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/providertest"
)

func changes(items string) pack.Request {
	return pack.Request{
		Method: http.MethodPost, Route: "/all", Body: []byte(url.Values{"data": {items}}.Encode()),
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	}
}

func reportSetup() providertest.ReportSetup {
	setup := providertest.ReportSetup{APISetup: apiSetup()}
	setup.Source = setup.Source.With("webhook.token=demo")
	setup.Pages = []string{
		`{"meta":{"next":"/api/v1/document/?offset=2"},"objects":[{"uuid":"1","status":10},{"resource_uri":"/api/v1/document/2/","status":10}]}`,
		`{"meta":{"next":null},"objects":[{"uuid":"3","status":10},{"status":10}]}`,
		`{"meta":{"next":"None"},"objects":[{"uuid":"4","status":30}]}`,
	}
	setup.Listed = []string{"1", "2", "3", "4"}
	return setup
}

func TestReportsOfACompleteDocument(t *testing.T) {
	t.Parallel()
	setup := reportSetup()
	setup.Reported = `{"uuid":"` + providertest.Document + `","name":"Deed","status":30,"created":"2026-03-01T10:00:00","modified":"2026-03-02T10:00:00",
	  "sign_time":"2026-03-01T10:00:05","signer_objects":[{"uuid":"1","status":40,"order":0},{"uuid":"2","status":50,"order":1}]}`
	setup.Callbacks = []pack.Request{changes(`[
	  {"timestamp":"2026-03-01T10:00:00","name":"status","value":"10","resource_uri":"/api/v1/document/` + providertest.Document + `/"},
	  {"timestamp":"2026-03-01T10:00:03","name":"status","value":"40","resource_uri":"/api/v1/signer/1/"},
	  {"timestamp":"2026-03-01T10:00:04","name":"status","value":"40","resource_uri":"/api/v1/signer/2/"},
	  {"timestamp":"2026-03-01T10:00:05","name":"status","value":"30","resource_uri":"/api/v1/document/` + providertest.Document + `/"}]`)}
	setup.Untimed = []string{event.RecipientSigned}
	providertest.RunReports(t, esignv1.Pack, setup)
}

func TestReportsOfADeclinedDocument(t *testing.T) {
	t.Parallel()
	setup := reportSetup()
	setup.Reported = `{"uuid":"` + providertest.Document + `","status":50,"created":"2026-03-01T10:00:00","sign_time":"None",
	  "signer_objects":[{"uuid":"1","status":60,"order":0},{"uuid":"2","status":20,"order":1}]}`
	setup.Callbacks = []pack.Request{changes(`[
	  {"timestamp":"2026-03-01T10:00:00","name":"status","value":"10","resource_uri":"/api/v1/document/` + providertest.Document + `/"},
	  {"timestamp":"2026-03-01T10:00:03","name":"status","value":"60","resource_uri":"/api/v1/signer/1/"},
	  {"timestamp":"2026-03-01T10:00:03","name":"status","value":"50","resource_uri":"/api/v1/document/` + providertest.Document + `/"}]`)}
	setup.Untimed = []string{event.RecipientDeclined, event.DocumentDeclined}
	providertest.RunReports(t, esignv1.Pack, setup)
}
