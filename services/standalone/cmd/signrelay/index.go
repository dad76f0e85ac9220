package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/index"
	"github.com/signrelay/signrelay/services/indexer"
	indexsettings "github.com/signrelay/signrelay/services/indexer/settings"
	"github.com/signrelay/signrelay/services/standalone"
)

func indexStatusFlags(fs *flag.FlagSet) {
	fs.Bool("json", false, "print the status as one JSON object")
}

var errNoIndex = errors.New("the settings have no search index: set index.url")

// openIndex opens the index of the settings. It waits for no other process.
func openIndex(ctx context.Context, c *call) (*index.Index, error) {
	is := indexsettings.Section.Of(standalone.WithIndex(c.cfg))
	if !is.On() {
		return nil, errNoIndex
	}
	return index.Open(ctx, is.URL)
}

// indexStatus is the status as --json prints it.
type indexStatus struct {
	Position   uint64    `json:"position"`   // the sequence of the last event that is in the index
	PositionAt time.Time `json:"positionAt"` // when that event was stored
	LogLast    uint64    `json:"logLast"`    // the sequence of the log's last event
	LagEvents  uint64    `json:"lagEvents"`
	LagSeconds float64   `json:"lagSeconds"` // the age of the first event that is missing; 0 without one
	Documents  int64     `json:"documents"`
	People     int64     `json:"people"`
	Bytes      int64     `json:"bytes"`
}

func indexStatusCommand(ctx context.Context, c *call) error {
	if len(c.args) > 0 {
		return usageError{"takes no arguments, only flags"}
	}
	if is := indexsettings.Section.Of(standalone.WithIndex(c.cfg)); is.On() && index.Missing(is.URL) {
		return errors.New("there is no index at index.url: the indexer creates it when it starts")
	}
	i, err := openIndex(ctx, c)
	if err != nil {
		return err
	}
	defer func() { _ = i.Close() }()
	env, done, err := open(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	at, err := i.Status(ctx)
	if err != nil {
		return err
	}
	lag, err := indexer.Behind(ctx, event.Log{JS: env.JS, Stream: flow.Signing}, at.Position, env.Now())
	if err != nil {
		return err
	}
	s := indexStatus{at.Sequence, at.At, lag.Last, lag.Events, lag.For.Seconds(), at.Documents, at.People, at.Bytes}
	if c.json() {
		return printJSON(c.stdout, s)
	}
	for _, row := range [][2]string{
		{"position", fmt.Sprintf("event %d of %d", s.Position, s.LogLast)},
		{"behind", fmt.Sprintf("%s, %s", count(int(s.LagEvents), "event"), lag.For.Round(time.Millisecond))},
		{"documents", strconv.FormatInt(s.Documents, 10)},
		{"people", strconv.FormatInt(s.People, 10)},
		{"size", fmt.Sprintf("%.1f MB", float64(s.Bytes)/1e6)},
	} {
		if err := c.say("%-10s %s", row[0], row[1]); err != nil {
			return err
		}
	}
	return nil
}

// rebuildMemory is the soft limit of Go's memory during a rebuild. SQLite has 100 MiB of its own.
const rebuildMemory = 112 << 20

// indexRebuild builds the index again. An interrupt leaves the old one.
func indexRebuild(ctx context.Context, c *call) error {
	if len(c.args) > 0 {
		return usageError{"takes no arguments, only flags"}
	}
	i, err := openIndex(ctx, c)
	if err != nil {
		return err
	}
	defer func() { _ = i.Close() }()
	env, done, err := open(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(rebuildMemory))
	began := time.Now()
	bar := progressBar{c: c, began: began}
	err = indexer.Rebuild(ctx, env.JS, i, bar.show)
	bar.end()
	switch {
	case err != nil && ctx.Err() != nil:
		return errors.New("interrupted: the old index is unchanged and in use; run the command again")
	case err != nil:
		return err
	}
	at, err := i.Status(ctx)
	if err != nil {
		return err
	}
	return c.say("Done in %s: %s, up to event %d. Searches use the new index.", time.Since(began).Round(time.Second), count(int(at.Documents), "document"), at.Sequence)
}

// progressBar shows the progress of a rebuild: on a terminal on one line, elsewhere a line every 5 s.
type progressBar struct {
	c       *call
	began   time.Time
	step    string
	stepAt  time.Time
	printed time.Time
	open    bool // the line on the terminal has no end yet
}

func (b *progressBar) show(p indexer.Progress) {
	now := time.Now()
	interval := progressInterval
	if b.c.terminal {
		interval = 200 * time.Millisecond
	}
	if p.Step != b.step {
		b.step, b.stepAt = p.Step, now
	} else if now.Sub(b.printed) < interval && p.Done < p.All {
		return
	}
	b.printed = now
	const width = 30
	filled := width * p.Done / max(p.All, 1)
	rate := float64(p.Done) / max(now.Sub(b.stepAt).Seconds(), 0.001)
	left := time.Duration(float64(p.All-p.Done)/max(rate, 0.001)) * time.Second
	what := map[string]string{indexer.StepEvents: "events", indexer.StepWords: "blocks of words"}[p.Step]
	line := fmt.Sprintf("[%s%s] %3d%%  %d of %d %s, %.0f a second, about %s left", strings.Repeat("=", filled), strings.Repeat(" ", width-filled),
		100*p.Done/max(p.All, 1), p.Done, p.All, what, rate, left)
	if b.c.terminal {
		fmt.Fprintf(b.c.raw, "\r%s\x1b[K", line)
		b.open = true
		return
	}
	fmt.Fprintln(b.c.stderr, line)
}

func (b *progressBar) end() {
	if b.open {
		fmt.Fprintln(b.c.raw)
	}
}
