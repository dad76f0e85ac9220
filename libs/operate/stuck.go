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

// Stuck groups the stuck work by stage, reason and fault. It keeps no content.
func (o *Operator) Stuck(ctx context.Context, f Filter) (Groups, error) {
	groups := o.newGrouping()
	if err := o.each(ctx, f, groups.add); err != nil {
		return Groups{}, err
	}
	return groups.all(), nil
}

// List returns Stuck and Items of the same filter, of one look.
func (o *Operator) List(ctx context.Context, f Filter, after string, most int) (Groups, Page, error) {
	page, err := newPaging(after, most)
	if err != nil {
		return Groups{}, Page{}, err
	}
	groups := o.newGrouping()
	err = o.each(ctx, f, func(i Item) {
		groups.add(i)
		page.add(i)
	})
	if err != nil {
		return Groups{}, Page{}, err
	}
	return groups.all(), page.page(), nil
}

// each calls do for each item that the filter selects.
func (o *Operator) each(ctx context.Context, f Filter, do func(Item)) error {
	for i, err := range o.items(ctx, f) {
		if err != nil {
			return err
		}
		do(i)
	}
	return nil
}

// grouping collects groups.
type grouping struct {
	groups Groups
	found  map[groupKey]*Group
}

type groupKey struct {
	what          What
	stage, reason string
	fault         outcome.Fault
	limit         bool
}

func (o *Operator) newGrouping() *grouping {
	return &grouping{groups: Groups{At: o.now().UTC()}, found: map[groupKey]*Group{}}
}

func (c *grouping) add(i Item) {
	k := groupKey{i.What, i.Stage, i.Reason, i.Fault, i.Limit}
	g := c.found[k]
	if g == nil {
		g = &Group{
			What: i.What, Stage: i.Stage, Reason: strings.Clone(i.Reason), Fault: i.Fault, Limit: i.Limit, Oldest: i.Since, Newest: i.Since,
			Runbook: runbook(i), people: people{},
		}
		k.reason = g.Reason
		c.found[k] = g
	}
	g.add(i)
	switch i.What {
	case Dead:
		c.groups.Dead++
	case Quarantined:
		c.groups.Quarantined++
	case Held:
		c.groups.Held++
	}
}

func (c *grouping) all() Groups {
	all := c.groups
	for _, g := range c.found {
		g.People = len(g.people)
		all.Groups = append(all.Groups, *g)
	}
	slices.SortFunc(all.Groups, func(a, b Group) int {
		return cmp.Or(slices.Index(Whats, a.What)-slices.Index(Whats, b.What), b.Count-a.Count, strings.Compare(a.Stage, b.Stage),
			strings.Compare(a.Reason, b.Reason), strings.Compare(string(a.Fault), string(b.Fault)))
	})
	return all
}

func (g *Group) add(i Item) {
	g.Count++
	if i.person != 0 {
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
	page, err := newPaging(after, most)
	if err != nil {
		return Page{}, err
	}
	if err := o.each(ctx, f, page.add); err != nil {
		return Page{}, err
	}
	return page.page(), nil
}

// paging collects the first items of a page and one more, which shows whether there is a next page.
type paging struct {
	after string
	most  int
	items []Item
}

func newPaging(after string, most int) (*paging, error) {
	if most < 1 || most > MostOnPage {
		return nil, errors.New("a page has 1 to 500 items")
	}
	return &paging{after: after, most: most}, nil
}

func (c *paging) add(i Item) {
	if i.Key == "" {
		i.Key = Key(i.What, i.number)
	}
	if c.after != "" && order(i.Key, c.after) <= 0 {
		return
	}
	place, _ := slices.BinarySearchFunc(c.items, i.Key, func(in Item, key string) int { return order(in.Key, key) })
	if place > c.most {
		return
	}
	c.items = slices.Insert(c.items, place, i)
	c.items = c.items[:min(len(c.items), c.most+1)]
}

func (c *paging) page() Page {
	page := Page{Items: c.items}
	if len(page.Items) > c.most {
		page.Items = page.Items[:c.most]
		page.Next = page.Items[c.most-1].Key
	}
	return page
}
