package sandbox

import (
	"bytes"
	"net/http"
	"strconv"
)

// faulty answers calls of target as the faults ordered for it say; says is an error in its own words.
func (s *Server) faulty(target string, says func(http.ResponseWriter, int), next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f := s.faults.take(target)
		switch f.Mode {
		case "":
			next(w, r)
		case refuse:
			says(w, http.StatusInternalServerError)
		case throttle:
			w.Header().Set("Retry-After", "1")
			says(w, http.StatusTooManyRequests)
		case slow, drop, cut, garbage:
			answer := &recorded{header: http.Header{}, status: http.StatusOK}
			next(answer, r)
			s.spoil(w, f, answer)
		default:
			says(w, f.number())
		}
	}
}

// spoil gives the answer of a call that was done as the fault says.
func (s *Server) spoil(w http.ResponseWriter, f fault, a *recorded) {
	switch f.Mode {
	case slow:
		s.linger(f.delay())
		a.give(w, a.body.Len())
	case cut:
		w.Header().Set("Content-Length", strconv.Itoa(a.body.Len()))
		a.give(w, a.body.Len()/2)
		_ = http.NewResponseController(w).Flush() // the connection closes anyway
		panic(http.ErrAbortHandler)
	case garbage:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"data":[{"id":"`)) // the client is gone, and nobody is left to tell
	default:
		panic(http.ErrAbortHandler)
	}
}

// recorded is an answer that has not been given yet.
type recorded struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *recorded) Header() http.Header         { return a.header }
func (a *recorded) WriteHeader(status int)      { a.status = status }
func (a *recorded) Write(p []byte) (int, error) { return a.body.Write(p) }

// give sends the head, and so many bytes of the body.
func (a *recorded) give(w http.ResponseWriter, n int) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()[:n]) // the client is gone, and nobody is left to tell
}
