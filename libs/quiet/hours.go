// Package quiet computes when a person may get a message: outside the quiet hours in each time zone in which the person may be. It knows no
// message and reads no clock.
package quiet

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// Day is the number of minutes of a day on a wall clock.
const Day = 24 * hour

const (
	hour = 60 // minutes
	// longest is the maximum length of the quiet hours. The rest of a day must hold messages of 24 hours.
	longest = 23 * hour
)

// Hours are the quiet hours of each day, by the clock on the wall: from the minute From up to the minute To, both counted from midnight.
// They pass midnight if To is before From. Equal minutes mean no quiet hours.
type Hours struct{ From, To int }

// ErrTooLong is the mistake of quiet hours that leave less than an hour a day for messages.
var ErrTooLong = fmt.Errorf("want quiet hours of at most %d hours", longest/hour)

var wallClock = regexp.MustCompile(`^([01][0-9]|2[0-3]):([0-5][0-9])$`)

// ParseClock reads a time such as "21:00" as minutes after midnight.
func ParseClock(text string) (minute int, err error) {
	t := wallClock.FindStringSubmatch(text)
	switch {
	case text == "24:00":
		return 0, errors.New("want 00:00 for midnight, not 24:00; quiet hours of 24 hours would leave no time for messages, and equal times switch them off")
	case t == nil:
		return 0, fmt.Errorf(`want a time from 00:00 to 23:59, such as "21:00", not %q`, text)
	}
	hours, _ := strconv.Atoi(t[1]) // the pattern has digits only
	minutes, _ := strconv.Atoi(t[2])
	return hours*hour + minutes, nil
}

// Parse reads the first minute and the end of the quiet hours.
func Parse(from, to string) (h Hours, err error) {
	if h.From, err = ParseClock(from); err != nil {
		return Hours{}, err
	}
	if h.To, err = ParseClock(to); err != nil {
		return Hours{}, err
	}
	if h.length() > longest {
		return Hours{}, fmt.Errorf("%w, not %d hours and %d minutes: no time would be left for messages; equal times switch the quiet hours off",
			ErrTooLong, h.length()/hour, h.length()%hour)
	}
	return h, nil
}

// Off reports whether there are no quiet hours.
func (h Hours) Off() bool { return h.From == h.To }

func (h Hours) length() int { return (h.To - h.From + Day) % Day }

// quiet reports whether a moment of a day, in seconds after midnight, is in the quiet hours.
func (h Hours) quiet(second int) bool {
	minute := second / 60
	if h.From <= h.To {
		return h.From <= minute && minute < h.To
	}
	return h.From <= minute || minute < h.To
}

// until returns the first moment at or after t that is quiet, or that is not quiet, in one zone. In a zone with changes of the clock, a wall
// clock passes a time not at all or twice: so the search goes from one change to the next.
func (h Hours) until(t time.Time, zone *time.Location, quiet bool) time.Time {
	boundary := h.To
	if quiet {
		boundary = h.From
	}
	for {
		t = t.In(zone)
		second := t.Hour()*60*60 + t.Minute()*60 + t.Second()
		if h.quiet(second) == quiet {
			return t
		}
		wait := time.Duration((boundary*60-second+Day*60)%(Day*60))*time.Second - time.Duration(t.Nanosecond())
		at := t.Add(wait)
		_, change := t.ZoneBounds()
		if change.IsZero() || at.Before(change) {
			return at
		}
		t = change
	}
}
