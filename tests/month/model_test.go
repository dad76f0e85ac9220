package month

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const (
	signers = 3
	slot    = time.Hour // everything happens on the hour
	month   = 30 * 24 * time.Hour
	hours   = int(month / slot)
)

// document is what happens to a document in the month. Hours count from the beginning.
type document struct {
	id        string
	people    []person
	sent      int
	signs     [signers]int // the hour in which each person signs; never if it is not before the end
	completes int
	expires   int
	stops     [signers]int // the hour in which each person replies STOP to a text
	starts    [signers]int // the hour in which the person replies START
}

// texts reports whether a person wants texts at that hour.
func (d *document) texts(person, hour int) bool {
	return hour < d.stops[person] || hour >= d.starts[person]
}

const never = 1 << 30

// zones are the areas of the numbers: the prefix of a number, and the zone of everybody with such a number.
var zones = []struct{ number, zone string }{
	{"+1317555%04d", "America/New_York"}, {"+4474001%05d", "Europe/London"}, {"+7916123%04d", "Europe/Moscow"}, {"+6141234%04d", "Australia/Sydney"},
}

// history makes the month of a number of documents.
func history(t *testing.T, count int, dice *rand.Rand) []*document {
	t.Helper()
	all := make([]*document, count)
	for i := range all {
		d := &document{id: fmt.Sprintf("d-%04d", i), sent: dice.IntN(10 * 24), expires: never, completes: never}
		for p := range signers {
			area := zones[dice.IntN(len(zones))]
			zone, err := time.LoadLocation(area.zone)
			if err != nil {
				t.Fatal(err)
			}
			d.people = append(d.people, person{d.id, p, fmt.Sprintf(area.number, signers*i+p), zone})
			d.stops[p], d.starts[p] = never, never
			if dice.IntN(6) == 0 {
				d.stops[p] = d.sent + 1 + dice.IntN(12*24)
				if dice.IntN(2) == 0 {
					d.starts[p] = d.stops[p] + 1 + dice.IntN(6*24)
				}
			}
			d.signs[p] = never
			if dice.IntN(4) > 0 {
				d.signs[p] = d.sent + 1 + signers*dice.IntN(6*24) + p // one signature an hour, so that their order is certain
			}
		}
		if dice.IntN(5) == 0 {
			d.expires = d.sent + 1 + dice.IntN(18*24)
		}
		for p := range signers {
			if d.signs[p] >= d.expires {
				d.signs[p] = never
			}
		}
		if last := slices.Max(d.signs[:]); last != never {
			d.completes, d.expires = last, never
		}
		all[i] = d
	}
	return all
}

// open reports whether a person may get a message at that hour: by the clock on the wall there, from 08:00 to 21:00.
func (p person) open(at time.Time) bool {
	h := at.In(p.zone).Hour()
	return 8 <= h && h < 21
}

// expected returns the messages of a month, from the sentences of the documentation alone:
// everybody is invited when the document is sent, at any time of day. All other messages wait for the morning. After a signature the others
// get a progress message, unless it was the last one. Who has not signed after 3, 7 and 14 days gets a reminder. When all have signed, all
// get a message. A message that waits is dropped if it is obsolete in the morning. Who replies STOP gets none of the texts that are made or due
// from then until a START; both have a response.
func expected(begin time.Time, all []*document) (list []message) {
	for _, d := range all {
		end := min(d.expires, d.completes)
		for p, who := range d.people {
			give := func(kind string, hour int, wanted func(hour int) bool) {
				made := hour
				for kind != "invitation" && !who.open(begin.Add(time.Duration(hour)*slot)) {
					hour++
				}
				if hour >= hours || !wanted(hour) {
					return
				}
				at := begin.Add(time.Duration(hour) * slot)
				if list = append(list, message{d.id, p, "email", kind, at}); d.texts(p, made) && d.texts(p, hour) {
					list = append(list, message{d.id, p, "sms", kind, at})
				}
			}
			for kind, hour := range map[string]int{"stopped": d.stops[p], "started": d.starts[p]} {
				if hour < hours {
					list = append(list, message{d.id, p, "sms", kind, begin.Add(time.Duration(hour) * slot)})
				}
			}
			waits := func(hour int) bool { return hour < d.signs[p] && hour < end }
			always := func(int) bool { return true }
			give("invitation", d.sent, always)
			for _, days := range []int{3, 7, 14} {
				if due := d.sent + days*24; waits(due) {
					give("reminder", due, waits)
				}
			}
			for other, signed := range d.signs {
				if other != p && signed < end {
					give("progress", signed, func(hour int) bool { return hour < end })
				}
			}
			if d.completes < hours {
				give("completed", d.completes, always)
			}
		}
	}
	return list
}
