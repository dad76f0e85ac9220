package limit

import (
	"sync"
	"time"
)

// tallies counts items for one process.
type tallies struct {
	mu     sync.Mutex
	items  map[string]history
	totals map[string]total
	swept  time.Time
}

type history struct {
	items []item
	keep  time.Duration
}

type item struct {
	mark string
	at   time.Time
}

type total struct {
	count int
	ends  time.Time
}

// sweepEvery is the interval at which expired entries are removed.
const sweepEvery = time.Hour

func (t *tallies) count(now time.Time, id string, tally Tally) (full int, room time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	keep, most := tally.kept()
	id = mark(id)
	var recent []item
	for _, it := range t.items[tally.Key].items {
		if it.at.After(now.Add(-keep)) {
			if it.mark == id {
				return Counted, 0
			}
			recent = append(recent, it)
		}
	}
	for i, q := range tally.Quotas {
		var within []item
		for _, it := range recent {
			if it.at.After(now.Add(-q.Per)) {
				within = append(within, it)
			}
		}
		if q.Most > 0 && len(within) >= q.Most {
			return i, within[len(within)-q.Most].at.Add(q.Per).Sub(now)
		}
	}
	totals := make([]total, len(tally.Totals))
	for i, q := range tally.Totals {
		totals[i] = t.totals[q.Key]
		if !totals[i].ends.After(now) {
			totals[i] = total{ends: now.Add(q.Per)}
		}
		if q.Most > 0 && totals[i].count >= q.Most {
			return len(tally.Quotas) + i, totals[i].ends.Sub(now)
		}
		totals[i].count++
	}
	recent = append(recent, item{id, now})
	t.items[tally.Key] = history{recent[max(len(recent)-most, 0):], keep}
	for i, q := range tally.Totals {
		t.totals[q.Key] = totals[i]
	}
	return Counted, 0
}

func (t *tallies) sweep(now time.Time) {
	if t.items == nil {
		t.items, t.totals, t.swept = map[string]history{}, map[string]total{}, now
	}
	if now.Sub(t.swept) < sweepEvery {
		return
	}
	t.swept = now
	for key, r := range t.items {
		if last := r.items[len(r.items)-1]; !last.at.After(now.Add(-r.keep)) {
			delete(t.items, key)
		}
	}
	for key, total := range t.totals {
		if !total.ends.After(now) {
			delete(t.totals, key)
		}
	}
}
