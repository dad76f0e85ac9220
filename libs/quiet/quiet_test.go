package quiet_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/signrelay/signrelay/libs/quiet"
)

func zones(t testing.TB, names ...string) []*time.Location {
	t.Helper()
	all := make([]*time.Location, len(names))
	for i, name := range names {
		var err error
		if all[i], err = quiet.Zone(name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// model is the law, minute by minute, from what the clocks on the walls show. It shares no code with the package.
type model struct {
	start time.Time
	open  []bool // of each minute, in each zone
	home  []bool // of each minute, in the home zone
}

const modelHorizon = 48 * 60

func newModel(start time.Time, minutes int, from, to string, all []*time.Location, home *time.Location) model {
	m := model{start: start, open: make([]bool, minutes), home: make([]bool, minutes)}
	open := func(at time.Time, zone *time.Location) bool {
		h, m, _ := at.In(zone).Clock()
		wall := string([]byte{'0' + byte(h/10), '0' + byte(h%10), ':', '0' + byte(m/10), '0' + byte(m%10)})
		if from < to {
			return wall < from || wall >= to
		}
		return from == to || wall >= to && wall < from
	}
	for i := range m.open {
		at := start.Add(time.Duration(i) * time.Minute)
		m.home[i] = open(at, home)
		m.open[i] = len(all) > 0
		for _, zone := range all {
			m.open[i] = m.open[i] && open(at, zone)
		}
	}
	return m
}

// next returns the minute of Next for the minute i, and whether the person's own zones have it.
func (m model) next(i int) (minute int, own bool) {
	for j := i; j <= i+modelHorizon; j++ {
		if m.open[j] {
			return j, true
		}
	}
	for !m.home[i] {
		i++
	}
	return i, false
}

// after counts the minutes outside quiet hours one by one. Within a stretch of such minutes the zones that count do not change.
func (m model) after(i, minutes int) int {
	for {
		var own bool
		i, own = m.next(i)
		for open := m.home; ; i++ {
			if own {
				open = m.open
			}
			if minutes == 0 {
				return i
			}
			if !open[i] {
				break
			}
			minutes--
		}
	}
}

// The model has each minute of a year, in zones with and without changes of the clock, with whole and odd offsets. Next finds the same minute: for
// each minute within two days of a change of a clock, and for each 17th other minute, because each of the 14 rows takes 500,000 minutes.
func TestNextIsTheFirstMinuteOutsideQuietHoursInEachZone(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		from, to string
		home     string
		zones    string
	}{
		{"21:00", "08:00", "America/New_York", ""},
		{"21:00", "08:00", "UTC", "America/New_York"},
		{"21:00", "08:00", "America/New_York", "Europe/London Europe/Guernsey Europe/Isle_of_Man"},
		{"21:00", "08:00", "America/New_York", "Europe/London Pacific/Guam America/St_Johns"}, // half an hour a day, in summer
		{"21:00", "08:00", "America/New_York", "Europe/London Pacific/Guam America/New_York"}, // never
		{"02:00", "03:00", "UTC", "Europe/Berlin"},                                            // a gap swallows all of it, a repeat doubles it
		{"21:00", "02:30", "UTC", "America/New_York"},                                         // ends in the gap
		{"21:00", "01:30", "UTC", "America/New_York"},                                         // ends twice
		{"01:30", "09:00", "UTC", "America/New_York"},                                         // begins twice
		{"03:00", "02:00", "UTC", "Europe/London"},                                            // one hour a day, and one day without it
		{"09:00", "17:45", "UTC", "Australia/Lord_Howe Pacific/Chatham"},                      // half an hour of summer time
		{"22:00", "07:15", "UTC", "Africa/Casablanca Antarctica/Troll"},                       // Ramadan; two hours
		{"00:00", "00:00", "UTC", "Europe/Berlin"},
		{"00:00", "12:00", "UTC", "Europe/Berlin"},
	} {
		t.Run(fmt.Sprintf("%s-%s in %s, else %s", row.from, row.to, row.zones, row.home), func(t *testing.T) {
			t.Parallel()
			const minutes = 366 * 24 * 60
			hours, err := quiet.Parse(row.from, row.to)
			if err != nil {
				t.Fatal(err)
			}
			rule := quiet.Rule{Hours: hours, Zones: zones(t, strings.Fields(row.zones)...), Home: zones(t, row.home)[0]}
			start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			m := newModel(start, minutes+2*modelHorizon, row.from, row.to, rule.Zones, rule.Home)
			changes := func(at time.Time) bool {
				return slices.ContainsFunc(append(rule.Zones, rule.Home), func(zone *time.Location) bool {
					_, before := at.Add(-2 * 24 * time.Hour).In(zone).Zone()
					_, after := at.Add(2 * 24 * time.Hour).In(zone).Zone()
					return before != after
				})
			}
			all := false
			for i := range minutes {
				at := start.Add(time.Duration(i) * time.Minute)
				if i%60 == 0 {
					all = changes(at)
				}
				if !all && i%17 != 0 {
					continue
				}
				want, _ := m.next(i)
				if got := rule.Next(at); !got.Equal(start.Add(time.Duration(want) * time.Minute)) {
					t.Fatalf("after %s it is %s, want %s", at, got, start.Add(time.Duration(want)*time.Minute))
				}
			}
		})
	}
}

var someZones = []string{
	"America/New_York", "America/St_Johns", "America/Los_Angeles", "Pacific/Honolulu", "Pacific/Guam", "Pacific/Apia", "Pacific/Chatham", "Europe/London",
	"Europe/Berlin", "Asia/Kathmandu", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Casablanca", "America/Santiago", "Antarctica/Troll", "UTC",
}

// For any hours, zones and moment: Next is outside quiet hours, nothing before it is, and Next of it is the same. After counts exactly the
// minutes outside quiet hours.
func TestAnyHoursInAnyZones(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		clock := rapid.Custom(func(t *rapid.T) string {
			return fmt.Sprintf("%02d:%02d", rapid.IntRange(0, 23).Draw(t, "hour"), rapid.SampledFrom([]int{0, 1, 15, 30, 59}).Draw(t, "minute"))
		})
		from, to := clock.Draw(rt, "from"), clock.Draw(rt, "to")
		hours, err := quiet.Parse(from, to)
		if err != nil {
			rt.Skip("longer than 23 hours")
		}
		rule := quiet.Rule{
			Hours: hours, Zones: zones(t, rapid.SliceOfN(rapid.SampledFrom(someZones), 0, 3).Draw(rt, "zones")...),
			Home: zones(t, rapid.SampledFrom(someZones).Draw(rt, "home"))[0],
		}
		start := time.Date(2026, time.Month(rapid.IntRange(1, 12).Draw(rt, "month")), rapid.IntRange(1, 31).Draw(rt, "day"), rapid.IntRange(0, 23).Draw(rt, "hour"), 0, 0, 0, time.UTC)
		m := newModel(start, 12*24*60, from, to, rule.Zones, rule.Home)
		minute := func(i int) time.Time { return start.Add(time.Duration(i) * time.Minute) }

		second := time.Duration(rapid.IntRange(1, 59_999).Draw(rt, "milliseconds")) * time.Millisecond
		want, _ := m.next(0)
		if got := rule.Next(start); !got.Equal(minute(want)) || !rule.Next(got).Equal(got) {
			rt.Fatalf("Next is %s, want %s", got, minute(want))
		}
		wantWithin := minute(want)
		if want == 0 {
			wantWithin = start.Add(second) // no boundary is within a minute
		}
		if got := rule.Next(start.Add(second)); !got.Equal(wantWithin) {
			rt.Fatalf("Next within the minute is %s, want %s", got, wantWithin)
		}
		count := rapid.IntRange(0, 100).Draw(rt, "minutes")
		if got, want := rule.After(start, time.Duration(count)*time.Minute), minute(m.after(0, count)); !got.Equal(want) {
			// At the end of an open stretch, both sides of the quiet hours are right: no open minute is between them.
			if next := rule.Next(got); count == 0 || !next.Equal(want) {
				rt.Fatalf("After %d minutes is %s, want %s", count, got, want)
			}
		}
	})
}

// The number of zones per prefix is that of the library's data.
func TestZonesOfANumber(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]int{
		"+13175551234": 1, "+447911123456": 3, "+18005551234": 42, "+491711234567": 1,
		"+999123456789": 0, "": 0, "anything": 0, "3175551234": 0,
	} {
		if got := quiet.ZonesOf(number); len(got) != want {
			t.Errorf("%q has the zones %v, want %d", number, got, want)
		}
	}
	if got := quiet.ZonesOf("+13175551234"); got[0].String() != "America/Indiana/Indianapolis" && got[0].String() != "America/New_York" {
		t.Errorf("Indianapolis is in %v", got)
	}
}

// At 21:00 in Indianapolis there is no text any more, and at 08:00 there is. An American toll-free number may be anywhere from Guam to Newfoundland.
func TestANumberWaitsForTheMorningInEachOfItsZones(t *testing.T) {
	t.Parallel()
	hours, err := quiet.Parse("21:00", "08:00")
	if err != nil {
		t.Fatal(err)
	}
	home := zones(t, "America/New_York")[0]
	for _, row := range []struct{ number, at, want string }{
		{"+13175551234", "2026-12-01T20:59:59-05:00", "2026-12-01T20:59:59-05:00"},
		{"+13175551234", "2026-12-01T21:00:00-05:00", "2026-12-02T08:00:00-05:00"},
		{"+13175551234", "2026-12-02T07:59:59-05:00", "2026-12-02T08:00:00-05:00"},
		{"+13175551234", "2027-03-13T23:00:00-05:00", "2027-03-14T08:00:00-04:00"}, // the night in which summer time begins
		{"+447911123456", "2026-12-01T22:00:00Z", "2026-12-02T08:00:00Z"},
		{"+18005551234", "2026-12-01T12:00:00-05:00", "2026-12-01T22:00:00Z"}, // 8 o'clock in Guam, 18:30 in Newfoundland
		{"+999123456789", "2026-12-01T21:00:00-05:00", "2026-12-02T08:00:00-05:00"},
	} {
		at, err := time.Parse(time.RFC3339, row.at)
		if err != nil {
			t.Fatal(err)
		}
		want, err := time.Parse(time.RFC3339, row.want)
		if err != nil {
			t.Fatal(err)
		}
		rule := quiet.Rule{Hours: hours, Zones: quiet.ZonesOf(row.number), Home: home}
		if got := rule.Next(at); !got.Equal(want) {
			t.Errorf("%s at %s waits until %s, want %s", row.number, row.at, got.UTC(), want.UTC())
		}
	}
}

func TestBadHoursAndZonesAreNamed(t *testing.T) {
	t.Parallel()
	for _, row := range [][3]string{
		{"9:00", "08:00", `not "9:00"`}, {"21:00", "24:00", "want 00:00"}, {"21:60", "08:00", "21:60"}, {"", "08:00", "such as"}, {"21:00:00", "08:00", "21:00:00"},
		{"00:00", "23:59", "at most 23 hours"}, {"08:00", "07:30", "at most 23 hours"}, {"21.00", "08:00", "21.00"},
	} {
		if _, err := quiet.Parse(row[0], row[1]); err == nil || !strings.Contains(err.Error(), row[2]) {
			t.Errorf("%s to %s: %v", row[0], row[1], err)
		}
	}
	if h, err := quiet.Parse("00:00", "00:00"); err != nil || !h.Off() {
		t.Errorf("equal times: %v, %v", h, err)
	}
	for _, name := range []string{"", "Local", "America/Indianapolis/Nowhere", "New York", "../../etc/passwd", "EST5"} {
		if _, err := quiet.Zone(name); err == nil {
			t.Errorf("%q is a zone", name)
		}
	}
	if !slices.Equal(zones(t, "UTC", "Etc/UTC")[:1], []*time.Location{time.UTC}) {
		t.Error("UTC is not UTC")
	}
}
