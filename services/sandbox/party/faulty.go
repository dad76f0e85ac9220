package party

import (
	"bytes"
	"net/http"
	"strconv"
)

// Faulty responds to calls of target as the faults queued for it say; says is an error in its own words.
func (e Env) Faulty(target string, says func(http.ResponseWriter, int), next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f := e.Faults.Take(target)
		switch f.Mode {
		case "":
			if which := e.Odd.Pick(oddities); which >= 0 {
				e.oddly(w, r, which, e.Faults.target(target), says, next)
				return
			}
			next(w, r)
		case Refuse:
			says(w, http.StatusInternalServerError)
		case Throttle:
			w.Header().Set("Retry-After", "1")
			says(w, http.StatusTooManyRequests)
		case Slow, Drop, Cut, Garbage:
			response := &recorded{header: http.Header{}, status: http.StatusOK}
			next(response, r)
			e.spoil(w, f, response)
		default:
			says(w, f.Number())
		}
	}
}

// spoil gives the response of a call that was done as the fault says.
func (e Env) spoil(w http.ResponseWriter, f Fault, a *recorded) {
	switch f.Mode {
	case Slow:
		e.Linger(f.Delay())
		a.give(w, a.body.Len())
	case Cut:
		w.Header().Set("Content-Length", strconv.Itoa(a.body.Len()))
		a.give(w, a.body.Len()/2)
		_ = http.NewResponseController(w).Flush() // the connection closes anyway
		panic(http.ErrAbortHandler)
	case Garbage:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"data":[{"id":"`)) // the client is gone, and nobody is left to tell
	default:
		panic(http.ErrAbortHandler)
	}
}

// recorded is a response that has not been given yet.
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
