package service

import (
	"log/slog"
	"net/http"
	"path"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Routes has the routes of a listener. It is an http.ServeMux that never redirects, because providers count a redirect as a failed callback.
// The Location would also repeat the query, which may contain a token. So a path with an empty part, or with . or .., has no route. A path
// has one spelling: no route matches an escaped character. Each request without a route is counted and logged.
type Routes struct {
	*http.ServeMux
	escapes  string                      // paths with this prefix may have escaped characters; empty for none
	unrouted http.Handler                // serves requests that no route's path matches; nil means 404
	refused  func(*http.Request, string) // counts and logs a request without a route
}

// NewRoutes returns an empty set of routes.
func NewRoutes() *Routes {
	return &Routes{ServeMux: http.NewServeMux(), refused: func(*http.Request, string) {}}
}

// HandleUnrouted makes h serve each request whose path no route matches, for all services behind the listener. h itself counts and
// logs these requests.
func (r *Routes) HandleUnrouted(h http.Handler) { r.unrouted = h }

// TakeEscapes also routes paths with this prefix that have escaped characters. Their handler must handle the escapes itself.
func (r *Routes) TakeEscapes(prefix string) { r.escapes = prefix }

// ServeHTTP implements http.Handler.
func (r *Routes) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if escaped := req.URL.EscapedPath(); clean(escaped) && (!strings.Contains(escaped, "%") || r.escapes != "" && strings.HasPrefix(req.URL.Path, r.escapes)) {
		h, pattern := r.Handler(req)
		switch {
		case pattern == "":
		case strings.Contains(pattern, "{"): // only the mux sets the values of its wildcards
			r.ServeMux.ServeHTTP(w, req)
			return
		default:
			req.Pattern = pattern
			h.ServeHTTP(w, req)
			return
		}
		// If only the method differs, the mux responds with 405 and the allowed methods.
		response := &statusOf{header: http.Header{}}
		if h.ServeHTTP(response, req); response.status == http.StatusMethodNotAllowed {
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

// clean reports whether the mux accepts a path unchanged. It would redirect any other path.
func clean(escaped string) bool {
	cleaned := path.Clean(escaped)
	return strings.HasPrefix(escaped, "/") && (cleaned == escaped || cleaned+"/" == escaped)
}

// statusOf keeps only the status of a response.
type statusOf struct {
	header http.Header
	status int
}

func (s *statusOf) Header() http.Header         { return s.header }
func (s *statusOf) Write(b []byte) (int, error) { return len(b), nil }
func (s *statusOf) WriteHeader(status int)      { s.status = status }

// unroutedCounter counts requests without a route. The path is arbitrary input, so no label and no log line contains it.
func unroutedCounter(r prometheus.Registerer) *prometheus.CounterVec {
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "signrelay_http_unrouted_total",
		Help: "Requests at a service's public listener that no route matches, by the part that does not match: path or method.",
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
