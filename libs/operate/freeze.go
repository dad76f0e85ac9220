package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/quarantine"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// lookups is the number of messages whose fate is looked up at once. Each takes about four requests to the log.
const lookups = 16

// The reasons of Staying that this package gives; the others are those of the senders.
const (
	StaysGone       = "gone"       // its stream no longer has it, or it is not where the selection says
	StaysRepeated   = "repeated"   // another item of the plan has the same message
	StaysUnreadable = "unreadable" // the stage cannot read it, and gives it up again
	StaysNoLimit    = "no-limit"   // it is not held because of a limit: it leaves when the account works
)

// freeze fills a plan with its items, and says what would happen with them.
func (o *Operator) freeze(ctx context.Context, w *work) error {
	switch w.Plan.Action.what() {
	case Dead:
		return o.freezeDead(ctx, w)
	case Quarantined:
		return o.freezeCallbacks(ctx, w)
	case Held:
		return o.freezeHeld(ctx, w)
	default:
		return o.freezeDocument(ctx, w)
	}
}

// choice returns a function that reports whether the selection has an item, and the keys that it names.
func (s Selection) choice() (has func(Item) bool, named map[string]bool) {
	if len(s.Keys) == 0 {
		return s.Filter.has, nil
	}
	named = make(map[string]bool, len(s.Keys))
	for _, key := range s.Keys {
		named[key] = true
	}
	return func(i Item) bool { return named[i.Key] }, named
}

func (o *Operator) freezeDead(ctx context.Context, w *work) error {
	t, err := o.newTally(ctx, w.Plan.Action == Replay || w.Plan.Action == Repair)
	if err != nil {
		return err
	}
	has, named := w.Selection.choice()
	type chosen struct {
		dead stage.DeadLetter // without its content; a later message of the pass adds to its numbers
		frozen
	}
	var all []chosen
	count := 0
	looks, ctxLooks := errgroup.WithContext(ctx)
	looks.SetLimit(lookups)
	for l, err := range (stage.DeadLetters{JS: o.JS}).All(ctx) {
		if err != nil {
			return errors.Join(err, looks.Wait())
		}
		i := itemOfDead(l)
		if !has(i) {
			continue
		}
		delete(named, i.Key)
		if l.Gone && w.Plan.Action != Drop {
			t.stay("", StaysGone, 1)
			continue
		}
		if count++; count > MostItems {
			continue
		}
		all = append(all, chosen{WithoutContent(l), frozen{Key: i.Key, Hash: hashOfDead(l)}})
		if w.Plan.Action == Repair {
			if l, err = repaired(l, w.Selection.Body); err != nil {
				return errors.Join(err, looks.Wait())
			}
			w.Plan.Diff = diff(l.Subject, contentOf(ctx, o, l.Number), l.Data)
		}
		looks.Go(func() error { return t.dead(ctxLooks, l) })
	}
	if err := looks.Wait(); err != nil {
		return err
	}
	if count > MostItems {
		return tooMany(count)
	}
	t.stay("", StaysGone, len(named))
	for _, c := range all {
		c.Numbers = c.dead.Numbers()
		w.Items = append(w.Items, c.frozen)
	}
	slices.SortFunc(w.Items, func(a, b frozen) int { return order(a.Key, b.Key) })
	t.into(&w.Plan)
	return nil
}

// contentOf returns the content of a dead letter; nil if it cannot be read.
func contentOf(ctx context.Context, o *Operator, number uint64) []byte {
	l, err := stage.DeadLetters{JS: o.JS}.One(ctx, number)
	if err != nil {
		return nil
	}
	return l.Data
}

func hashOfDead(l stage.DeadLetter) string {
	return contentHash([]byte(l.Stage), []byte(l.ID), []byte(l.Subject), l.Data)
}

func (o *Operator) freezeCallbacks(ctx context.Context, w *work) error {
	t, err := o.newTally(ctx, false)
	if err != nil {
		return err
	}
	has, named := w.Selection.choice()
	count := 0
	for m, err := range (event.Log{JS: o.JS, Stream: flow.Quarantine}).Messages(ctx, flow.Quarantined, w.Selection.Filter.Since) {
		if err != nil {
			return err
		}
		i := itemOfCallback(quarantine.Describe(m))
		if !has(i) {
			continue
		}
		delete(named, i.Key)
		if count++; count > MostItems {
			continue
		}
		if w.Plan.Action == RepairCallback {
			if w.Plan.Diff, err = repairedCallback(m, w.Selection.Body); err != nil {
				return err
			}
		}
		t.row(i.Stage, i.Source+"/"+i.Provider+", "+i.Reason, "")
		w.Items = append(w.Items, frozen{Key: i.Key, Hash: hashOfCallback(m)})
	}
	if count > MostItems {
		return tooMany(count)
	}
	t.stay("", StaysGone, len(named))
	t.into(&w.Plan)
	if w.Plan.Action != DropCallbacks {
		w.Plan.Events = len(w.Items) // before the replay it is unknown which of them can be read
	}
	return nil
}

func hashOfCallback(m *jetstream.RawStreamMsg) string {
	return contentHash([]byte(m.Header.Get(quarantine.HeaderReason)), m.Data)
}

func (o *Operator) freezeHeld(ctx context.Context, w *work) error {
	t, err := o.newTally(ctx, true)
	if err != nil {
		return err
	}
	t.released = true
	all, err := notification.HeldMessages(ctx, o.JS)
	if err != nil {
		return err
	}
	has, named := w.Selection.choice()
	count := 0
	looks, ctx := errgroup.WithContext(ctx)
	looks.SetLimit(lookups)
	for _, h := range all {
		i := itemOfHeld(h)
		if !has(i) || len(w.Selection.Channels) > 0 && !slices.Contains(w.Selection.Channels, h.Channel) {
			continue
		}
		delete(named, i.Key)
		switch {
		case h.Limit && w.Plan.Action == ReleaseChannels:
			continue
		case !h.Limit && w.Plan.Action == Release:
			t.stay(h.Channel, StaysNoLimit, 1)
			continue
		case w.Plan.Action == Release:
			w.Items = append(w.Items, frozen{Key: i.Key, Hash: hashOfHeld(h)})
		case !slices.ContainsFunc(w.Items, func(f frozen) bool { return f.Key == channelKey(h.Channel) }):
			w.Items = append(w.Items, frozen{Key: channelKey(h.Channel)})
		}
		if count++; count > MostItems {
			continue
		}
		t.row(i.Stage, i.About, i.person)
		looks.Go(func() error { return t.held(ctx, o, h) })
	}
	if err := looks.Wait(); err != nil {
		return err
	}
	if count > MostItems && w.Plan.Action == Release {
		return tooMany(count)
	}
	t.stay("", StaysGone, len(named))
	slices.SortFunc(w.Items, func(a, b frozen) int { return order(a.Key, b.Key) })
	t.into(&w.Plan)
	return nil
}

func channelKey(channel string) string { return "channel." + channel }

func hashOfHeld(h notification.Held) string {
	return contentHash([]byte(h.ID), []byte(h.Reason), []byte(strconv.FormatBool(h.Limit)), []byte(h.Since.UTC().Format(time.RFC3339Nano)))
}

// tally counts what would happen with the messages of a plan.
type tally struct {
	operator *Operator
	foresee  notification.Foresight
	released bool // the messages are released, so that the present holds do not count

	mu      sync.Mutex
	rows    []Row
	inRow   map[[2]string]people
	leaves  map[string]*Leaving
	on      map[string]people // by channel
	all     people
	staying map[Staying]int // with Count 0
	again   map[Staying]int
	seen    map[string]bool // ids of messages
	waits   int
	events  int
	unknown int
	predict bool
}

func (o *Operator) newTally(ctx context.Context, predict bool) (*tally, error) {
	t := &tally{
		operator: o, predict: predict, inRow: map[[2]string]people{}, leaves: map[string]*Leaving{}, on: map[string]people{}, all: people{},
		staying: map[Staying]int{}, again: map[Staying]int{}, seen: map[string]bool{},
	}
	var err error
	if predict {
		t.foresee, err = notification.Foresee(ctx, o.JS, o.Ring, o.Destination, o.now)
	}
	return t, err
}

// dead counts a dead letter.
func (t *tally) dead(ctx context.Context, l stage.DeadLetter) error {
	a := AboutOf(l)
	what := cmp.Or(a.What, StaysUnreadable)
	t.row(l.Stage, what, a.Person)
	if !t.predict {
		return nil
	}
	t.mu.Lock()
	if l.Unknown {
		t.unknown++
	}
	if l.Stage == flow.Enricher && a.What != "" {
		t.events++
	}
	t.mu.Unlock()
	if a.What == "" {
		t.stay("", StaysUnreadable, 1)
		return nil
	}
	for _, n := range a.Messages {
		if err := t.message(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// message counts a message by what would happen with it.
func (t *tally) message(ctx context.Context, n *notifyv1.Notification) error {
	channel := event.ChannelName(n.GetChannel())
	t.mu.Lock()
	repeated := t.seen[n.GetId()]
	t.seen[n.GetId()] = true
	t.mu.Unlock()
	if repeated {
		t.stay(channel, StaysRepeated, 1)
		return nil
	}
	fate, err := t.foresee.Of(ctx, n)
	if err != nil {
		return fmt.Errorf("look up what would happen with a message: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case fate.Stays != "":
		t.staying[Staying{Channel: channel, Reason: fate.Stays}]++
	case fate.Held != "" && !t.released:
		t.again[Staying{Channel: channel, Reason: fate.Held}]++
	default:
		t.leave(channel, n, personOf(n))
		if !fate.Until.IsZero() {
			t.waits++
		}
	}
	return nil
}

// leave counts a message that leaves; n may be nil if the message is not made yet.
func (t *tally) leave(channel string, n *notifyv1.Notification, who string) {
	l := t.leaves[channel]
	if l == nil {
		l = &Leaving{Channel: channel}
		if isText(channel) {
			l.Cost = &Cost{}
		}
		t.leaves[channel], t.on[channel] = l, people{}
	}
	l.Messages++
	if who != "" {
		t.on[channel].add(who)
		t.all.add(who)
	}
	if l.Cost != nil {
		l.Cost.add(t.operator, n)
	}
}

// held counts a held message. It is looked up in NOTIFY, which keeps it for as long as it may be held.
func (t *tally) held(ctx context.Context, o *Operator, h notification.Held) error {
	subject := flow.SendSubject(h.Channel, h.Source, h.Provider, h.Document)
	for m, err := range (event.Log{JS: o.JS, Stream: flow.Notify}).Messages(ctx, subject, time.Time{}) {
		if err != nil {
			return fmt.Errorf("look up a held message: %w", err)
		}
		if n, err := notification.Decode(m.Data); err == nil && n.GetId() == h.ID {
			return t.message(ctx, n)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leave(h.Channel, nil, strings.Join([]string{h.Source, h.Provider, h.Document, h.Person()}, "/"))
	return nil
}

func (t *tally) row(stageName, what, person string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.rows, func(r Row) bool { return r.Stage == stageName && r.What == what })
	if i < 0 {
		i = len(t.rows)
		t.rows = append(t.rows, Row{Stage: stageName, What: what})
		t.inRow[[2]string{stageName, what}] = people{}
	}
	t.rows[i].Count++
	if person != "" {
		t.inRow[[2]string{stageName, what}].add(person)
	}
}

func (t *tally) stay(channel, reason string, n int) {
	if n == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.staying[Staying{Channel: channel, Reason: reason}] += n
}

// into writes the counts into a plan, each list in an order that does not depend on the lookups.
func (t *tally) into(p *Plan) {
	for _, r := range t.rows {
		r.People = len(t.inRow[[2]string{r.Stage, r.What}])
		p.Rows = append(p.Rows, r)
	}
	slices.SortFunc(p.Rows, func(a, b Row) int {
		return cmp.Or(stagePlace(a.Stage)-stagePlace(b.Stage), strings.Compare(a.Stage, b.Stage), strings.Compare(a.What, b.What))
	})
	for _, channel := range event.ChannelNames() {
		if l := t.leaves[channel]; l != nil {
			l.People = len(t.on[channel])
			p.Leaves = append(p.Leaves, *l)
		}
	}
	p.People, p.Events, p.Waits, p.Unknown = len(t.all), t.events, t.waits, t.unknown
	p.Stays, p.Held = sorted(t.staying), sorted(t.again)
}

func sorted(counts map[Staying]int) []Staying {
	var all []Staying
	for s, n := range counts {
		s.Count = n
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Staying) int {
		return cmp.Or(b.Count-a.Count, strings.Compare(a.Reason, b.Reason), strings.Compare(a.Channel, b.Channel))
	})
	return all
}

// stagePlace returns the place of a stage in the flow.
func stagePlace(name string) int {
	return slices.IndexFunc(flow.Stages, func(s flow.Stage) bool { return s.Name == name })
}
