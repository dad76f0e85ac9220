package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/printable"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

func dlqReplayFlags(fs *flag.FlagSet) {
	whichFlags(fs)
	fs.Bool("all", false, "all of them")
	fs.Bool("yes", false, "do it without asking")
	fs.Int("rate", 10, "replay at most so many a second")
}

// dlqReplay says what it will do, asks, and does it.
func dlqReplay(ctx context.Context, c *call) error {
	w, err := c.whichToReplay()
	if err != nil {
		return err
	}
	rate, err := strconv.Atoi(c.flag("rate"))
	if err != nil || rate < 1 || rate > 1000 {
		return usageError{"--rate is a number from 1 to 1000"}
	}
	js, done, err := connect(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	letters := stage.Letters{JS: js}
	p := plan{}
	for letter, err := range chosen(ctx, letters, w) {
		if err != nil {
			return err
		}
		p.add(letter)
	}
	p.print(c.stdout, rate)
	if len(p.numbers) > 0 {
		if err := c.agreed(ctx); err != nil {
			return err
		}
		// The choice is made: what has died since then was not announced.
		if err := c.replay(ctx, letters, which{numbers: p.numbers}, rate); err != nil {
			return err
		}
	}
	if len(p.gone) > 0 {
		return fmt.Errorf("not replayed, because their streams hold them no longer: %s", listed(p.gone))
	}
	return nil
}

// whichToReplay reads numbers, or flags, or --all: exactly one of them.
func (c *call) whichToReplay() (which, error) {
	w, err := c.which()
	if err != nil {
		return w, err
	}
	flags := w.stage != "" || w.reason != "" || w.source != "" || !w.since.IsZero()
	all := c.flag("all") == "true"
	switch {
	case len(c.args) > 0 && !flags && !all:
		return c.whichNumbers()
	case len(c.args) == 0 && flags != all:
		return w, nil
	default:
		return w, usageError{"wants numbers from `" + dlqListing + "`, or flags that choose, or --all"}
	}
}

// replay replays the chosen ones at a bounded rate, and stops at the first that fails: the next would fail too.
func (c *call) replay(ctx context.Context, letters stage.Letters, w which, rate int) error {
	turn := time.NewTicker(time.Second / time.Duration(rate))
	defer turn.Stop()
	for letter, err := range chosen(ctx, letters, w) {
		if err != nil {
			return err
		}
		told, err := requested(ctx, letter, time.Now())
		if err != nil {
			return err
		}
		if err := letters.Replay(ctx, letter, told); err != nil {
			return err
		}
		fmt.Fprintf(c.stdout, "number %d is replayed\n", letter.Number)
		select {
		case <-turn.C:
		case <-ctx.Done():
			return errors.New("stopped; what was not replayed is still in the DLQ")
		}
	}
	return nil
}

// requested is what the log hears: that an operator gave a dead letter back to its stage. Its id is one for each replay,
// however often that is begun.
func requested(ctx context.Context, l stage.Letter, at time.Time) (*nats.Msg, error) {
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

// plan is what a replay will do, in counts: it names nobody.
type plan struct {
	numbers map[uint64]bool
	gone    []uint64
	unknown int
	rows    []*row
}

// row is what one stage gets of one sort.
type row struct {
	stage, what string
	letters     int
	people      map[string]bool
}

func (p *plan) add(l stage.Letter) {
	if l.Gone {
		p.gone = append(p.gone, l.Number)
		return
	}
	if p.numbers == nil {
		p.numbers = map[uint64]bool{}
	}
	p.numbers[l.Number] = true
	if l.Unknown {
		p.unknown++
	}
	a := aboutOf(l)
	i := slices.IndexFunc(p.rows, func(r *row) bool { return r.stage == l.Stage && r.what == a.what })
	if i < 0 {
		i = len(p.rows)
		p.rows = append(p.rows, &row{stage: l.Stage, what: a.what, people: map[string]bool{}})
	}
	p.rows[i].letters++
	if a.person != "" {
		p.rows[i].people[a.person] = true
	}
}

func (p *plan) print(w io.Writer, rate int) {
	if len(p.numbers) == 0 {
		fmt.Fprintln(w, "There is nothing to replay.")
		return
	}
	fmt.Fprintf(w, "To replay: %s, each to the stage that gave it up and to nobody else, at most %d a second.\n", count(len(p.numbers), "dead letter"), rate)
	place := func(r *row) int {
		return slices.IndexFunc(flow.Stages, func(s flow.Stage) bool { return s.Name == r.stage })
	}
	slices.SortFunc(p.rows, func(a, b *row) int { return cmp.Or(place(a)-place(b), strings.Compare(a.what, b.what)) })
	for _, r := range p.rows {
		fmt.Fprintf(w, "  %-12s  %d × %s\n", r.stage, r.letters, printable.Line(r.says()))
	}
	if p.unknown > 0 {
		fmt.Fprintf(w, "Of %d nobody knows whether it was done: the log is asked first, and what is sent again is marked as a possible duplicate.\n", p.unknown)
	}
}

func (r *row) says() string {
	switch {
	case r.what == "":
		return "what could not be read"
	case len(r.people) == 0:
		return r.what + ", to whom the provider then names"
	default:
		return r.what + ", to " + count(len(r.people), "person")
	}
}

func count(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case what == "person":
		return strconv.Itoa(n) + " people"
	default:
		return strconv.Itoa(n) + " " + what + "s"
	}
}

// agreed asks, unless --yes said so before. Where there is nobody to ask, nothing is done.
func (c *call) agreed(ctx context.Context) error {
	if c.flag("yes") == "true" {
		return nil
	}
	if !c.attended {
		return errors.New("nothing is done: this is not a terminal; pass --yes to confirm")
	}
	fmt.Fprint(c.stdout, "Go on? [y/N] ")
	answers := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(c.stdin).ReadString('\n')
		answers <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case answer := <-answers:
		if answer == "y" || answer == "yes" {
			return nil
		}
	case <-ctx.Done():
	}
	return errors.New("nothing is done")
}
