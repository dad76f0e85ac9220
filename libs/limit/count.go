package limit

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"time"
)

// Quota is the number of items that may be counted in a period. A Most of 0 means no limit, and that a total is not counted.
type Quota struct {
	Most int
	Per  time.Duration
}

// Tally is the set of quotas that one item counts against.
type Tally struct {
	// Key names the owner of the quotas. Each item under it is remembered, with some 30 bytes, so that no item counts twice, and no period of
	// length Per has more than Most items.
	Key    string
	Quotas []Quota
	// Totals are counters that several tallies share. The period of each begins with its first item.
	Totals []Total
}

// Total is a counter with a quota.
type Total struct {
	Key string
	Quota
}

// Counted is the result of Count if no quota is full.
const Counted = -1

// remembered is the number of items that are remembered under a key without a limit.
const remembered = 100

// kept returns the time for which items are remembered under the tally's key, and their maximum number.
func (t Tally) kept() (per time.Duration, most int) {
	per, most = time.Hour, remembered
	for _, q := range t.Quotas {
		per, most = max(per, q.Per), max(most, q.Most)
	}
	return per, most
}

// limited reports whether any quota or total has a limit. Nothing is counted otherwise.
func (t Tally) limited() bool {
	return slices.ContainsFunc(t.Quotas, func(q Quota) bool { return q.Most > 0 }) || slices.ContainsFunc(t.Totals, func(q Total) bool { return q.Most > 0 })
}

// withLimit returns the totals that have a limit, and their indices. A total without one would take 180 bytes of Redis for its whole period.
func (t Tally) withLimit() (totals []Total, indices []int) {
	for i, q := range t.Totals {
		if q.Most > 0 {
			totals, indices = append(totals, q), append(indices, i)
		}
	}
	return totals, indices
}

// mark returns the remembered form of an item: 96 bits of its id's hash.
func mark(id string) string {
	sum := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}
