package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
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
	"github.com/signrelay/signrelay/libs/prices"
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
	for l, err := range o.chosen(ctx, w.Selection) {
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
			w.Plan.Lost = append(w.Plan.Lost, i.Key)
			continue
		}
		if count++; !w.keeps(count) {
			continue
		}
		all = append(all, chosen{withoutContent(l), frozen{Key: i.Key, Hash: hashOfDead(l)}})
		if w.Plan.Action == Repair {
			if l, err = repaired(l, w.Selection.Body); err != nil {
				return errors.Join(err, looks.Wait())
			}
			w.Selection.Subject = l.Subject
			w.Plan.Diff = diff(l.Subject, contentOf(ctx, o, l.Number), l.Data)
		}
		looks.Go(func() error { return t.dead(ctxLooks, l) })
	}
	if err := looks.Wait(); err != nil {
		return err
	}
	if err := w.tooMany(count); err != nil {
		return err
	}
	t.miss(w, named)
	slices.Sort(w.Plan.Lost)
	for _, c := range all {
		c.Numbers = c.dead.Numbers()
		w.Items = append(w.Items, c.frozen)
	}
	slices.SortFunc(w.Items, func(a, b frozen) int { return order(a.Key, b.Key) })
	t.into(&w.Plan)
	return nil
}

// mostSingle is the number of dead letters up to which a plan reads each by its number: 500 take 0.2 s. For more, one pass over DLQ takes less time.
const mostSingle = 500

// chosen yields the dead letters that a selection may have. If the board knows that they are few, it reads only these.
func (o *Operator) chosen(ctx context.Context, s Selection) iter.Seq2[stage.DeadLetter, error] {
	deadLetters := stage.DeadLetters{JS: o.JS}
	return func(yield func(stage.DeadLetter, error) bool) {
		kept := false
		if o.Remember {
			var err error
			if kept, err = o.board.refresh(ctx, o.JS, Filter{What: Dead}); err != nil {
				yield(stage.DeadLetter{}, err)
				return
			}
		}
		var numbers []uint64
		switch {
		case !kept:
		case len(s.Keys) > 0:
			numbers = o.board.named(s.Keys)
		default:
			f := s.Filter
			f.What = Dead
			o.board.each(f, func(i Item) bool {
				numbers = append(numbers, i.number)
				return len(numbers) <= mostSingle
			})
		}
		if !kept || len(numbers) > mostSingle {
			for l, err := range deadLetters.All(ctx) {
				if !yield(l, err) {
					return
				}
			}
			return
		}
		slices.Sort(numbers)
		for _, n := range numbers {
			l, err := deadLetters.Numbered(ctx, n, o.board.numbers(n))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			if !yield(l, err) || err != nil {
				return
			}
		}
	}
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
	for m, err := range o.callbacks(ctx, w.Selection) {
		if err != nil {
			return err
		}
		k := quarantine.Describe(m)
		i := itemOfCallback(k)
		if !has(i) {
			continue
		}
		delete(named, i.Key)
		if count++; !w.keeps(count) {
			continue
		}
		if w.Plan.Action == RepairCallback {
			w.Selection.Subject = m.Subject
			if w.Plan.Diff, err = repairedCallback(m, w.Selection); err != nil {
				return err
			}
		}
		what := i.Reason
		if k.Item != nil {
			what += ", an item of a batch"
		}
		t.row(Row{Stage: i.Stage, Source: i.Source + "/" + i.Provider, What: what}, 0)
		w.Items = append(w.Items, frozen{Key: i.Key, Hash: hashOfCallback(m)})
	}
	if err := w.tooMany(count); err != nil {
		return err
	}
	t.miss(w, named)
	t.into(&w.Plan)
	if w.Plan.Action != DropCallbacks {
		w.Plan.Events = len(w.Items) // before the replay it is unknown which of them can be read
	}
	return nil
}

// callbacks yields the callbacks that a selection may have, the oldest first: those that it names by their numbers, or one pass over QUARANTINE.
func (o *Operator) callbacks(ctx context.Context, s Selection) iter.Seq2[*jetstream.RawStreamMsg, error] {
	if len(s.Keys) == 0 {
		return event.Log{JS: o.JS, Stream: flow.Quarantine}.Messages(ctx, flow.Quarantined, s.Filter.Since)
	}
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		stream, err := o.JS.Stream(ctx, flow.Quarantine)
		if err != nil {
			yield(nil, fmt.Errorf("open %s: %w", flow.Quarantine, err))
			return
		}
		for _, key := range slices.Compact(slices.Sorted(slices.Values(s.Keys))) {
			n := number(Quarantined, key)
			if n == 0 {
				continue
			}
			m, err := stream.GetMsg(ctx, n)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
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
	all, err := o.heldBy(ctx, w.Selection)
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
		if count++; !w.keeps(count) {
			continue
		}
		t.row(Row{Stage: i.Stage, What: i.About}, i.person)
		looks.Go(func() error { return t.held(ctx, o, h) })
	}
	if err := looks.Wait(); err != nil {
		return err
	}
	if w.Plan.Action == Release {
		if err := w.tooMany(count); err != nil {
			return err
		}
	}
	t.miss(w, named)
	slices.SortFunc(w.Items, func(a, b frozen) int { return order(a.Key, b.Key) })
	t.into(&w.Plan)
	return nil
}

// mostHeld is the number of held messages up to which a plan reads each by its key: 0.2 s. For more, one pass takes less time.
const mostHeld = 5000

// heldBy returns the held messages that a selection may have. If it names them, or if the board knows that they are few, it reads only these.
func (o *Operator) heldBy(ctx context.Context, s Selection) ([]notification.Held, error) {
	var keys []string
	for _, key := range s.Keys {
		if key, is := strings.CutPrefix(key, string(Held)+"."); is && !strings.ContainsAny(key, "*> ") {
			keys = append(keys, key)
		}
	}
	kept := len(s.Keys) > 0
	if !kept && o.Remember {
		var err error
		if kept, err = o.board.refresh(ctx, o.JS, Filter{What: Held}); err != nil {
			return nil, err
		}
		f := s.Filter
		f.What = Held
		o.board.each(f, func(i Item) bool {
			keys = append(keys, strings.TrimPrefix(i.Key, string(Held)+"."))
			return len(keys) <= mostHeld
		})
	}
	if !kept || len(keys) > mostHeld {
		return notification.HeldMessages(ctx, o.JS)
	}
	return notification.HeldWith(ctx, o.JS, keys...)
}

func channelKey(channel string) string { return "channel." + channel }

func hashOfHeld(h notification.Held) string {
	return contentHash([]byte(h.ID), []byte(h.Reason), []byte(strconv.FormatBool(h.Limit)), []byte(h.Since.UTC().Format(time.RFC3339Nano)))
}

// hashOf returns the hash of an address; 0 for none.
func hashOf(address string) uint64 {
	if address == "" {
		return 0
	}
	return personHash(address)
}

// tally counts what would happen with the messages of a plan.
type tally struct {
	operator *Operator
	foresee  notification.Foresight
	released bool // the messages are released, so that the present holds do not count

	mu      sync.Mutex
	rows    []Row
	inRow   map[Row]people // by the row without its counts
	leaves  map[string]*Leaving
	on      map[string]people // by channel
	all     people
	staying map[Staying]int // with Count 0
	again   map[Staying]int
	seen    map[string]bool // ids of messages
	waits   int
	events  int
	unknown int
	looked  int // messages whose fate was looked up
	blind   int // messages whose fate was not looked up
	predict bool
}

func (o *Operator) newTally(ctx context.Context, predict bool) (*tally, error) {
	t := &tally{
		operator: o, predict: predict, inRow: map[Row]people{}, leaves: map[string]*Leaving{}, on: map[string]people{}, all: people{},
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
	t.row(Row{Stage: l.Stage, What: what}, hashOf(a.Person))
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
	blind := !repeated && t.looked >= MostItems
	switch {
	case blind:
		t.blind++
		t.leave(channel, n, personHash(personOf(n)))
	case !repeated:
		t.looked++
	}
	t.mu.Unlock()
	if repeated {
		t.stay(channel, StaysRepeated, 1)
	}
	if repeated || blind {
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
		t.leave(channel, n, personHash(personOf(n)))
		if !fate.Until.IsZero() {
			t.waits++
		}
	}
	return nil
}

// leave counts a message that leaves; n may be nil if the message is not made yet.
func (t *tally) leave(channel string, n *notifyv1.Notification, who uint64) {
	l := t.leaves[channel]
	if l == nil {
		l = &Leaving{Channel: channel}
		if isText(channel) {
			l.Cost = &prices.Cost{}
		}
		t.leaves[channel], t.on[channel] = l, people{}
	}
	l.Messages++
	if who != 0 {
		t.on[channel].add(who)
		t.all.add(who)
	}
	if l.Cost != nil {
		t.operator.cost(l.Cost, n)
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
	t.leave(h.Channel, nil, personHash(h.Source, h.Provider, h.Document, h.Person()))
	return nil
}

// row counts an item in a row, of which only the words are given.
func (t *tally) row(is Row, person uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.rows, func(r Row) bool { return r.Stage == is.Stage && r.Source == is.Source && r.What == is.What })
	if i < 0 {
		i = len(t.rows)
		t.rows = append(t.rows, is)
		t.inRow[is] = people{}
	}
	t.rows[i].Count++
	if person != 0 {
		t.inRow[is].add(person)
	}
}

// miss counts the chosen keys that are not stuck any more.
func (t *tally) miss(w *work, named map[string]bool) {
	w.Plan.Missing = slices.Sorted(maps.Keys(named))
	t.stay("", StaysGone, len(named))
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
		r.People = len(t.inRow[Row{Stage: r.Stage, Source: r.Source, What: r.What}])
		p.Rows = append(p.Rows, r)
	}
	slices.SortFunc(p.Rows, func(a, b Row) int {
		return cmp.Or(stagePlace(a.Stage)-stagePlace(b.Stage), strings.Compare(a.Stage, b.Stage), strings.Compare(a.Source, b.Source),
			strings.Compare(a.What, b.What))
	})
	for _, channel := range event.ChannelNames() {
		if l := t.leaves[channel]; l != nil {
			l.People = len(t.on[channel])
			p.Leaves = append(p.Leaves, *l)
		}
	}
	p.People, p.Events, p.Waits, p.Unknown, p.Unforeseen = len(t.all), t.events, t.waits, t.unknown, t.blind
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
