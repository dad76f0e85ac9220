package config

import (
	"slices"
	"time"
)

// Reminders are the times at which people who have not signed are reminded, counted from their invitation.
type Reminders struct {
	After []time.Duration `yaml:"after"` // default 72h, 168h and 336h; an empty list switches the reminders off
	// Every and Times are another form of After: 168h and 4 mean after 168h, 336h, 504h and 672h.
	Every time.Duration `yaml:"every"`
	Times int           `yaml:"times"`
	// ProviderToo reminds also the people whom the provider itself reminds.
	ProviderToo bool `yaml:"provider_too"`
	// PerMinute is the maximum number of reminders a minute of all replicas together, so that a backlog is made slowly; 0 means 120.
	PerMinute int `yaml:"per_minute"`
}

const day = 24 * time.Hour

// defaultReminders are after 3, 7 and 14 days.
var defaultReminders = []time.Duration{3 * day, 7 * day, 14 * day}

// Bounds of reminders. The log has a document's events for 89 days, and a reminder needs them.
const (
	firstReminder  = time.Second
	lastReminder   = 60 * day
	mostReminders  = 30
	perMinute      = 120
	mostPerMinute  = 100_000
	remindersUntil = "60 days"
)

// Due returns the times of the reminders after the invitation, the earliest first; none if reminders are off.
func (r Reminders) Due() []time.Duration {
	if r.Every <= 0 {
		return r.After
	}
	all := make([]time.Duration, min(r.Times, mostReminders))
	for i := range all {
		all[i] = time.Duration(i+1) * r.Every
	}
	return all
}

// DefaultReminders returns the reminders of a source whose settings have none.
func DefaultReminders() (r Reminders) {
	r.fillDefaults()
	return r
}

func (r *Reminders) fillDefaults() {
	if r.After == nil && r.Every == 0 && r.Times == 0 {
		r.After = slices.Clone(defaultReminders)
	}
	if r.PerMinute == 0 {
		r.PerMinute = perMinute
	}
}

func (c *Checker) reminders(key string, r Reminders) {
	if r.PerMinute < 0 || r.PerMinute > mostPerMinute {
		c.Mistake(key+".per_minute", "want the number of reminders a minute, at most %d, or 0 for %d", mostPerMinute, perMinute)
	}
	switch {
	case (r.Every != 0 || r.Times != 0) && len(r.After) > 0:
		c.Mistake(key, "after is set, and every and times too: keep one form")
		return
	case (r.Every == 0) != (r.Times == 0):
		c.Mistake(key, "set both every and times, such as {every: 168h, times: 4}")
		return
	case r.Times < 0 || r.Times > mostReminders:
		c.Mistake(key+".times", "want 1 to %d, not %d", mostReminders, r.Times)
		return
	case r.Every < 0 || r.Every != 0 && r.Every < firstReminder:
		c.Mistake(key+".every", "want %v or more, such as 168h, not %v", firstReminder, r.Every)
		return
	case r.Every > lastReminder/time.Duration(max(r.Times, 1)):
		c.Mistake(key, "the last reminder is later than %s after the invitation: want a shorter time or fewer times", remindersUntil)
		return
	case len(r.After) > mostReminders:
		c.Mistake(key+".after", "want at most %d times, not %d", mostReminders, len(r.After))
		return
	}
	before := time.Duration(0)
	for _, d := range r.After {
		switch {
		case d < firstReminder || d > lastReminder:
			c.Mistake(key+".after", "want times from %v to %s after the invitation, such as 72h, not %v", firstReminder, remindersUntil, d)
			return
		case d <= before:
			c.Mistake(key+".after", "want each time later than the one before it: %v follows %v", d, before)
			return
		}
		before = d
	}
}
