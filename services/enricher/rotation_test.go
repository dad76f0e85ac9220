package enricher_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/servicetest"
	"github.com/signrelay/signrelay/services/enricher"
)

// A provider's token is replaced while the service runs. The next request has the new one.
func TestTheTokenIsRotated(t *testing.T) {
	t.Parallel()
	brought := make(chan string, 2)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		brought <- r.Header.Get("Authorization")
		responds(request)(w, r)
	}))
	t.Cleanup(api.Close)
	cfg, files := servicetest.Load(t, "sources: [{name: acme, provider: clickwrap, api: {base_url: '"+api.URL+"'}}]", map[string]string{
		"SOURCE_CLICKWRAP_ACME_API_TOKEN": "before", "SOURCE_CLICKWRAP_ACME_WEBHOOK_SECRETS": "12345",
	})
	b := servicetest.New(t, cfg)
	b.Start(enricher.Run)

	b.Publish(event.Message(t.Context(), fact("acme", "document.sent", "")))
	b.Settled(flow.Enricher)
	files.Replace(b.Env.Live, "SOURCE_CLICKWRAP_ACME_API_TOKEN", "after")
	b.Publish(event.Message(t.Context(), fact("acme", "recipient.signed", "s1")))
	b.Settled(flow.Enricher)
	if before, after := <-brought, <-brought; before != "Bearer before" || after != "Bearer after" {
		t.Errorf("requested with %q, then with %q", before, after)
	}
	b.NeverLogged("before", "after")
}
