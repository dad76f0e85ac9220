package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/stage"
)

func dlqReplayFlags(fs *flag.FlagSet) {
	dlqSelectionFlags(fs)
	fs.Bool("all", false, "replay all")
	stepFlags(fs, "replay")
}

// dlqReplay reads the DLQ once for its plan. Later dead letters are not in the plan and are not replayed.
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
	deadLetters := stage.DeadLetters{JS: js}
	var p deadLetterPlan
	all, err := operate.SelectedDeadLetters(ctx, deadLetters, s.deadLetters(), func(l stage.DeadLetter) stage.DeadLetter {
		p.add(l)
		return operate.WithoutContent(l)
	})
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(slices.Clone(all), func(l stage.DeadLetter) bool { return l.Gone })
	left := missingDeadLetters(s, append(slices.Clone(all), p.gone...))
	if len(p.gone) > 0 {
		numbers := make([]uint64, len(p.gone))
		for i, l := range p.gone {
			numbers[i] = l.Number
		}
		slices.Sort(numbers)
		left = errors.Join(left, fmt.Errorf("not replayed, because their streams no longer have them: %s", listed(numbers)))
	}
	if len(all) == 0 {
		fmt.Fprintln(c.stdout, "Nothing to replay.")
		return left
	}
	steps := make([]step, len(all))
	for i, deadLetter := range all {
		steps[i] = step{fmt.Sprintf("number %d", deadLetter.Number), func(ctx context.Context) (string, error) { return "", replayDeadLetter(ctx, deadLetters, deadLetter) }}
	}
	return errors.Join(c.runPlan(ctx, p.plan(), "replayed", steps), left)
}

func replayDeadLetter(ctx context.Context, deadLetters stage.DeadLetters, planned stage.DeadLetter) error {
	err := operate.ReplayDeadLetter(ctx, deadLetters, planned, operate.Order{}, time.Now())
	if errors.Is(err, operate.ErrGone) {
		return stepError{err}
	}
	if err != nil {
		return fmt.Errorf("number %d is not replayed: %w", planned.Number, err)
	}
	return nil
}

// replayRequested makes the event replay.requested of a replay that this command does.
func replayRequested(ctx context.Context, l stage.DeadLetter, at time.Time) (*nats.Msg, error) {
	return operate.ReplayRequested(ctx, l, operate.Order{}, at)
}

// deadLetterPlan counts the effects of a replay of dead letters.
type deadLetterPlan struct {
	n        int
	gone     []stage.DeadLetter
	unknown  int
	events   int            // events for the enricher, which makes messages from them
	messages map[string]int // by channel
	rows     []*deadLetterRow
}

// deadLetterRow counts the dead letters of one stage and one type.
type deadLetterRow struct {
	stage, what string
	deadLetters int
	people      map[string]bool
}

func (p *deadLetterPlan) add(l stage.DeadLetter) {
	if l.Gone {
		p.gone = append(p.gone, operate.WithoutContent(l))
		return
	}
	p.n++
	if l.Unknown {
		p.unknown++
	}
	a := operate.AboutOf(l)
	i := slices.IndexFunc(p.rows, func(r *deadLetterRow) bool { return r.stage == l.Stage && r.what == a.What })
	if i < 0 {
		i = len(p.rows)
		p.rows = append(p.rows, &deadLetterRow{stage: l.Stage, what: a.What, people: map[string]bool{}})
	}
	p.rows[i].deadLetters++
	if a.Person != "" {
		p.rows[i].people[a.Person] = true
	}
	switch {
	case len(a.Channels) > 0:
		if p.messages == nil {
			p.messages = map[string]int{}
		}
		for _, channel := range a.Channels {
			p.messages[channel]++
		}
	case l.Stage == flow.Enricher && a.What != "":
		p.events++
	}
}

func (p *deadLetterPlan) plan() plan {
	made := plan{heading: fmt.Sprintf("To replay: %s, each only to the stage that gave it up", count(p.n, "dead letter"))}
	position := func(r *deadLetterRow) int {
		return slices.IndexFunc(flow.Stages, func(s flow.Stage) bool { return s.Name == r.stage })
	}
	slices.SortFunc(p.rows, func(a, b *deadLetterRow) int { return cmp.Or(position(a)-position(b), strings.Compare(a.what, b.what)) })
	for _, r := range p.rows {
		made.rows = append(made.rows, planRow{r.stage, r.deadLetters, r.text()})
	}
	made.effects = append(made.effects, p.messagesSent())
	if p.unknown > 0 {
		made.effects = append(made.effects, fmt.Sprintf(
			"The outcome of %d is unknown: the stage checks the log first, and marks a message that it sends again as a possible duplicate.", p.unknown))
	}
	return made
}

// messagesSent describes the maximum number of messages of a replay.
func (p *deadLetterPlan) messagesSent() string {
	var parts []string
	for _, channel := range slices.Sorted(maps.Keys(p.messages)) {
		parts = append(parts, fmt.Sprintf("%d by %s", p.messages[channel], channel))
	}
	if p.events > 0 {
		parts = append(parts, "those for "+count(p.events, "event"))
	}
	if len(parts) == 0 {
		return "No messages are sent."
	}
	return "Messages may be sent again: " + strings.Join(parts, ", ") + "."
}

func (r *deadLetterRow) text() string {
	switch {
	case r.what == "":
		return "unreadable"
	case r.stage == flow.KafkaBridge:
		return r.what + ", to Kafka"
	case len(r.people) == 0:
		return r.what + ", for the recipients that the provider returns"
	default:
		return r.what + ", to " + count(len(r.people), "person")
	}
}
