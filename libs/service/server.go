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

// httpServer is an open HTTP listener.
type httpServer struct {
	server   *http.Server
	listener net.Listener
}

// openPublic opens a public listener. Its timeouts bound the resources that one slow or hostile client can hold: a callback of 1 MiB must
// arrive within 15 s, and its response must leave within 30 s of the request's first byte. UnverifiedBytes limits all clients together;
// the listener calls dropped for each connection that it drops to stay within that limit. secure is nil for plain HTTP.
func openPublic(addr string, handler http.Handler, dropped func(), log *slog.Logger, failed chan<- error, secure *onTLS) (*httpServer, error) {
	listener, err := listen(addr)
	if err != nil {
		return nil, err
	}
	return servePublic(listener, handler, dropped, log, failed, secure), nil
}

func servePublic(listener net.Listener, handler http.Handler, dropped func(), log *slog.Logger, failed chan<- error, secure *onTLS) *httpServer {
	server := &http.Server{
		Handler:           oneInChunks(handler),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       75 * time.Second, // longer than a load balancer's 60 s, so that it never uses a connection that we are closing
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	if secure != nil {
		secure.apply(server, log)
	}
	countRequests(server)
	return serve(LimitUnverified(listener, UnverifiedBytes, dropped), server, failed)
}

// oneInChunks closes a connection after a chunked request. A chunked request that also has a Content-Length must be the last request of its
// connection (RFC 9112, section 6.3): another server may find its end at another place, and could then read an attacker's bytes as the next
// client's request. net/http ignores that length silently. Providers send a length and no chunks.
func oneInChunks(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TransferEncoding) > 0 {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// lastOfConnection closes each connection after its request while the program drains: a client with a persistent connection then reconnects
// to another replica.
func lastOfConnection(health *Health, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if health.leaving() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// openAdmin opens the listener for probes and Prometheus, and for profiles if the settings enable them.
func openAdmin(settings config.Admin, health *Health, metrics *prometheus.Registry, log *slog.Logger, failed chan<- error) (*httpServer, error) {
	mux := NewRoutes()
	mux.HandleFunc("GET /livez", health.live)
	mux.HandleFunc("GET /readyz", health.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{Registry: metrics}))
	if settings.Pprof { // without /debug/pprof/cmdline: a process list shows the arguments to authorized users
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
	// Listen does not block, so it needs no deadline.
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return listener, nil
}

// serve serves a listener. If serving ends by itself, serve sends the error to failed.
func serve(listener net.Listener, server *http.Server, failed chan<- error) *httpServer {
	start := server.Serve
	if server.TLSConfig != nil {
		start = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	go func() {
		if err := start(listener); !errors.Is(err, http.ErrServerClosed) {
			select {
			case failed <- fmt.Errorf("serve %s: %w", listener.Addr(), err):
			default: // one error is enough
			}
		}
	}()
	return &httpServer{server: server, listener: listener}
}

// close stops accepting requests and waits for the requests in flight until ctx ends. Then it closes their connections.
func (s *httpServer) close(ctx context.Context) error {
	if err := s.server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("requests in flight were cut off: %w", err), s.server.Close())
	}
	return nil
}
