package party

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	sandboxsettings "github.com/signrelay/signrelay/services/sandbox/settings"
)

// Odd decides which responses and callbacks are odd: unusual, but allowed by the real parties' documents. The same seed and the same calls in
// the same order give the same oddities.
type Odd struct {
	percent int
	mu      sync.Mutex
	random  *rand.Rand
}

// NewOdd logs its seed, so that a failure can be repeated. Without a seed in the settings it uses a random one.
func NewOdd(cfg sandboxsettings.Sandbox, log *slog.Logger) *Odd {
	seed := uint64(cfg.OddSeed)
	if seed == 0 {
		seed = rand.Uint64N(1 << 53) //nolint:gosec // not a secret; below 2^53, so that every JSON reader keeps it exactly
	}
	if cfg.Odd > 0 {
		log.Info("sandbox is odd", "percent", cfg.Odd, "seed", seed)
	}
	return &Odd{percent: cfg.Odd, random: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // repeatable, not secret
}

// Pick returns one of n oddities, or -1 if this call is not odd.
func (o *Odd) Pick(n int) int {
	if o.percent == 0 {
		return -1
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.random.IntN(100) >= o.percent {
		return -1
	}
	return o.random.IntN(n)
}

// among returns a number below n.
func (o *Odd) among(n int) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.random.IntN(n)
}

// oddLatency is the delay of a late odd response.
const oddLatency = 250 * time.Millisecond

// The oddities of a REST API's response.
const (
	oddField  = iota // an undocumented field
	oddOrder         // the fields in another order
	oddHeader        // header names in lower case
	oddChunks        // chunked, in two pieces
	oddLate          // later than usual
	oddClose         // the connection closes after the response
	oddStatus        // not done: a temporary refusal, if the party documents one
	oddities
)

// oddly handles one call of a target with an odd response.
func (e Env) oddly(w http.ResponseWriter, r *http.Request, which int, t Target, writeError func(http.ResponseWriter, int), next http.HandlerFunc) {
	if which == oddStatus && len(t.Passing) > 0 {
		if t.RetryAfter {
			w.Header().Set("Retry-After", "1")
		}
		writeError(w, t.Passing[e.Odd.among(len(t.Passing))])
		return
	}
	response := &recorded{header: http.Header{}, status: http.StatusOK}
	next(response, r)
	switch which {
	case oddField:
		response.body = *bytes.NewBuffer(oddJSON(response.body.Bytes(), true))
	case oddOrder:
		response.body = *bytes.NewBuffer(oddJSON(response.body.Bytes(), false))
	case oddHeader:
		lower := http.Header{}
		for name, values := range response.header {
			w.Header()[name] = nil // so that the server does not add its own header
			lower[strings.ToLower(name)] = values
		}
		response.header = lower
	case oddChunks:
		response.writeChunks(w)
		return
	case oddLate:
		e.Linger(oddLatency)
	case oddClose:
		response.header.Set("Connection", "close")
	}
	response.write(w, response.body.Len())
}

// writeChunks sends the response in two chunks.
func (a *recorded) writeChunks(w http.ResponseWriter) {
	half := a.body.Len() / 2
	a.write(w, half)
	_ = http.NewResponseController(w).Flush() // an error means that the client has disconnected
	_, _ = w.Write(a.body.Bytes()[half:])     // as above
}

// oddJSON reverses the order of a JSON object's fields, and with more adds a field. It returns any other text unchanged.
func oddJSON(object []byte, more bool) []byte {
	decoder := json.NewDecoder(bytes.NewReader(object))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return object
	}
	var fields []string
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return object
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return object
		}
		written, _ := json.Marshal(name) //nolint:errchkjson // a string
		fields = append([]string{string(written) + ":" + string(value)}, fields...)
	}
	if more {
		fields = append(fields, `"sandbox_odd":{"new":[1,"2",null]}`)
	}
	return []byte("{" + strings.Join(fields, ",") + "}")
}
