package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

func dlqReplayFlags(fs *flag.FlagSet) {
	dlqSelectionFlags(fs)
	fs.Bool("all", false, "all of them")
	stepFlags(fs, "replay")
}

// dlqReplay reads the DLQ once for its plan. What becomes a dead letter after that was not announced, and is not replayed.
func dlqReplay(ctx context.Context, c *call) error {
	s, err := c.selectionToReplay(dlqListing)
	if err != nil {
		return err
	}
	js, done, err := connect(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	letters := stage.DeadLetters{JS: js}
	var p letterPlan
	all, err := selectedLetters(ctx, letters, s, func(l stage.DeadLetter) stage.DeadLetter {
		p.add(l)
		return withoutContent(l)
	})
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(slices.Clone(all), func(l stage.DeadLetter) bool { return l.Gone })
	left := missingLetters(s, append(slices.Clone(all), p.gone...))
	if len(p.gone) > 0 {
		numbers := make([]uint64, len(p.gone))
		for i, l := range p.gone {
			numbers[i] = l.Number
		}
		slices.Sort(numbers)
		left = errors.Join(left, fmt.Errorf("not replayed, because their streams hold them no longer: %s", listed(numbers)))
	}
	if len(all) == 0 {
		fmt.Fprintln(c.stdout, "Nothing to replay.")
		return left
	}
	steps := make([]step, len(all))
	for i, letter := range all {
		steps[i] = step{fmt.Sprintf("number %d", letter.Number), func(ctx context.Context) (string, error) { return "", replayLetter(ctx, letters, letter) }}
	}
	return errors.Join(c.confirmed(ctx, p.plan(), "replayed", steps), left)
}

func replayLetter(ctx context.Context, letters stage.DeadLetters, planned stage.DeadLetter) error {
	letter, err := letters.Again(ctx, planned)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return stayError{errors.New("the DLQ does not hold it any more")}
	}
	if err != nil {
		return fmt.Errorf("number %d is not replayed: %w", planned.Number, err)
	}
	told, err := requested(ctx, letter, time.Now())
	if err != nil {
		return fmt.Errorf("number %d is not replayed: %w", planned.Number, err)
	}
	return letters.Replay(ctx, letter, told)
}

// requested is what the log hears: that an operator gave a dead letter back to its stage. Its id is one for each replay,
// however often that is begun.
func requested(ctx context.Context, l stage.DeadLetter, at time.Time) (*nats.Msg, error) {
	replay, a := strconv.Itoa(l.Replays+1), aboutOf(l)
	e := &signingv1.SigningEvent{
		Id: event.DerivedID(l.ID, l.Stage, "replay/"+replay), Source: a.source, Provider: a.provider, Type: event.ReplayRequested,
		OccurredAt: timestamppb.New(at), Verification: signingv1.Verification_VERIFICATION_INTERNAL,
		Attributes: map[string]string{"stage": l.Stage, "reason": l.Reason, "replay": replay, "input": l.ID, "about": a.what},
	}
	if a.document != "" {
		e.Document = &signingv1.Document{Id: a.document}
	}
	if a.recipient != "" {
		e.Recipient = &signingv1.Recipient{Id: a.recipient}
	}
	return event.Message(ctx, e)
}

// letterPlan is what a replay of dead letters will do, in counts.
type letterPlan struct {
	n        int
	gone     []stage.DeadLetter
	unknown  int
	events   int            // for the enricher, which makes messages of them
	messages map[string]int // by channel
	rows     []*letterRow
}

// letterRow is what one stage gets of one kind.
type letterRow struct {
	stage, what string
	letters     int
	people      map[string]bool
}

func (p *letterPlan) add(l stage.DeadLetter) {
	if l.Gone {
		p.gone = append(p.gone, withoutContent(l))
		return
	}
	p.n++
	if l.Unknown {
		p.unknown++
	}
	a := aboutOf(l)
	i := slices.IndexFunc(p.rows, func(r *letterRow) bool { return r.stage == l.Stage && r.what == a.what })
	if i < 0 {
		i = len(p.rows)
		p.rows = append(p.rows, &letterRow{stage: l.Stage, what: a.what, people: map[string]bool{}})
	}
	p.rows[i].letters++
	if a.person != "" {
		p.rows[i].people[a.person] = true
	}
	switch {
	case a.channel != "":
		if p.messages == nil {
			p.messages = map[string]int{}
		}
		p.messages[a.channel]++
	case l.Stage == flow.Enricher && a.what != "":
		p.events++
	}
}

func (p *letterPlan) plan() plan {
	made := plan{heading: fmt.Sprintf("To replay: %s, each to the stage that gave it up and to no other", count(p.n, "dead letter"))}
	place := func(r *letterRow) int {
		return slices.IndexFunc(flow.Stages, func(s flow.Stage) bool { return s.Name == r.stage })
	}
	slices.SortFunc(p.rows, func(a, b *letterRow) int { return cmp.Or(place(a)-place(b), strings.Compare(a.what, b.what)) })
	for _, r := range p.rows {
		made.rows = append(made.rows, planRow{r.stage, r.letters, r.says()})
	}
	made.costs = append(made.costs, p.leaving())
	if p.unknown > 0 {
		made.costs = append(made.costs, fmt.Sprintf(
			"The outcome of %d is unknown: the log is asked first, and a message that is sent again is marked as a possible duplicate.", p.unknown))
	}
	return made
}

// leaving is how many messages a replay sends at most.
func (p *letterPlan) leaving() string {
	var parts []string
	for _, channel := range slices.Sorted(maps.Keys(p.messages)) {
		parts = append(parts, fmt.Sprintf("%d by %s", p.messages[channel], channel))
	}
	if p.events > 0 {
		parts = append(parts, "those that follow from "+count(p.events, "event"))
	}
	if len(parts) == 0 {
		return "No messages leave."
	}
	return "Messages may leave again: " + strings.Join(parts, ", ") + "."
}

func (r *letterRow) says() string {
	switch {
	case r.what == "":
		return "unreadable"
	case r.stage == flow.KafkaBridge:
		return r.what + ", to Kafka"
	case len(r.people) == 0:
		return r.what + ", to the people that the provider then names"
	default:
		return r.what + ", to " + count(len(r.people), "person")
	}
}
