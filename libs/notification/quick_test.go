package notification

import "time"

// The broker's clock cannot be moved, so what a message waits for in a test is shorter.
func init() { //nolint:gochecknoinits // before any test of the package runs
	circuitPauses.First, circuitPauses.Longest = 50*time.Millisecond, 200*time.Millisecond
	holdPauses.First, holdPauses.Longest = time.Hour, 2*time.Hour
	mostWait, lookEvery = 100*time.Millisecond, 10*time.Millisecond
}
