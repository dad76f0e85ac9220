package config

import "time"

// Fallback sends an invitation or reminder that did not arrive on one channel to the person's other channel.
type Fallback struct {
	// After is the time after which a message without a delivery receipt counts as not arrived; 0 means 10 minutes.
	After    time.Duration `yaml:"after"`
	Disabled bool          `yaml:"disabled"` // no message is sent to another channel
}

// Bounds of a fallback. Vonage tries for 72 hours to deliver a text.
const (
	fallbackAfter    = 10 * time.Minute
	earliestFallback = time.Second
	latestFallback   = 72 * time.Hour
)

// On reports whether messages that did not arrive go to the person's other channel.
func (f Fallback) On() bool { return !f.Disabled && f.After > 0 }

// DefaultFallback returns the fallback of a source whose settings have none.
func DefaultFallback() (f Fallback) {
	f.fillDefaults()
	return f
}

func (f *Fallback) fillDefaults() {
	if f.After == 0 {
		f.After = fallbackAfter
	}
}

func (c *Checker) fallback(key string, f Fallback) {
	if f.After != 0 && (f.After < earliestFallback || f.After > latestFallback) {
		c.Mistake(key+".after", "want a time from %v to %v, such as 10m, not %v; {disabled: true} switches the fallback off", earliestFallback, latestFallback, f.After)
	}
}
