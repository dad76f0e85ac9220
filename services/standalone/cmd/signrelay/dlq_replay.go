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
	all, err := selectedDeadLetters(ctx, deadLetters, s, func(l stage.DeadLetter) stage.DeadLetter {
		p.add(l)
		return withoutContent(l)
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
	deadLetter, err := deadLetters.Again(ctx, planned)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return stepError{errors.New("it is no longer in the DLQ")}
	}
	if err != nil {
		return fmt.Errorf("number %d is not replayed: %w", planned.Number, err)
	}
	requested, err := replayRequested(ctx, deadLetter, time.Now())
	if err != nil {
		return fmt.Errorf("number %d is not replayed: %w", planned.Number, err)
	}
	return deadLetters.Replay(ctx, deadLetter, requested)
}

// replayRequested makes the event replay.requested: an operator sends a dead letter back to its stage. Each replay has one id, even if the
// command is repeated.
func replayRequested(ctx context.Context, l stage.DeadLetter, at time.Time) (*nats.Msg, error) {
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
		p.gone = append(p.gone, withoutContent(l))
		return
	}
	p.n++
	if l.Unknown {
		p.unknown++
	}
	a := aboutOf(l)
	i := slices.IndexFunc(p.rows, func(r *deadLetterRow) bool { return r.stage == l.Stage && r.what == a.what })
	if i < 0 {
		i = len(p.rows)
		p.rows = append(p.rows, &deadLetterRow{stage: l.Stage, what: a.what, people: map[string]bool{}})
	}
	p.rows[i].deadLetters++
	if a.person != "" {
		p.rows[i].people[a.person] = true
	}
	switch {
	case len(a.channels) > 0:
		if p.messages == nil {
			p.messages = map[string]int{}
		}
		for _, channel := range a.channels {
			p.messages[channel]++
		}
	case l.Stage == flow.Enricher && a.what != "":
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
