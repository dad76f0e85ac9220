package notification

import "time"

// The broker's clock cannot be moved, so the waiting times are shorter in a test.
func init() { //nolint:gochecknoinits // before any test of the package runs
	circuitPauses.First, circuitPauses.Longest = 10*time.Millisecond, 40*time.Millisecond
	holdPauses.First, holdPauses.Longest = time.Hour, 2*time.Hour
	recheckAfter, releasePoll = 100*time.Millisecond, 10*time.Millisecond
}
