package console

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/outcome"
)

// filterKeys are the keys of an address that select stuck work.
var filterKeys = []string{"what", "stage", "reason", "source", "provider", "document", "channel", "since"}

var stuckPages = []Page{
	{"GET", "/stuck", Look, "stuck", append(slices.Clone(filterKeys), "after", "do", "which", "key", "rate"), stuckPage},
	{"POST", "/stuck", Operate, "stuck", []string{"do"}, startPlan},
	{"GET", "/stuck/{key}", Look, "stuck", nil, itemPage},
	{"POST", "/stuck/{key}", Operate | Private, "stuck", nil, checkRepair},
}

// rowsOnPage is the number of items on a page.
const rowsOnPage = 50

// selected is a filter with the address from which it was read.
type selected struct {
	operate.Filter
	query url.Values
}

// filterOf reads the filter of an address.
func filterOf(query url.Values, now time.Time) (selected, error) {
	f := selected{query: url.Values{}, Filter: operate.Filter{
		What: operate.What(query.Get("what")), Stage: query.Get("stage"), Reason: query.Get("reason"), Source: query.Get("source"), Provider: query.Get("provider"),
		Document: query.Get("document"), Channel: query.Get("channel"),
	}}
	for _, key := range filterKeys {
		if v := query.Get(key); v != "" {
			f.query.Set(key, v)
		}
	}
	wrong := func(key, want string) error {
		return &Problem{Status: http.StatusBadRequest, Title: unknownValue, Detail: "The key " + key + " accepts " + want + ".", Back: "/stuck"}
	}
	if f.What != "" && !slices.Contains(operate.Whats, f.What) {
		return f, wrong("what", "dead, quarantined and held")
	}
	if f.Channel != "" && !slices.Contains(event.ChannelNames(), f.Channel) {
		return f, wrong("channel", strings.Join(event.ChannelNames(), " and "))
	}
	if since := query.Get("since"); since != "" {
		var ok bool
		if f.Since, ok = sinceOf(since, now); !ok {
			return f, wrong("since", "a number of minutes, hours or days such as 30m, 24h or 7d, and a time such as 2026-11-29T08:00:00Z")
		}
	}
	return f, nil
}

// sinceOf reads "7d", "24h", "30m", or a time.
func sinceOf(text string, now time.Time) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, true
	}
	unit, ok := map[byte]time.Duration{'m': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[text[len(text)-1]]
	n, err := strconv.Atoi(text[:len(text)-1])
	if !ok || err != nil || n < 1 || n > 100_000 {
		return time.Time{}, false
	}
	return now.Add(-time.Duration(n) * unit), true
}

// Whole reports whether the filter leaves out nothing of its kind.
func (f selected) Whole() bool { return f.Filter == operate.Filter{What: f.What} }

// with returns the address of the list with another value of a key; empty removes it.
func (f selected) with(key, value string) string {
	query := url.Values{}
	for k, v := range f.query {
		query[k] = v
	}
	query.Set(key, value)
	if value == "" {
		query.Del(key)
	}
	return stuckPath(query)
}

func stuckPath(query url.Values) string {
	if len(query) == 0 {
		return "/stuck"
	}
	return "/stuck?" + query.Encode()
}

// Chip is a filter that is on, with the address of the list without it.
type Chip struct{ Name, Value, Without string }

// StuckGroup is a group with its words.
type StuckGroup struct {
	operate.Group
	Path  string `json:"path"` // of the list of its items
	Means string `json:"means"`
	Helps string `json:"what_helps"`
	Noun  string `json:"noun"`
	Whose string `json:"-"`
	Level string `json:"-"`
}

// StuckRow is an item in a list.
type StuckRow struct {
	operate.Item
	Path string `json:"path"`
	Word string `json:"-"`
}

type stuckData struct {
	Headline    string        `json:"headline"`
	Dead        int           `json:"dead"`
	Quarantined int           `json:"quarantined"`
	Held        int           `json:"held"`
	At          time.Time     `json:"at"`
	Groups      []StuckGroup  `json:"groups"`
	Items       []StuckRow    `json:"items"`
	Next        string        `json:"next,omitempty"` // the address of the next page of items
	Jobs        []operate.Job `json:"open_jobs"`

	Filter   selected     `json:"-"`
	Chips    []Chip       `json:"-"`
	Kinds    []Kind       `json:"-"`
	Hidden   [][2]string  `json:"-"` // the filter, as fields of the form
	Offers   []Offer      `json:"-"`
	Match    int          `json:"-"`
	Last     *operate.Job `json:"-"`
	After    bool         `json:"-"`
	Complete bool         `json:"-"` // the page has all items that match
}

// Kind is a choice of what is stuck.
type Kind struct {
	Title, Path string
	Count       int
	On          bool
}

// Offer is an action for which the list has a button.
type Offer struct {
	Do     operate.Action
	Verb   string // verbReplay
	Noun   string // deadLetter
	Count  int
	Danger bool
}

func stuckPage(r *Request) (View, error) {
	query := r.URL.Query()
	f, err := filterOf(query, r.Now)
	if err != nil {
		return View{}, err
	}
	if query.Has("do") {
		return planPage(r, f)
	}
	o := r.Console.operator
	groups, page, err := o.List(r.Context(), f.Filter, query.Get("after"), rowsOnPage)
	if err != nil {
		return View{}, err
	}
	jobs, err := o.Jobs(r.Context())
	if err != nil {
		return View{}, err
	}
	data := stuckData{
		Dead: groups.Dead, Quarantined: groups.Quarantined, Held: groups.Held, At: groups.At, Groups: []StuckGroup{}, Items: []StuckRow{}, Jobs: []operate.Job{},
		Filter: f, Chips: f.chips(), Match: groups.Dead + groups.Quarantined + groups.Held, After: query.Has("after"),
	}
	data.Kinds = f.kinds(groups)
	for _, g := range groups.Groups {
		data.Groups = append(data.Groups, describe(g, f))
	}
	for _, i := range page.Items {
		data.Items = append(data.Items, StuckRow{Item: i, Path: "/stuck/" + i.Key, Word: wordOf(i)})
	}
	if page.Next != "" {
		data.Next = f.with("after", page.Next)
	}
	data.Complete = page.Next == "" && !data.After
	for i, j := range jobs {
		if j.State.Open() {
			data.Jobs = append(data.Jobs, j)
		} else if data.Last == nil {
			data.Last = &jobs[i]
		}
	}
	for _, key := range filterKeys {
		if v := f.query.Get(key); v != "" {
			data.Hidden = append(data.Hidden, [2]string{key, v})
		}
	}
	data.Offers = offers(groups)
	data.Headline = stuckHeadline(data)
	return View{Template: "stuck", Title: data.Headline, Live: true, Data: data}, nil
}

func (f selected) chips() []Chip {
	titles := map[string]string{"stage": "Stage", "reason": "Reason", "source": "Source", "provider": "Provider", "document": "Document", "channel": "Channel", "since": "Since"}
	var chips []Chip
	for _, key := range filterKeys {
		if v := f.query.Get(key); v != "" && key != "what" {
			chips = append(chips, Chip{titles[key], v, f.with(key, "")})
		}
	}
	return chips
}

// kinds returns the choices of what is stuck. A kind that is filtered out has no count, because it was not counted.
func (f selected) kinds(g operate.Groups) []Kind {
	all := []Kind{{"All", f.with("what", ""), g.Dead + g.Quarantined + g.Held, f.What == ""}}
	for _, one := range []struct {
		what  operate.What
		title string
		count int
	}{{operate.Held, "Held", g.Held}, {operate.Dead, "Given up", g.Dead}, {operate.Quarantined, "Cannot be read", g.Quarantined}} {
		all = append(all, Kind{one.title, f.with("what", string(one.what)), one.count, f.What == one.what})
	}
	return all
}

// stuckHeadline returns the finding.
func stuckHeadline(d stuckData) string {
	if d.Match == 0 {
		if len(d.Chips) > 0 || d.Filter.What != "" {
			return "Nothing that is stuck matches"
		}
		if d.Last != nil {
			return "Nothing is stuck. The last job was " + strings.ToLower(jobTitle(*d.Last))
		}
		return "Nothing is stuck"
	}
	var parts []string
	if d.Dead > 0 {
		parts = append(parts, counted(d.Dead, deadLetter))
	}
	if d.Held > 0 {
		parts = append(parts, number(d.Held)+" held")
	}
	if d.Quarantined > 0 {
		parts = append(parts, counted(d.Quarantined, "callback")+" that cannot be read")
	}
	if len(parts) == 1 && d.Held > 0 {
		return counted(d.Held, "message") + " " + verb(uint64(d.Held), "is", "are") + " held"
	}
	return strings.Join(parts, ", ")
}

// describe adds the words to a group.
func describe(g operate.Group, f selected) StuckGroup {
	query := url.Values{}
	for k, v := range f.query {
		query[k] = v
	}
	query.Set("what", string(g.What))
	query.Set("stage", g.Stage)
	query.Set("reason", g.Reason)
	s := StuckGroup{Group: g, Path: stuckPath(query), Means: means(g), Noun: noun(g.Stage)}
	if g.What == operate.Quarantined {
		s.Noun = "callback"
	}
	s.Whose, s.Level = whose(g.Fault)
	switch {
	case g.What == operate.Quarantined:
		s.Helps = "Look at one and repair it, or wait for a version that can read it. Then replay."
	case g.Limit:
		s.Helps = "Check that they are wanted. Then raise the limit, or release them."
	case g.What == operate.Held:
		s.Helps = "Fix the cause. Then they leave by themselves."
	case g.Gone == g.Count:
		s.Helps = "Their stream no longer has them. Drop them."
	case g.Fault == outcome.Recipient:
		s.Helps = "Correct each address at the provider, or repair the message. Then replay."
	case g.Fault == outcome.Ours:
		s.Helps = "Install a version with the mistake corrected. Then replay."
	default:
		s.Helps = "Make sure that the cause is fixed. Then replay."
	}
	return s
}

func whose(f outcome.Fault) (text, level string) {
	switch f {
	case outcome.Operator:
		return "Ours: settings", "bad"
	case outcome.Ours:
		return "Ours: program", "bad"
	case outcome.Recipient:
		return "The address", ""
	case outcome.Provider:
		return "The other side", ""
	default:
		return "Not known", ""
	}
}

// means says what a reason means, in words.
func means(g operate.Group) string {
	if text := map[string]string{ //nolint:gosec // reasons and sentences, no credentials
		"bad-credentials":    "The account's key or password is refused.",
		"attempts-exhausted": "The stage tried for a day without success.",
		"permanent":          "Another attempt would fail in the same way.",
		"undecodable":        "The stage cannot read its content.",
		"panic":              "The program failed on it.",
		"max-deliveries":     "The server gave up: no replica responded.",
		"terminated":         "It was given up at the server.",
		"cause-not-in-log":   "The log has no event that caused this message.",
		"link-not-ours":      "Its link has another host than ours.",
		"no-money":           "The account has no money left.",
		"expired":            "It waited for longer than it may.",
		"not-json":           "Its body is not JSON.",
		"gone":               "Its stream no longer has it.",
	}[g.Reason]; text != "" {
		return text
	}
	if g.Limit {
		return "It is beyond a limit of the settings."
	}
	return ""
}

// wordOf names an item.
func wordOf(i operate.Item) string {
	switch {
	case i.What == operate.Quarantined && i.About != "":
		return "Callback, " + i.About
	case i.About != "":
		return strings.ToUpper(i.About[:1]) + i.About[1:]
	default:
		return "Content that cannot be read"
	}
}

// offers returns the actions that fit what is listed.
func offers(g operate.Groups) (all []Offer) {
	if g.Dead > 0 {
		all = append(all, Offer{operate.Replay, verbReplay, deadLetter, g.Dead, false}, Offer{operate.Drop, verbDrop, deadLetter, g.Dead, true})
	}
	if g.Quarantined > 0 {
		all = append(all, Offer{operate.ReplayCallbacks, verbReplay, "callback", g.Quarantined, false}, Offer{operate.DropCallbacks, verbDrop, "callback", g.Quarantined, true})
	}
	limited := 0
	for _, group := range g.Groups {
		if group.What == operate.Held && group.Limit {
			limited += group.Count
		}
	}
	if limited > 0 {
		all = append(all, Offer{operate.Release, "Release", "held message", limited, false})
	}
	if g.Held > limited {
		all = append(all, Offer{operate.ReleaseChannels, "Try now", "held message", g.Held - limited, false})
	}
	return all
}

// heldFindings returns what the Flow page says about held messages.
func heldFindings(groups []operate.Group) (all []Finding) {
	for _, g := range groups {
		d := describe(g, selected{query: url.Values{}})
		level := "bad"
		if g.Limit {
			level = "warn"
		}
		all = append(all, Finding{
			Level: level, Title: fmt.Sprintf("%s of %s %s held: %s", counted(g.Count, d.Noun), g.Stage, verb(uint64(g.Count), "is", "are"), g.Reason), Since: g.Oldest,
			Runbook: g.Runbook, Text: strings.TrimSpace(d.Means + " " + counted(g.People, "person") + " " + verb(uint64(g.People), "waits", "wait") + ". None is lost."),
			Do: d.Helps, Stuck: d.Path,
		})
	}
	return all
}

// stuckStage is the address of a stage's dead letters.
func stuckStage(stage string) string {
	return stuckPath(url.Values{"what": {string(operate.Dead)}, "stage": {stage}})
}

// deadPath is the address of all dead letters, or of those of the only stage that has some.
func deadPath(stages []StageState) string {
	var with []string
	for _, s := range stages {
		if s.Dead > 0 {
			with = append(with, s.Name)
		}
	}
	if len(with) == 1 {
		return stuckStage(with[0])
	}
	return "/stuck?what=dead"
}
