package ingest

import "time"

// chooser decides whether concurrent callbacks share batches. Batches are faster if the server syncs each message to a disk, and slower if it
// does not. No request of a client shows that, and it also depends on the disk, so chooser measures: from time to time it tries the other mode and
// keeps the mode with the shorter time between a publish and its ack.
type chooser struct {
	batches bool // the current mode

	// The current measurement.
	began time.Time
	n     int
	total time.Duration

	unsettled bool          // the mode has changed: this measurement contains publishes of both modes
	trial     bool          // the mode is on trial
	usual     time.Duration // the mean time of the mode before the trial
	left      int           // measurements until the next trial
	pause     int           // the measurements between two trials
}

const (
	// measured is the number of publishes of one measurement, several batches.
	measured = 512
	// A trial takes two measurements. The first trial comes at once, the next ones after 32,000 to 2,000,000 publishes.
	shortestPause = 64
	longestPause  = 4096
)

// record adds a successful publish.
func (c *chooser) record(took time.Duration, now time.Time) {
	if c.began.IsZero() {
		c.began = now
	}
	c.n++
	c.total += took
	if c.n < measured {
		return
	}
	mean := c.total / measured
	// The number of publishes in flight, on average. Below batchFrom no batch is made.
	busy := c.total >= batchFrom*now.Sub(c.began)
	c.began, c.n, c.total = now, 0, 0
	switch {
	case c.unsettled:
		c.unsettled = false
	case c.trial && busy && mean < c.usual*9/10:
		c.trial, c.pause = false, shortestPause
		c.left = c.pause
	case c.trial:
		c.change()
		c.trial, c.pause = false, min(max(2*c.pause, shortestPause), longestPause)
		c.left = c.pause
	case !busy:
	case c.left > 0:
		c.left--
	default:
		c.usual, c.trial = mean, true
		c.change()
	}
}

func (c *chooser) change() { c.batches, c.unsettled = !c.batches, true }
