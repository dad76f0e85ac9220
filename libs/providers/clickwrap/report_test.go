package clickwrap_test

import (
	"net/http"
	"testing"

	"github.com/signrelay/signrelay/libs/providers/clickwrap"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/providertest"
)

func callback(body string) pack.Request {
	return pack.Request{Method: http.MethodPost, Body: []byte(body), Header: http.Header{"Content-Type": {"application/json"}}}
}

func TestReports(t *testing.T) {
	t.Parallel()
	const about = `"request":"` + providertest.Document + `"`
	setup := providertest.ReportSetup{APISetup: apiSetup()}
	setup.Source = setup.Source.With("webhook.secrets=12345")
	setup.Reported = `{"id":"x","name":"Deed","status":"complete","completed_time":"2026-03-01T10:00:03.000Z","signers":[
	  {"signer_id":"2","order":1,"signed_time":"2026-03-01T10:00:02.000Z"},{"signer_id":"1","order":2,"signed_time":"2026-03-01T10:00:01.000Z"},
	  {"signer_id":"3","order":3,"status":"signed"}]}`
	setup.Callbacks = []pack.Request{
		callback(`{"event_type":"request_signed",` + about + `,"signer":"1","id":"a","created_time":"2026-03-01T10:00:01.000Z","activity":"x"}`),
		callback(`{"event_type":"request_signed",` + about + `,"signer":"2","id":"b","created_time":"2026-03-01T10:00:02.000Z"}`),
		callback(`{"event_type":"request_complete",` + about + `,"id":"c","created_time":"2026-03-01T10:00:03.000Z"}`),
	}
	providertest.RunReports(t, clickwrap.Pack, setup)
}
