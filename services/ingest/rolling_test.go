package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/ingest"
)

// replica is one ingest that is restarted.
type replica struct {
	public, admin string
	stop          context.CancelCauseFunc
	ended         chan error
}

func startReplica(t *testing.T, cfg config.Config) *replica {
	t.Helper()
	opened := make(chan service.Addresses, 1)
	r := &replica{ended: make(chan error, 1)}
	ctx, stop := context.WithCancelCause(context.WithoutCancel(t.Context()))
	r.stop = stop
	go func() {
		r.ended <- service.Host{
			Config: cfg, Log: slog.New(slog.DiscardHandler), Opened: func(d service.Addresses) { opened <- d },
			Services: []service.Service{ingest.Service},
		}.Run(ctx)
	}()
	select {
	case d := <-opened:
		r.public, r.admin = d.Public["ingest"].String(), d.Admin.String()
	case err := <-r.ended:
		t.Fatalf("ended at once: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("not open in time")
	}
	return r
}

// balancer sends each callback once, to a replica that was ready at its last check.
type balancer struct {
	t        *testing.T
	slots    [2]atomic.Pointer[replica]
	ready    [2]atomic.Bool
	next     atomic.Uint64
	draining atomic.Int64 // checks with the response "draining"
}

// check requests the readiness of both replicas at this interval, until ctx ends.
func (b *balancer) check(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	client := &http.Client{Timeout: 5 * time.Second}
	for {
		for i := range b.slots {
			ready := false
			if resp, err := client.Get("http://" + b.slots[i].Load().admin + "/readyz"); err == nil {
				ready = resp.StatusCode == http.StatusOK
				text := make([]byte, 8)
				if n, _ := resp.Body.Read(text); string(text[:n]) == "draining" {
					b.draining.Add(1)
				}
				_ = resp.Body.Close()
			}
			b.ready[i].Store(ready)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (b *balancer) pick() string {
	n := b.next.Add(1)
	for i := range uint64(2) {
		if slot := (n + i) % 2; b.ready[slot].Load() {
			return b.slots[slot].Load().public
		}
	}
	return "127.0.0.1:1"
}

// Two replicas behind a balancer are replaced one after the other. A provider that sends each callback only once loses none.
func TestARollingRestartRefusesNoCallback(t *testing.T) {
	t.Parallel()
	cfg := parts(t, realtest.NATSWith(t, func(o *server.Options) { o.MaxPayload = 8 << 20 }), realtest.Redis(t))
	const every = 20 * time.Millisecond
	cfg.DrainDelay = 25 * every // long enough for a slow check on a busy machine
	b := &balancer{t: t}
	for i := range b.slots {
		b.slots[i].Store(startReplica(t, cfg))
	}
	checks, stopChecks := context.WithCancel(context.WithoutCancel(t.Context()))
	var checker sync.WaitGroup
	checker.Go(func() { b.check(checks, every) })
	defer checker.Wait()
	defer stopChecks()
	b.until("both replicas are ready", func() bool { return b.ready[0].Load() && b.ready[1].Load() })

	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: time.Second}).DialContext}
	defer transport.CloseIdleConnections()
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", b.pick() },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			t.Errorf("a first attempt was refused: %v", err)
			w.WriteHeader(http.StatusBadGateway)
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	})
	defer proxy.Close()
	sending, stopSending := context.WithCancel(context.WithoutCancel(t.Context()))
	var sent atomic.Int64
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for sending.Err() == nil {
				n := sent.Add(1)
				req, _ := http.NewRequest(http.MethodPost, proxy.URL+"/webhooks/clickwrap/acme", strings.NewReader(fmt.Sprintf(`{"event_type":"test_event","id":"%d"}`, n)))
				req.Header.Set("Pactsafe-Webhook-Token", "12345")
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				if _ = resp.Body.Close(); resp.StatusCode != http.StatusAccepted {
					t.Errorf("callback %d: %s", n, resp.Status)
				}
			}
		})
	}
	defer senders.Wait()
	defer stopSending()

	for i := range b.slots {
		before, old := b.draining.Load(), b.slots[i].Load()
		old.stop(service.ErrTerminated)
		if err := <-old.ended; err != nil {
			t.Error(err)
		}
		if b.draining.Load() == before {
			t.Error("no check reported that it drains")
		}
		b.slots[i].Store(startReplica(t, cfg))
		b.until("the new replica is ready", func() bool { return b.ready[i].Load() })
		more := sent.Load() + 20
		b.until("it has accepted some callbacks", func() bool { return sent.Load() > more })
	}
	stopSending()
	senders.Wait()
	for i := range b.slots {
		last := b.slots[i].Load()
		last.stop(errors.New("a person at a terminal"))
		if err := <-last.ended; err != nil {
			t.Error(err)
		}
	}
}

func (b *balancer) until(what string, holds func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if holds() {
			return
		}
		select {
		case <-b.t.Context().Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	b.t.Fatalf("not within 30 s: %s", what)
}
