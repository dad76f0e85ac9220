package party

import (
	"bytes"
	"net/http"
	"strconv"
)

// Faulty applies the queued faults of a target to its calls. writeError writes an error in the party's own format.
func (e Env) Faulty(target string, writeError func(http.ResponseWriter, int), next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f := e.Faults.Take(target)
		switch f.Mode {
		case "":
			if which := e.Odd.Pick(oddities); which >= 0 {
				e.oddly(w, r, which, e.Faults.target(target), writeError, next)
				return
			}
			next(w, r)
		case Refuse:
			writeError(w, http.StatusInternalServerError)
		case Throttle:
			w.Header().Set("Retry-After", "1")
			writeError(w, http.StatusTooManyRequests)
		case Page:
			writePage(w)
		case Large:
			writeLarge(w)
		case Slow, Drop, Cut, Garbage:
			response := &recorded{header: http.Header{}, status: http.StatusOK}
			next(response, r)
			e.spoil(w, f, response)
		default:
			writeError(w, f.Number())
		}
	}
}

// spoil writes the response of a completed call, changed by the fault.
func (e Env) spoil(w http.ResponseWriter, f Fault, a *recorded) {
	switch f.Mode {
	case Slow:
		e.Linger(f.Delay())
		a.write(w, a.body.Len())
	case Cut:
		w.Header().Set("Content-Length", strconv.Itoa(a.body.Len()))
		a.write(w, a.body.Len()/2)
		_ = http.NewResponseController(w).Flush() // the connection closes anyway
		panic(http.ErrAbortHandler)
	case Garbage:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"data":[{"id":"`)) // an error means that the client has disconnected
	default:
		panic(http.ErrAbortHandler)
	}
}

// recorded is a response that has not been written yet.
type recorded struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *recorded) Header() http.Header         { return a.header }
func (a *recorded) WriteHeader(status int)      { a.status = status }
func (a *recorded) Write(p []byte) (int, error) { return a.body.Write(p) }

// write sends the header and the first n bytes of the body.
func (a *recorded) write(w http.ResponseWriter, n int) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()[:n]) // an error means that the client has disconnected
}
