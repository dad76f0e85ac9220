package config

import "time"

// Reconcile is the nightly search for facts that no callback brought. It needs the provider's API.
type Reconcile struct {
	At string `yaml:"at"` // the time of day in UTC; default "02:00"
	// Spread is the time within which the sources begin, each at its own time; 0 means an hour.
	Spread   time.Duration `yaml:"spread"`
	Disabled bool          `yaml:"disabled"` // only `signrelay reconcile` then begins it
}

const (
	reconcileAt     = "02:00"
	reconcileSpread = time.Hour
	longestSpread   = 12 * time.Hour
)

// DefaultReconcile returns the reconciliation of a source whose settings have none.
func DefaultReconcile() (r Reconcile) {
	r.fillDefaults()
	return r
}

func (r *Reconcile) fillDefaults() {
	if r.At == "" {
		r.At = reconcileAt
	}
	if r.Spread == 0 {
		r.Spread = reconcileSpread
	}
}

func (c *Checker) reconcile(key string, r Reconcile) {
	c.clock(key+".at", r.At)
	if r.Spread < 0 || r.Spread > longestSpread {
		c.Mistake(key+".spread", "want a time up to %v, such as 1h, not %v", longestSpread, r.Spread)
	}
}
