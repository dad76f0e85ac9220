package shortener_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/servicetest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	"github.com/signrelay/signrelay/services/shortener"
)

// An outside shortener's token is replaced while the service runs, and the next call sends the new one. It uses the open connection, because
// Bitly limits connections, and old and new ones together could exceed the limit.
func TestTheTokenIsRotated(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var received []string
	var connections atomic.Int32
	bitly := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		received = append(received, r.Header.Get("Authorization"))
		_, _ = fmt.Fprintf(w, `{"link":"https://bit.ly/%d"}`, len(received))
	}))
	bitly.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	bitly.Start()
	t.Cleanup(bitly.Close)
	cfg, files := servicetest.Load(t, "sources: [{name: acme, provider: clickwrap}]", map[string]string{
		"SHORTENER_BITLY_TOKEN": "before", "SOURCE_CLICKWRAP_ACME_WEBHOOK_SECRETS": "12345",
	}, "SIGNRELAY_SHORTENER_KIND=bitly", "SIGNRELAY_SHORTENER_BITLY_BASE_URL="+bitly.URL, "SIGNRELAY_SHORTENER_PUBLIC_URL="+public)
	b := servicetest.New(t, cfg)
	b.Start(shortener.Run)

	publish(t, b, invitation("n1", "s1", notifyv1.Channel_CHANNEL_SMS))
	b.Settled(flow.Shortener)
	files.Replace(b.Env.Live, "SHORTENER_BITLY_TOKEN", "after")
	publish(t, b, invitation("n2", "s2", notifyv1.Channel_CHANNEL_SMS))
	links := shortened(t, b, 2)

	mu.Lock()
	defer mu.Unlock()
	if want := []string{"Bearer before", "Bearer after"}; !slices.Equal(received, want) {
		t.Errorf("called with %q, want %q", received, want)
	}
	if links["n1"] != "https://bit.ly/1" || links["n2"] != "https://bit.ly/2" {
		t.Errorf("%v", links)
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	b.NeverLogged("before", "after")
}
