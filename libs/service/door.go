package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/signrelay/signrelay/libs/config"
)

// door is an open HTTP listener.
type door struct {
	server   *http.Server
	listener net.Listener
}

// openPublic opens a door to the world. Its limits bound what one slow or hostile caller can hold: a callback of 1 MiB
// comes within 15 s, and its answer leaves within 30 s of the request's first byte. All of them together are limited by UnverifiedBytes;
// dropped is called for each connection that goes beyond it.
func openPublic(addr string, handler http.Handler, dropped func(), log *slog.Logger, failed chan<- error) (*door, error) {
	listener, err := listen(addr)
	if err != nil {
		return nil, err
	}
	return servePublic(listener, handler, dropped, log, failed), nil
}

func servePublic(listener net.Listener, handler http.Handler, dropped func(), log *slog.Logger, failed chan<- error) *door {
	server := &http.Server{
		Handler:           oneInChunks(handler),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       75 * time.Second, // longer than a load balancer's 60 s, so that it never meets a closing connection
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	countRequests(server)
	return serve(LimitUnverified(listener, UnverifiedBytes, dropped), server, failed)
}

// oneInChunks ends a connection after a request in chunks. One with a Content-Length besides, whose end another server may
// see elsewhere, must be the last of its connection (RFC 9112, section 6.3): what follows it could be a stranger's, read as
// the next caller's. net/http drops that length and does not say so; providers send a length and no chunks.
func oneInChunks(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TransferEncoding) > 0 {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// lastOfConnection ends each connection after its request while the program drains: a client that keeps one opens its next to
// another replica.
func lastOfConnection(health *Health, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if health.leaving() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// openAdmin opens the listener for probes and Prometheus, and for profiles where the settings ask for them.
func openAdmin(settings config.Admin, health *Health, metrics *prometheus.Registry, log *slog.Logger, failed chan<- error) (*door, error) {
	mux := NewRoutes()
	mux.HandleFunc("GET /livez", health.live)
	mux.HandleFunc("GET /readyz", health.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{Registry: metrics}))
	if settings.Pprof { // without /debug/pprof/cmdline: a process list shows the arguments to those who may see them
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	listener, err := listen(settings.Addr)
	if err != nil {
		return nil, err
	}
	return serve(listener, &http.Server{
		Handler:           Private("admin.hosts", settings.Hosts, mux),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      2 * time.Minute, // pprof refuses a longer profile with a reason
		IdleTimeout:       75 * time.Second,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}, failed), nil
}

// newMetrics returns a registry with the metrics of every Go program.
func newMetrics() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	)
	return r
}

func listen(addr string) (net.Listener, error) {
	// To listen does not block, so no context need end it.
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return listener, nil
}

// serve serves a listener. Should serving end by itself, failed gets the error.
func serve(listener net.Listener, server *http.Server, failed chan<- error) *door {
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			select {
			case failed <- fmt.Errorf("serve %s: %w", listener.Addr(), err):
			default: // one reason to end is enough
			}
		}
	}()
	return &door{server: server, listener: listener}
}

// close takes no new requests and waits for those in flight until ctx ends; then it cuts them off.
func (d *door) close(ctx context.Context) error {
	if err := d.server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("requests in hand were cut off: %w", err), d.server.Close())
	}
	return nil
}
