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

// Odd decides which responses and callbacks are odd: unusual, and within what the real parties may do. The same seed and the same calls in
// the same order make the same oddities.
type Odd struct {
	percent int
	mu      sync.Mutex
	random  *rand.Rand
}

// NewOdd logs its seed, so that a failure can be repeated. It makes up a seed where the settings have none.
func NewOdd(cfg sandboxsettings.Sandbox, log *slog.Logger) *Odd {
	seed := uint64(cfg.OddSeed)
	if seed == 0 {
		seed = rand.Uint64N(1 << 53) //nolint:gosec // a seed to be repeated; below 2^53, which every reader of JSON keeps
	}
	if cfg.Odd > 0 {
		log.Info("sandbox is odd", "percent", cfg.Odd, "seed", seed)
	}
	return &Odd{percent: cfg.Odd, random: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // to be repeated, not to be secret
}

// Pick returns one of n oddities, or -1 where this call is not odd.
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

// oddLatency is how late an odd response is.
const oddLatency = 250 * time.Millisecond

// The oddities of a REST API's response.
const (
	oddField  = iota // a field that no document names
	oddOrder         // the fields in another order
	oddHeader        // header names in lower case
	oddChunks        // chunked, in two pieces
	oddLate          // later than usual
	oddClose         // the connection closes behind it
	oddStatus        // not done: a status that passes, where the party documents one
	oddities
)

// oddly responds to one call of a target in an odd way.
func (e Env) oddly(w http.ResponseWriter, r *http.Request, which int, t Target, says func(http.ResponseWriter, int), next http.HandlerFunc) {
	if which == oddStatus && len(t.Passing) > 0 {
		if t.RetryAfter {
			w.Header().Set("Retry-After", "1")
		}
		says(w, t.Passing[e.Odd.among(len(t.Passing))])
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
			w.Header()[name] = nil // the server writes none of its own
			lower[strings.ToLower(name)] = values
		}
		response.header = lower
	case oddChunks:
		response.giveChunks(w)
		return
	case oddLate:
		e.Linger(oddLatency)
	case oddClose:
		response.header.Set("Connection", "close")
	}
	response.give(w, response.body.Len())
}

// giveChunks sends the response in two chunks.
func (a *recorded) giveChunks(w http.ResponseWriter) {
	half := a.body.Len() / 2
	a.give(w, half)
	_ = http.NewResponseController(w).Flush() // the client is gone, and nobody is left to tell
	_, _ = w.Write(a.body.Bytes()[half:])     // likewise
}

// oddJSON is a JSON object with its fields in the opposite order, and one more where wanted; anything else is as it was.
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
