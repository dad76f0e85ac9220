package console

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/index"
	"github.com/signrelay/signrelay/libs/prices"
)

var insightPages = []Page{
	{"GET", "/insight", Look, "insight", []string{"weeks", "source", "format"}, insightPage},
}

// WeekRow is what happened to the people who were sent documents of a source in one ISO week.
type WeekRow struct {
	Source      string         `json:"source"`
	Provider    string         `json:"provider"`
	Week        string         `json:"week"`   // ISO 8601: 2026-W48
	Start       time.Time      `json:"start"`  // Monday, 00:00 UTC
	SoFar       bool           `json:"so_far"` // the week is not over
	Sent        int            `json:"sent"`   // people, like the next three
	Delivered   int            `json:"delivered"`
	Opened      int            `json:"opened"`
	Signed      int            `json:"signed"`
	MedianHours float64        `json:"median_hours"` // from the first message to the signature
	P90Hours    float64        `json:"p90_hours"`
	Parts       int            `json:"text_parts"`
	Cost        prices.Cost    `json:"text_cost"` // at the prices of the settings
	Channels    map[string]int `json:"last_channel_before_signature"`
	Kinds       map[string]int `json:"last_message_before_signature"`
}

// Cause is what came last before signatures.
type Cause struct {
	Name   string
	People int
}

// insightSource has the weeks of one source.
type insightSource struct {
	Name, Provider string
	Weeks          []WeekRow // the newest first
	Sum            WeekRow
}

// MostSent returns the largest number of people of a week, the scale of the chart.
func (s insightSource) MostSent() (most int) {
	for _, w := range s.Weeks {
		most = max(most, w.Sent)
	}
	return most
}

type insightData struct {
	Finding       string    `json:"finding"`
	Since         time.Time `json:"since"`
	Weeks         []WeekRow `json:"weeks"`
	BehindSeconds int       `json:"index_behind_seconds,omitempty"`

	Number   int             `json:"-"` // of weeks
	Source   string          `json:"-"`
	Sum      WeekRow         `json:"-"`
	Channels []Cause         `json:"-"`
	Kinds    []Cause         `json:"-"`
	Sources  []insightSource `json:"-"`
	Names    []string        `json:"-"`
	Choices  []int           `json:"-"`
	CSV      string          `json:"-"`
	Problem  *Problem        `json:"-"`
}

// The number of weeks of the page.
const (
	usualWeeks = 8
	mostWeeks  = 104
)

func insightPage(r *Request) (View, error) {
	query := r.URL.Query()
	number := usualWeeks
	if text := query.Get("weeks"); text != "" {
		var err error
		if number, err = strconv.Atoi(text); err != nil || number < 1 || number > mostWeeks {
			return View{}, badFilter("weeks", fmt.Sprintf("a number from 1 to %d", mostWeeks))
		}
	}
	data := insightData{Number: number, Source: query.Get("source"), Names: r.Console.sourceNames(), Choices: []int{4, 8, 13, 26, 52}, Weeks: []WeekRow{}}
	data.Since = mondayBefore(r.Now).AddDate(0, 0, -7*(number-1))
	data.CSV = fmt.Sprintf("/insight?weeks=%d&format=csv", number)
	if data.Source != "" {
		data.CSV += "&source=" + queryEscape(data.Source)
	}
	x, err := r.Console.reach(r.Context())
	var weeks []index.Week
	if err == nil {
		if weeks, err = x.Insight(r.Context(), data.Source, data.Since, r.Now); err != nil {
			err = r.Console.away(r.Context(), err)
		}
	}
	if problem, is := err.(*Problem); is && !r.JSON && query.Get("format") == "" { //nolint:errorlint // both functions return it as it is
		data.Problem = problem
		return View{Template: "insight", Title: problem.Title, Status: problem.Status, Data: data}, nil
	}
	if err != nil {
		return View{}, err
	}
	for _, w := range weeks {
		data.Weeks = append(data.Weeks, weekRow(w, r.Console.operator.Prices, r.Now))
	}
	switch format := query.Get("format"); format {
	case "":
	case "csv":
		return downloads(r, "insight", func(t table) error { return writeWeeks(t, data.Weeks) }), nil
	default:
		return View{}, badFilter("format", "csv")
	}
	data.sum()
	data.Finding = finding(data)
	data.BehindSeconds = int(math.Ceil(r.Console.indexLag(r.Now).Seconds()))
	return View{Template: "insight", Title: data.Finding, Data: data}, nil
}

func mondayBefore(t time.Time) time.Time {
	t = t.UTC()
	day := (int(t.Weekday()) + 6) % 7
	return time.Date(t.Year(), t.Month(), t.Day()-day, 0, 0, 0, 0, time.UTC)
}

func weekRow(w index.Week, known prices.Prices, now time.Time) WeekRow {
	year, week := w.Start.ISOWeek()
	row := WeekRow{
		Source: w.Source, Provider: w.Provider, Week: fmt.Sprintf("%d-W%02d", year, week), Start: w.Start, SoFar: now.Before(w.Start.AddDate(0, 0, 7)),
		Sent: w.Sent, Delivered: w.Delivered, Opened: w.Opened, Signed: w.Signed, MedianHours: w.MedianHours, P90Hours: w.P90Hours, Parts: w.Parts,
		Channels: w.Channels, Kinds: w.Kinds,
	}
	for country, parts := range w.Countries {
		row.Cost.Add(known, country, parts)
	}
	return row
}

// sum adds up the weeks: all, and those of each source.
func (d *insightData) sum() {
	d.Sum.Channels, d.Sum.Kinds = map[string]int{}, map[string]int{}
	for _, w := range slices.Backward(d.Weeks) {
		d.Sum.add(w)
		for k, n := range w.Channels {
			d.Sum.Channels[k] += n
		}
		for k, n := range w.Kinds {
			d.Sum.Kinds[k] += n
		}
		i := slices.IndexFunc(d.Sources, func(s insightSource) bool { return s.Name == w.Source && s.Provider == w.Provider })
		if i < 0 {
			i, d.Sources = len(d.Sources), append(d.Sources, insightSource{Name: w.Source, Provider: w.Provider})
		}
		d.Sources[i].Weeks = append(d.Sources[i].Weeks, w)
		d.Sources[i].Sum.add(w)
	}
	slices.SortFunc(d.Sources, func(a, b insightSource) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Provider, b.Provider))
	})
	d.Channels, d.Kinds = causes(d.Sum.Channels, d.Sum.Signed), causes(d.Sum.Kinds, d.Sum.Signed)
}

func (w *WeekRow) add(other WeekRow) {
	w.Sent, w.Delivered, w.Opened, w.Signed, w.Parts = w.Sent+other.Sent, w.Delivered+other.Delivered, w.Opened+other.Opened, w.Signed+other.Signed, w.Parts+other.Parts
	w.Cost.Join(other.Cost)
}

var channelNames = map[string]string{event.ChannelName(event.SMS): "Text", event.ChannelName(event.Email): "E-mail"}

// causes returns what came last before the signatures, the most frequent first. The rest signed before Signrelay sent them a message.
func causes(people map[string]int, signed int) (all []Cause) {
	rest := signed
	for _, name := range slices.Sorted(maps.Keys(people)) {
		rest -= people[name]
		title := cmp.Or(channelNames[name], strings.ToUpper(name[:1])+name[1:])
		all = append(all, Cause{title, people[name]})
	}
	slices.SortStableFunc(all, func(a, b Cause) int { return cmp.Compare(b.People, a.People) })
	if rest > 0 {
		all = append(all, Cause{"None of ours", rest})
	}
	return all
}

// finding returns the heading: what the weeks say in a sentence.
func finding(d insightData) string {
	span := fmt.Sprintf("in the last %d weeks", d.Number)
	if d.Number == 1 {
		span = "this week"
	}
	place := ""
	if d.Source != "" {
		place = " of " + shorten(d.Source)
	}
	switch s := d.Sum; {
	case s.Sent == 0:
		return "No one was sent a document" + place + " " + span
	case s.Signed == 0:
		return fmt.Sprintf("%s sent a document%s %s, and none has signed", number(s.Sent)+" "+verb(uint64(s.Sent), "person was", "people were"), place, span)
	default:
		text := fmt.Sprintf("%s %s of %s signed%s", number(s.Signed), verb(uint64(s.Signed), "person", "people"), number(s.Sent), place)
		if median, ok := medianOf(d.Weeks); ok {
			text += ", half of them within " + hoursWords(median)
		}
		return text
	}
}

// medianOf returns the median of the one week with signatures, or the range's middle: medians of weeks cannot be combined exactly, so it is the
// median of the weeks' medians, each with the weight of its signatures.
func medianOf(weeks []WeekRow) (float64, bool) {
	type part struct {
		hours  float64
		people int
	}
	var parts []part
	total := 0
	for _, w := range weeks {
		if w.Signed > 0 {
			parts, total = append(parts, part{w.MedianHours, w.Signed}), total+w.Signed
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.hours, b.hours) })
	seen := 0
	for _, p := range parts {
		if seen += p.people; 2*seen >= total {
			return p.hours, true
		}
	}
	return 0, false
}

// hoursWords returns hours in the unit in which they are short: "4 min", "5.2 h", "3 days".
func hoursWords(hours float64) string {
	switch {
	case hours <= 0:
		return "under 1 min"
	case hours < 1:
		return fmt.Sprintf("%.0f min", math.Max(1, hours*60))
	case hours < 10:
		return strconv.FormatFloat(hours, 'f', 1, 64) + " h"
	case hours < 96:
		return fmt.Sprintf("%.0f h", hours)
	default:
		return fmt.Sprintf("%.0f days", hours/24)
	}
}

// share returns a part in percent.
func share(part, all int) string {
	if all == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f%%", 100*float64(part)/float64(all))
}

// Bars returns the picture of a week: people who were sent a document, who got it, opened it and signed. The table beside it has the numbers.
func (w WeekRow) Bars(most int) template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="funnel" width="120" height="23" viewBox="0 0 120 23" role="img" aria-label="%d sent, %d delivered, %d opened, %d signed">`, w.Sent, w.Delivered, w.Opened, w.Signed)
	for i, n := range []int{w.Sent, w.Delivered, w.Opened, w.Signed} {
		width := 0.0
		if most > 0 {
			width = 120 * float64(n) / float64(most)
		}
		fmt.Fprintf(&b, `<rect class="bar" y="%d" height="4" width="%.0f"/>`, 6*i, width)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) //nolint:gosec // digits and our own words
}

// Day returns the week's Monday for a reader.
func (w WeekRow) Day() string { return w.Start.Format("2 Jan 2006") }

// Hours returns a number of hours, or nothing if no one signed.
func (w WeekRow) Hours(hours float64) string {
	if w.Signed == 0 {
		return "none signed"
	}
	return hoursWords(hours)
}

func writeWeeks(t table, weeks []WeekRow) error {
	channels, kinds := map[string]bool{}, map[string]bool{}
	for _, w := range weeks {
		for k := range w.Channels {
			channels[k] = true
		}
		for k := range w.Kinds {
			kinds[k] = true
		}
	}
	head := []string{"source", "provider", "week", "monday", "sent", "delivered", "opened by people", "signed", "median hours to sign", "p90 hours to sign", "text parts", "text cost", "currency", "parts without a price"}
	for _, k := range slices.Sorted(maps.Keys(channels)) {
		head = append(head, "signed after "+k)
	}
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		head = append(head, "signed after "+k)
	}
	if err := t.write(head...); err != nil {
		return err
	}
	for _, w := range weeks {
		hours := []string{"", ""}
		if w.Signed > 0 {
			hours = []string{strconv.FormatFloat(w.MedianHours, 'f', 2, 64), strconv.FormatFloat(w.P90Hours, 'f', 2, 64)}
		}
		cells := []string{
			w.Source, w.Provider, w.Week, w.Start.Format(time.DateOnly), strconv.Itoa(w.Sent), strconv.Itoa(w.Delivered), strconv.Itoa(w.Opened), strconv.Itoa(w.Signed),
			hours[0], hours[1], strconv.Itoa(w.Parts), w.Cost.Amount, w.Cost.Currency, strconv.Itoa(w.Cost.Unpriced),
		}
		for _, k := range slices.Sorted(maps.Keys(channels)) {
			cells = append(cells, strconv.Itoa(w.Channels[k]))
		}
		for _, k := range slices.Sorted(maps.Keys(kinds)) {
			cells = append(cells, strconv.Itoa(w.Kinds[k]))
		}
		if err := t.write(cells...); err != nil {
			return err
		}
	}
	return nil
}
