package quiet

import "time"

// horizon is the time within which the zones of a person must have a common time outside the quiet hours. A common time returns each day, except
// on the days on which a clock changes.
const horizon = 48 * time.Hour

// Rule says when one person may get messages.
type Rule struct {
	Hours Hours
	Zones []*time.Location // in which the person may be; empty if they are unknown
	// Home is the zone of the person's source. It counts if Zones is empty, and while Zones have no common time outside the quiet hours.
	Home *time.Location
}

// Next returns the first moment at or after t that is outside the quiet hours in each zone. If there is none within 48 hours, it returns the
// first one in the home zone.
func (r Rule) Next(t time.Time) time.Time {
	at, _ := r.next(t)
	return at
}

// next returns also the zones that it used.
func (r Rule) next(t time.Time) (time.Time, []*time.Location) {
	if r.Hours.Off() {
		return t, nil
	}
	if len(r.Zones) > 0 {
		if at, found := r.Hours.common(t, r.Zones); found {
			return at.In(t.Location()), r.Zones
		}
	}
	home := []*time.Location{r.Home}
	return r.Hours.until(t, r.Home, false).In(t.Location()), home
}

// common returns the first moment at or after t that is outside the quiet hours in each zone, if there is one within the horizon.
func (h Hours) common(t time.Time, zones []*time.Location) (at time.Time, found bool) {
	end := t.Add(horizon)
	for last := t; ; last = t {
		for _, zone := range zones {
			t = h.until(t, zone, false)
		}
		switch {
		case t.After(end):
			return time.Time{}, false
		case t.Equal(last):
			return t, true
		}
	}
}

// After returns the moment by which a person could have got messages for the time d since t: time in quiet hours does not count.
func (r Rule) After(t time.Time, d time.Duration) time.Time {
	for {
		begin, zones := r.next(t)
		if zones == nil {
			return begin.Add(d)
		}
		end := begin.Add(d)
		t = end
		for _, zone := range zones {
			if quiet := r.Hours.until(begin, zone, true); quiet.Before(t) {
				t = quiet
			}
		}
		if !t.Before(end) {
			return end.In(begin.Location())
		}
		d -= t.Sub(begin)
	}
}
