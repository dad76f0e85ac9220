package reconciler

import (
	"hash/fnv"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/quiet"
)

// latestNight returns the latest time at which the source's nightly reconciliation was due; the zero time if it has none. Sources begin at
// different times within the spread, so that they do not all call one provider at once. The settings' check accepts only a valid time.
func latestNight(src config.Source, now time.Time) time.Time {
	minute, err := quiet.ParseClock(src.Reconcile.At)
	if src.Reconcile.Disabled || err != nil {
		return time.Time{}
	}
	spread := time.Duration(0)
	if src.Reconcile.Spread > 0 {
		h := fnv.New64a()
		_, _ = h.Write([]byte(src.Provider + "/" + src.Name)) // a hash accepts everything
		spread = time.Duration(h.Sum64() % uint64(src.Reconcile.Spread))
	}
	year, month, day := now.UTC().Date()
	due := time.Date(year, month, day, 0, minute, 0, 0, time.UTC).Add(spread)
	for due.After(now) {
		due = due.AddDate(0, 0, -1)
	}
	return due
}
