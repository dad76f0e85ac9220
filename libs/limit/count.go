package limit

import (
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// Quota is how many things may be counted in a time. A Most of 0 is no limit.
type Quota struct {
	Most int
	Per  time.Duration
}

// Tally is what one thing is counted under.
type Tally struct {
	// Key is whose things are remembered one by one, some 30 bytes each, so that none is counted twice and any time of the length
	// of a quota has no more than its Most.
	Key    string
	Quotas []Quota
	// Totals are counters beside it. The time of each begins with the first thing that is counted.
	Totals []Total
}

// Total is a counter.
type Total struct {
	Key string
	Quota
}

// Counted is what Count returns where no quota is full.
const Counted = -1

// remembered is how many things are remembered under a key that has no limit.
const remembered = 100

// kept is how long things are remembered under the tally's key, and how many of them at most.
func (t Tally) kept() (per time.Duration, most int) {
	per, most = time.Hour, remembered
	for _, q := range t.Quotas {
		per, most = max(per, q.Per), max(most, q.Most)
	}
	return per, most
}

// mark is how a thing is remembered: 96 bits of its id's hash.
func mark(id string) string {
	sum := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}
