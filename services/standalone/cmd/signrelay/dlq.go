package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/printable"
	"github.com/signrelay/signrelay/libs/stage"
)

const dlqListing = "signrelay dlq list"

// whichFlags choose among the dead letters.
func whichFlags(fs *flag.FlagSet) {
	fs.String("stage", "", "only those that this stage gave up")
	fs.String("reason", "", "only those given up for this reason")
	fs.String("source", "", "only those of this source")
	sinceFlag(fs, "only those given up since so long ago, e.g. 24h or 7d")
}

func dlqListFlags(fs *flag.FlagSet) {
	jsonFlag(fs)
	whichFlags(fs)
}

func dlqShowFlags(fs *flag.FlagSet) {
	fs.Bool("body", false, "the body alone, byte for byte; on a terminal, control characters are escaped")
}

// which is a choice of dead letters.
type which struct {
	numbers               map[uint64]bool // nil for any
	stage, reason, source string
	since                 time.Time
}

func (w which) has(l stage.Letter) bool {
	return (w.numbers == nil || w.numbers[l.Number]) && (w.stage == "" || w.stage == l.Stage) && (w.reason == "" || w.reason == l.Reason) &&
		(w.source == "" || w.source == aboutOf(l).source) && !l.Buried.Before(w.since)
}

// which reads the flags.
func (c *call) which() (w which, err error) {
	w = which{stage: c.flag("stage"), reason: c.flag("reason"), source: c.flag("source")}
	if w.stage != "" && !slices.ContainsFunc(flow.Stages, func(s flow.Stage) bool { return s.Name == w.stage }) {
		return w, usageError{fmt.Sprintf("no stage %q", w.stage)}
	}
	w.since, err = c.since()
	return w, err
}

// whichNumbers reads the arguments.
func (c *call) whichNumbers() (which, error) {
	w := which{numbers: map[uint64]bool{}}
	for _, text := range c.args {
		number, err := number(text, dlqListing)
		if err != nil {
			return w, err
		}
		w.numbers[number] = true
	}
	if len(w.numbers) == 0 {
		return w, usageError{"wants numbers from `" + dlqListing + "`"}
	}
	return w, nil
}

// chosen yields the letters of a choice. A number that is not there is an error, after those that are.
func chosen(ctx context.Context, letters stage.Letters, w which) iter.Seq2[stage.Letter, error] {
	return func(yield func(stage.Letter, error) bool) {
		missing := maps.Clone(w.numbers)
		var all []stage.Letter
		for letter, err := range letters.All(ctx) {
			if err != nil {
				yield(letter, err)
				return
			}
			if w.has(letter) {
				all = append(all, letter)
			}
		}
		for _, letter := range all { // what drops a letter wants a pass that has ended
			delete(missing, letter.Number)
			if !yield(letter, nil) {
				return
			}
		}
		if len(missing) > 0 {
			yield(stage.Letter{}, fmt.Errorf("the DLQ holds no number %s", listed(slices.Sorted(maps.Keys(missing)))))
		}
	}
}

func listed(numbers []uint64) string { return strings.Trim(fmt.Sprint(numbers), "[]") }

// buried is a dead letter, as it is listed.
type buried struct {
	Number   uint64    `json:"number"`
	Stage    string    `json:"stage"`
	Reason   string    `json:"reason"`
	Error    string    `json:"error,omitempty"`
	Fault    string    `json:"fault,omitempty"` // whose: recipient, operator, provider or ours
	Attempts int       `json:"attempts"`
	Replays  int       `json:"replays"`
	Unknown  bool      `json:"unknown"` // whether its effect happened
	Gone     bool      `json:"gone"`    // so that it cannot be replayed
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

func describeLetter(l stage.Letter) buried {
	a := aboutOf(l)
	return buried{
		Number: l.Number, Stage: l.Stage, Reason: l.Reason, Error: l.Error, Fault: l.Fault, Attempts: l.Attempts, Replays: l.Replays,
		Unknown: l.Unknown, Gone: l.Gone, First: l.FirstSeen, Buried: l.Buried, Stream: l.Stream, Sequence: l.Sequence,
		Subject: l.Subject, Source: a.source, Provider: a.provider, About: a.what, Bytes: len(l.Data),
	}
}

func dlqList(ctx context.Context, c *call) error {
	w, err := c.which()
	if err != nil {
		return err
	}
	js, done, err := connect(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	none := true
	for letter, err := range chosen(ctx, stage.Letters{JS: js}, w) {
		if err != nil {
			return err
		}
		none = false
		b := describeLetter(letter)
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
	if none {
		fmt.Fprintln(c.stderr, "No such dead letters")
	}
	return nil
}

func dlqShow(ctx context.Context, c *call) error {
	text, err := c.only("a number from `" + dlqListing + "`")
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
	for letter, err := range chosen(ctx, stage.Letters{JS: js}, which{numbers: map[uint64]bool{wanted: true}}) {
		if err != nil {
			return err
		}
		if c.flag("body") == "true" {
			_, err = c.raw.Write(letter.Data)
			return err
		}
		return c.showLetter(letter)
	}
	return nil
}

// showLetter prints all but the body, which holds names, addresses and links.
func (c *call) showLetter(l stage.Letter) error {
	b := describeLetter(l)
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
		{"gone", map[bool]string{true: "its stream holds it no longer"}[b.Gone]},
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
	w, err := c.whichNumbers()
	if err != nil {
		return err
	}
	js, done, err := connect(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	letters := stage.Letters{JS: js}
	var failed error
	for letter, err := range chosen(ctx, letters, w) {
		if err == nil {
			err = letters.Drop(ctx, letter)
		}
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		fmt.Fprintf(c.stdout, "number %d is dropped\n", letter.Number)
	}
	return failed
}
