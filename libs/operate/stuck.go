package operate

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
)

// Group is the stuck work of one stage with one reason and one party at fault.
type Group struct {
	What   What          `json:"what"`
	Stage  string        `json:"stage"`
	Reason string        `json:"reason"`
	Fault  outcome.Fault `json:"fault,omitempty"` // empty if it is not known
	Count  int           `json:"count"`
	People int           `json:"people"` // different people, as far as the items name them
	Gone   int           `json:"gone,omitempty"`
	Limit  bool          `json:"limit,omitempty"` // its messages are beyond a limit: each can be released alone
	Oldest time.Time     `json:"oldest"`
	Newest time.Time     `json:"newest"`
	// Runbook is the heading of docs/operate.md that says what to do: "signrelaymessagesheld".
	Runbook string `json:"runbook"`

	people people
}

// Groups is all stuck work that a filter selects.
type Groups struct {
	At          time.Time `json:"at"`
	Dead        int       `json:"dead"`
	Quarantined int       `json:"quarantined"`
	Held        int       `json:"held"`
	Groups      []Group   `json:"groups"` // by kind, then the largest first
}

// Stuck groups the stuck work by stage, reason and fault. It reads the streams once and keeps no content: 10^5 dead letters take about 30 MB.
func (o *Operator) Stuck(ctx context.Context, f Filter) (Groups, error) {
	type key struct {
		what          What
		stage, reason string
		fault         outcome.Fault
		limit         bool
	}
	found := map[key]*Group{}
	all := Groups{At: o.now().UTC()}
	for i, err := range o.items(ctx, f) {
		if err != nil {
			return Groups{}, err
		}
		k := key{i.What, i.Stage, i.Reason, i.Fault, i.Limit}
		g := found[k]
		if g == nil {
			g = &Group{
				What: i.What, Stage: i.Stage, Reason: strings.Clone(i.Reason), Fault: i.Fault, Limit: i.Limit, Oldest: i.Since, Newest: i.Since,
				Runbook: runbook(i), people: people{},
			}
			k.reason = g.Reason
			found[k] = g
		}
		g.add(i)
		switch i.What {
		case Dead:
			all.Dead++
		case Quarantined:
			all.Quarantined++
		case Held:
			all.Held++
		}
	}
	for _, g := range found {
		g.People = len(g.people)
		all.Groups = append(all.Groups, *g)
	}
	slices.SortFunc(all.Groups, func(a, b Group) int {
		return cmp.Or(slices.Index(Whats, a.What)-slices.Index(Whats, b.What), b.Count-a.Count, strings.Compare(a.Stage, b.Stage),
			strings.Compare(a.Reason, b.Reason), strings.Compare(string(a.Fault), string(b.Fault)))
	})
	return all, nil
}

func (g *Group) add(i Item) {
	g.Count++
	if i.person != "" {
		g.people.add(i.person)
	}
	if i.Gone {
		g.Gone++
	}
	if i.Since.Before(g.Oldest) {
		g.Oldest = i.Since
	}
	if i.Since.After(g.Newest) {
		g.Newest = i.Since
	}
}

// The headings of docs/operate.md that say what to do about stuck work. A test compares them with the page.
const (
	runbookDead       = "dead-letters"
	runbookKafka      = "signrelaykafkaeventsburied"
	runbookQuarantine = "quarantine"
	runbookHeld       = "signrelaymessagesheld"
	runbookLimits     = "signrelaylimitsreached"
	runbookForged     = "signrelayforgedmessages"
)

func runbook(i Item) string {
	switch {
	case i.What == Quarantined:
		return runbookQuarantine
	case i.What == Held && i.Limit:
		return runbookLimits
	case i.What == Held:
		return runbookHeld
	case i.Stage == flow.KafkaBridge:
		return runbookKafka
	case i.Reason == "cause-not-in-log" || i.Reason == "link-not-ours":
		return runbookForged
	default:
		return runbookDead
	}
}

// Page is a part of a listing.
type Page struct {
	Items []Item `json:"items"`
	Next  string `json:"next,omitempty"` // the key after which the next page begins; empty on the last page
}

// MostOnPage is the largest page.
const MostOnPage = 500

// Items returns the items that a filter selects, in the order of their keys, after the key that the page before named. Items that come or go
// between two calls move no other item to another page.
func (o *Operator) Items(ctx context.Context, f Filter, after string, most int) (Page, error) {
	if most < 1 || most > MostOnPage {
		return Page{}, errors.New("a page has 1 to 500 items")
	}
	var page Page
	for i, err := range o.items(ctx, f) {
		if err != nil {
			return Page{}, err
		}
		if after != "" && order(i.Key, after) <= 0 {
			continue
		}
		place, _ := slices.BinarySearchFunc(page.Items, i.Key, func(in Item, key string) int { return order(in.Key, key) })
		if place > most {
			continue
		}
		page.Items = slices.Insert(page.Items, place, i)
		page.Items = page.Items[:min(len(page.Items), most+1)]
	}
	if len(page.Items) > most {
		page.Items = page.Items[:most]
		page.Next = page.Items[most-1].Key
	}
	return page, nil
}
