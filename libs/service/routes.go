package service

import (
	"log/slog"
	"net/http"
	"path"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Routes is what a listener serves. It is an http.ServeMux that never redirects, because providers count a redirect as a failed callback,
// and because its address would repeat the query, which may hold a token: a path with an empty part, or with . or .., has no route. A
// path has one spelling: no route has an escaped character in it. Each request without a route leaves a trace.
type Routes struct {
	*http.ServeMux
	escapes  string                      // a path that begins so may have escaped characters; empty for none
	unrouted http.Handler                // what no route's path matches; nil answers 404
	refused  func(*http.Request, string) // counts and logs a request without a route
}

// NewRoutes serves nothing yet.
func NewRoutes() *Routes {
	return &Routes{ServeMux: http.NewServeMux(), refused: func(*http.Request, string) {}}
}

// HandleUnrouted has h serve each request whose path no route matches, of whatever service behind the listener. It counts and
// logs them itself.
func (r *Routes) HandleUnrouted(h http.Handler) { r.unrouted = h }

// TakeEscapes routes paths that begin so also with escaped characters in them: to a handler that answers such a request itself.
func (r *Routes) TakeEscapes(prefix string) { r.escapes = prefix }

// ServeHTTP implements http.Handler.
func (r *Routes) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if escaped := req.URL.EscapedPath(); clean(escaped) && (!strings.Contains(escaped, "%") || r.escapes != "" && strings.HasPrefix(req.URL.Path, r.escapes)) {
		h, pattern := r.Handler(req)
		if pattern != "" {
			r.ServeMux.ServeHTTP(w, req)
			return
		}
		// A route of another method answers by itself which methods it takes.
		said := &statusOf{header: http.Header{}}
		if h.ServeHTTP(said, req); said.status == http.StatusMethodNotAllowed {
			r.refused(req, "method")
			r.ServeMux.ServeHTTP(w, req)
			return
		}
	}
	if r.unrouted != nil {
		r.unrouted.ServeHTTP(w, req)
		return
	}
	r.refused(req, "path")
	http.Error(w, "No route of this listener matches the path.", http.StatusNotFound)
}

// clean reports whether the mux accepts a path unchanged. It would redirect any other.
func clean(escaped string) bool {
	cleaned := path.Clean(escaped)
	return strings.HasPrefix(escaped, "/") && (cleaned == escaped || cleaned+"/" == escaped)
}

// statusOf keeps of a response the status alone.
type statusOf struct {
	header http.Header
	status int
}

func (s *statusOf) Header() http.Header         { return s.header }
func (s *statusOf) Write(b []byte) (int, error) { return len(b), nil }
func (s *statusOf) WriteHeader(status int)      { s.status = status }

// unroutedCounter counts requests without a route. The path may hold anything, so no label and no log line has it.
func unroutedCounter(r prometheus.Registerer) *prometheus.CounterVec {
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "signrelay_http_unrouted_total",
		Help: "Requests at a service's public listener that no route matches, by what does not match: path or method.",
	}, []string{"service", "reason"})
	r.MustRegister(counter)
	return counter
}

// droppedCounter counts connections that a full listener dropped, see LimitUnverified.
func droppedCounter(r prometheus.Registerer) *prometheus.CounterVec {
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "signrelay_http_connections_dropped_total",
		Help: "Connections that a service's public listener dropped, the slowest first, because unverified requests held too much memory.",
	}, []string{"service"})
	r.MustRegister(counter)
	return counter
}

func (r *Routes) count(counter *prometheus.CounterVec, service string, log *slog.Logger) {
	for _, reason := range []string{"path", "method"} {
		counter.WithLabelValues(service, reason) // Prometheus misses a counter that first appears as 1
	}
	r.refused = func(req *http.Request, reason string) {
		counter.WithLabelValues(service, reason).Inc()
		log.InfoContext(req.Context(), "request without a route", "service", service, "reason", reason)
	}
}
