package config

import (
	"errors"
	"slices"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/quiet"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// QuietHours are the times of a day at which a source's messages are not sent: in the time zones in which the person may be, by the person's
// number.
type QuietHours struct {
	From string `yaml:"from"` // default "21:00"; the same time as To switches the quiet hours off
	To   string `yaml:"to"`   // default "08:00"
	// Kinds are the kinds of message that wait; empty means every kind except the invitation.
	Kinds []string `yaml:"kinds"`
	// Zone counts for people without a number, and for numbers of unknown zones; default America/New_York.
	Zone string `yaml:"zone"`
}

func (q *QuietHours) fillDefaults() {
	if q.From == "" {
		q.From = "21:00"
	}
	if q.To == "" {
		q.To = "08:00"
	}
	if q.Zone == "" {
		q.Zone = "America/New_York"
	}
}

// DefaultQuietHours returns the quiet hours of a source whose settings have none.
func DefaultQuietHours() (q QuietHours) {
	q.fillDefaults()
	return q
}

// NoQuietHours returns quiet hours that are switched off.
func NoQuietHours() QuietHours {
	q := QuietHours{From: "00:00", To: "00:00"}
	q.fillDefaults()
	return q
}

// Applies reports whether messages of a kind wait while the hours are quiet.
func (q QuietHours) Applies(kind string) bool {
	if len(q.Kinds) == 0 {
		return kind != event.KindName(notifyv1.Kind_KIND_INVITATION)
	}
	return slices.Contains(q.Kinds, kind)
}

// Rule returns the law for a person with that number in E.164; an empty number means that the person has none. Check accepts only settings for
// which there is one; other settings mean no quiet hours.
func (q QuietHours) Rule(number string) quiet.Rule {
	rule, err := q.rule()
	if err != nil {
		return quiet.Rule{}
	}
	rule.Zones = quiet.ZonesOf(number)
	return rule
}

func (q QuietHours) rule() (quiet.Rule, error) {
	hours, wrong := quiet.Parse(q.From, q.To)
	home, unknown := quiet.Zone(q.Zone)
	return quiet.Rule{Hours: hours, Home: home}, errors.Join(wrong, unknown)
}

func (c *Checker) quietHours(key string, q QuietHours) {
	c.clock(key+".from", q.From)
	c.clock(key+".to", q.To)
	if _, err := quiet.Parse(q.From, q.To); errors.Is(err, quiet.ErrTooLong) {
		c.Mistake(key, "%v", err)
	}
	if _, err := quiet.Zone(q.Zone); err != nil && q.Zone != "" {
		c.Mistake(key+".zone", "%v", err)
	}
	c.EachOf(key+".kinds", q.Kinds, event.KindNames()...)
}

func (c *Checker) clock(key, text string) {
	if _, err := quiet.ParseClock(text); err != nil && text != "" {
		c.Mistake(key, "%v", err)
	}
}
