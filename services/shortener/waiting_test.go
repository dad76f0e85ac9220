package shortener

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/optout"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/servicetest"
)

// stuckLog receives an event and does not respond before the publisher gives up.
type stuckLog struct {
	jetstream.JetStream
	gaveUp chan struct{}
}

func (s stuckLog) PublishMsg(ctx context.Context, _ *nats.Msg, _ ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	<-ctx.Done()
	close(s.gaveUp)
	return nil, ctx.Err()
}

// serve runs a handler with one link in its store and returns the address of the link.
func serve(t *testing.T, sources providers.Sources, l link, change func(*handler)) string {
	t.Helper()
	b := servicetest.New(t, config.Default())
	links := newTestStore(t, b.Env.JS, time.Hour)
	e, err := links.getOrCreate(t.Context(), "pair", l)
	if err != nil {
		t.Fatal(err)
	}
	optOuts, err := optout.Open(t.Context(), b.Env.JS, keyring.New(nil))
	if err != nil {
		t.Fatal(err)
	}
	d, err := newHandler(b.Env, links, optOuts, func() providers.Sources { return sources })
	if err != nil {
		t.Fatal(err)
	}
	change(d)
	mux := http.NewServeMux()
	mux.Handle("/l/{code}", d)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close) // waits for the handler, as a shutdown does
	return server.URL + "/l/" + e.code
}

// statusOf makes one request as a person's browser, and follows no redirect.
func statusOf(t *testing.T, method, url string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, method, url, nil)
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func TestSignerDoesNotWaitForTheLog(t *testing.T) {
	t.Parallel()
	gaveUp := make(chan struct{})
	url := serve(t, nil, link{Target: "https://provider.example/r", Source: "acme", Provider: "clickwrap"},
		func(d *handler) { d.js = stuckLog{JetStream: d.js, gaveUp: gaveUp} })
	status := statusOf(t, http.MethodGet, url)
	select {
	case <-gaveUp:
		t.Error("the redirect was sent only after the timeout of the log")
	default:
	}
	if status != http.StatusFound {
		t.Errorf("status %d", status)
	}
	<-gaveUp // the control: the publisher gives up
}

// silent is a provider that never responds to a request.
type silent struct{ pack.API }

func (silent) Open(ctx context.Context, _ pack.Link) (*pack.Target, error) {
	<-ctx.Done()
	return nil, outcome.Failure(outcome.Provider, "", &pack.CallError{Op: "GET link", Err: ctx.Err()})
}

func TestSignerDoesNotWaitForASilentProvider(t *testing.T) {
	t.Parallel()
	url := serve(t, providers.Sources{{Name: "acme", Provider: "pleasesign"}: {API: silent{}}},
		link{Document: "doc", Recipient: "s1", Source: "acme", Provider: "pleasesign"},
		func(d *handler) { d.providerTimeout = time.Millisecond })
	if status := statusOf(t, http.MethodPost, url); status != http.StatusServiceUnavailable {
		t.Errorf("status %d", status)
	}
}
