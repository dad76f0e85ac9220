package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/printable"
	"github.com/signrelay/signrelay/libs/stage"
)

const dlqListing = "signrelay dlq list"

// dlqSelectionFlags select dead letters.
func dlqSelectionFlags(fs *flag.FlagSet) {
	oneOfFlag(fs, "stage", stageNames(), "only dead letters of this `stage`")
	selectionFlags(fs)
}

func dlqListFlags(fs *flag.FlagSet) {
	jsonFlag(fs)
	dlqSelectionFlags(fs)
}

func dlqShowFlags(fs *flag.FlagSet) {
	fs.Bool("body", false, "print only the body, byte for byte; on a terminal, control characters are escaped")
}

// deadLetter is a dead letter in a listing.
type deadLetter struct {
	Number   uint64    `json:"number"`
	Stage    string    `json:"stage"`
	Reason   string    `json:"reason"`
	Error    string    `json:"error,omitempty"`
	Fault    string    `json:"fault,omitempty"` // the fault: recipient, operator, provider or ours
	Attempts int       `json:"attempts"`
	Replays  int       `json:"replays"`
	Unknown  bool      `json:"unknown"` // it is unknown whether its effect happened
	Gone     bool      `json:"gone"`    // its stream no longer has it, so it cannot be replayed
	First    time.Time `json:"first_seen"`
	Buried   time.Time `json:"buried_at"`
	Stream   string    `json:"stream"`
	Sequence uint64    `json:"sequence"`
	Subject  string    `json:"subject"`
	Source   string    `json:"source"`
	Provider string    `json:"provider"`
	About    string    `json:"about"`
	Bytes    int       `json:"bytes"`
}

func describeDeadLetter(l stage.DeadLetter) deadLetter {
	a := operate.AboutOf(l)
	return deadLetter{
		Number: l.Number, Stage: l.Stage, Reason: l.Reason, Error: l.Error, Fault: l.Fault, Attempts: l.Attempts, Replays: l.Replays,
		Unknown: l.Unknown, Gone: l.Gone, First: l.FirstSeen, Buried: l.Buried, Stream: l.Stream, Sequence: l.Sequence,
		Subject: l.Subject, Source: a.Source, Provider: a.Provider, About: a.What, Bytes: len(l.Data),
	}
}

func dlqList(ctx context.Context, c *call) error {
	s := c.selection()
	js, done, err := connect(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	all, err := operate.SelectedDeadLetters(ctx, stage.DeadLetters{JS: js}, s.filter(operate.Dead).HasDead, describeDeadLetter)
	if err != nil {
		return err
	}
	for _, b := range all {
		if c.json() {
			if err := printJSON(c.stdout, b); err != nil {
				return err
			}
			continue
		}
		err = c.say("%-6d %s  %-12s  %-22s  %-24s  %4d attempts  %s", b.Number, b.Buried.UTC().Format(time.RFC3339), b.Stage,
			b.Source+"/"+b.Provider, b.About, b.Attempts, strings.TrimSuffix(b.Reason+": "+b.Error, ": "))
		if err != nil {
			return err
		}
	}
	if len(all) == 0 {
		fmt.Fprintln(c.stderr, "No dead letters match")
	}
	return nil
}

func dlqShow(ctx context.Context, c *call) error {
	text, err := c.argument("a number from `" + dlqListing + "`")
	if err != nil {
		return err
	}
	wanted, err := number(text, dlqListing)
	if err != nil {
		return err
	}
	js, done, err := connect(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	deadLetter, err := stage.DeadLetters{JS: js}.One(ctx, wanted)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return fmt.Errorf("not in the DLQ: number %d", wanted)
	case err != nil:
		return err
	case value[bool](c, "body"):
		_, err = c.raw.Write(deadLetter.Data)
		return err
	}
	return c.showDeadLetter(deadLetter)
}

// showDeadLetter prints everything except the body, which contains names, addresses and links.
func (c *call) showDeadLetter(l stage.DeadLetter) error {
	b := describeDeadLetter(l)
	for _, line := range []struct {
		name  string
		value any
	}{
		{"number", b.Number},
		{"stage", b.Stage},
		{"reason", b.Reason},
		{"error", b.Error},
		{"fault", b.Fault},
		{"stack", l.Stack},
		{"attempts", b.Attempts},
		{"replays", b.Replays},
		{"outcome", map[bool]string{true: "unknown"}[b.Unknown]},
		{"first seen", b.First.UTC().Format(time.RFC3339)},
		{"buried", b.Buried.UTC().Format(time.RFC3339)},
		{"source", b.Source + "/" + b.Provider},
		{"about", b.About},
		{"message", fmt.Sprintf("%d in %s, %d bytes", b.Sequence, b.Stream, b.Bytes)},
		{"gone", map[bool]string{true: "its stream no longer has the message"}[b.Gone]},
		{"subject", b.Subject},
	} {
		if value := fmt.Sprint(line.value); value != "" {
			shown := printable.Line(value)
			if line.name == "stack" {
				shown = printable.Lines(value)
			}
			if _, err := fmt.Fprintf(c.stdout, "%-11s %s\n", line.name+":", shown); err != nil {
				return err
			}
		}
	}
	return errors.Join(c.say(""), c.sayHeader(l.Header))
}

func dlqDrop(ctx context.Context, c *call) error {
	s, err := c.selectedNumbers(dlqListing)
	if err != nil {
		return err
	}
	env, done, err := open(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	p, err := c.prepare(ctx, env, operate.Drop, s.selects(operate.Dead))
	if err != nil {
		return err
	}
	failed := missing(p.Plan, "the DLQ")
	if p.Items == 0 {
		return failed
	}
	if err := p.Begin(ctx); err != nil {
		return err
	}
	for i := range p.Items {
		done, err := p.Do(ctx, i)
		switch {
		case err != nil:
			failed = errors.Join(failed, err)
		case done.Gone:
			failed = errors.Join(failed, fmt.Errorf("not in the DLQ: %s", p.Name(i)))
		default:
			fmt.Fprintf(c.stdout, "%s is dropped\n", p.Name(i))
		}
	}
	return failed
}
