package shortener

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/servicetest"
)

// stuckLog takes an event and does not answer before the publisher gives up.
type stuckLog struct {
	jetstream.JetStream
	gaveUp chan struct{}
}

func (s stuckLog) PublishMsg(ctx context.Context, _ *nats.Msg, _ ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	<-ctx.Done()
	close(s.gaveUp)
	return nil, ctx.Err()
}

func TestSignerDoesNotWaitForTheLog(t *testing.T) {
	t.Parallel()
	b := servicetest.New(t, config.Config{})
	bucket, err := b.Env.JS.KeyValue(t.Context(), flow.Links)
	if err != nil {
		t.Fatal(err)
	}
	links := book{bucket: bucket}
	code, err := links.code(t.Context(), link{Target: "https://provider.example/r", Source: "acme", Provider: "clickwrap"})
	if err != nil {
		t.Fatal(err)
	}
	stuck := stuckLog{JetStream: b.Env.JS, gaveUp: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("GET /l/{code}", &door{
		links: links, js: stuck, log: b.Env.Log,
		asked: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "asked_total", Help: "Requests."}, []string{"outcome"}),
	})
	server := httptest.NewServer(mux)
	defer server.Close() // waits for the handler, as a shutdown does

	answer, err := http.DefaultTransport.RoundTrip(httptest.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/l/"+code, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	select {
	case <-stuck.gaveUp:
		t.Error("the redirect came only after the log was given up")
	default:
	}
	if answer.StatusCode != http.StatusFound {
		t.Errorf("answer %d", answer.StatusCode)
	}
	<-stuck.gaveUp // and it does give up
}
