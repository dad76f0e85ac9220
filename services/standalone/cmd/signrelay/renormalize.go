package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/ingest"
)

func renormalizeFlags(fs *flag.FlagSet) {
	jsonFlag(fs)
	sinceFlag(fs, "read the callbacks of the last `duration`, e.g. 24h or 90d")
	fs.String("source", "", "only callbacks of this `source`")
	fs.Bool("dry-run", false, "show the differences, and change nothing")
	stepFlags(fs, "process")
}

// renormalize reads the kept callbacks with the packs of this version, and shows how the events differ from those in the log.
func renormalize(ctx context.Context, c *call) error {
	since := c.since()
	if since.IsZero() {
		return usageError{"want --since, such as --since 7d"}
	}
	dry := value[bool](c, "dry-run")
	env, done, err := open(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	again, err := ingest.NewRenormalizer(ctx, env, c.packs)
	if err != nil {
		return err
	}
	defer again.Close()
	found := differences{call: c}
	for carrier, err := range again.Kept(ctx, c.flag("source"), since) {
		if err != nil {
			return err
		}
		all, err := again.Compare(ctx, carrier)
		if err != nil {
			return err
		}
		if err := found.add(carrier, all); err != nil {
			return err
		}
	}
	fmt.Fprintln(c.stderr, found.summary())
	if dry || len(found.sequences) == 0 {
		return nil
	}
	results := c.stdout
	if c.json() {
		c.stdout = c.stderr // only differences and results are for a program
	}
	steps := make([]step, len(found.sequences))
	for i, sequence := range found.sequences {
		steps[i] = step{fmt.Sprintf("number %d", sequence), func(ctx context.Context) (string, error) {
			carrier, err := again.At(ctx, sequence)
			if err != nil {
				if c.json() {
					err = errors.Join(err, printJSON(results, processed{Number: sequence, Stored: []string{}}))
				}
				return "", stepError{err}
			}
			ids, err := again.Publish(ctx, carrier)
			if c.json() && err == nil {
				err = printJSON(results, processed{Number: sequence, Processed: true, Stored: append([]string{}, ids...)})
			}
			if len(ids) == 0 && err == nil {
				return "the log has its events by now", nil
			}
			return "stored " + strings.Join(ids, " "), err
		}}
	}
	return c.runPlan(ctx, found.plan(), "processed", steps)
}

// processed is a callback that was processed again, as JSON. It follows the differences.
type processed struct {
	Number    uint64   `json:"number"` // of the message that carries the callback
	Processed bool     `json:"processed"`
	Stored    []string `json:"stored"` // ids of the new events; none if the log has all by now
}

// differences counts and prints differences.
type differences struct {
	call      *call
	callbacks int
	last      time.Time
	kinds     map[string]int
	rows      []planRow
	sequences []uint64 // of the callbacks that have something new
}

// add prints the differences of a callback. It reports the progress every few seconds.
func (d *differences) add(carrier event.Stored, all []ingest.Difference) error {
	d.callbacks++
	if now := time.Now(); now.Sub(d.last) > 5*time.Second {
		if !d.last.IsZero() {
			fmt.Fprintf(d.call.stderr, "%s read, until %s\n", count(d.callbacks, "callback"), carrier.Time.UTC().Format(time.RFC3339))
		}
		d.last = now
	}
	news := false
	for _, one := range all {
		if d.kinds == nil {
			d.kinds = map[string]int{}
		}
		d.kinds[one.Kind]++
		if one.New {
			news = true
			d.count(carrier.Event.GetSource()+"/"+carrier.Event.GetProvider(), one.Event.GetType()+", "+one.Kind)
		}
		if err := d.show(carrier, one); err != nil {
			return err
		}
	}
	if news {
		d.sequences = append(d.sequences, carrier.Sequence)
	}
	return nil
}

func (d *differences) count(group, what string) {
	i := slices.IndexFunc(d.rows, func(r planRow) bool { return r.group == group && r.what == what })
	if i < 0 {
		i = len(d.rows)
		d.rows = append(d.rows, planRow{group: group, what: what})
	}
	d.rows[i].n++
}

// shownDifference is a difference as JSON.
type shownDifference struct {
	Number   uint64          `json:"number"` // of the message that carries the callback
	Callback string          `json:"callback"`
	Kind     string          `json:"kind"`
	New      bool            `json:"new"`
	Event    json.RawMessage `json:"event,omitempty"` // as this version reads it
	Known    json.RawMessage `json:"known,omitempty"` // as the log has it
	Fields   []string        `json:"fields,omitempty"`
	Reason   string          `json:"reason,omitempty"`
}

// show prints a difference. A line has no values, because people share their screens; --json prints everything.
func (d *differences) show(carrier event.Stored, one ingest.Difference) error {
	if d.call.json() {
		shown := shownDifference{
			Number: carrier.Sequence, Callback: carrier.Event.GetCallback().GetId(), Kind: one.Kind, New: one.New, Fields: one.Fields, Reason: one.Reason,
		}
		var err error
		if shown.Event, err = eventJSON(one.Event); err != nil {
			return err
		}
		if shown.Known, err = eventJSON(one.Known); err != nil {
			return err
		}
		return printJSON(d.call.stdout, shown)
	}
	e, detail := cmp.Or(one.Event, carrier.Event), one.Reason
	typ, id := e.GetType(), e.GetId()
	switch one.Kind {
	case ingest.OtherType:
		detail = "was " + one.Known.GetType() + " " + one.Known.GetId()
	case ingest.OtherField:
		typ, id, detail = one.Known.GetType(), one.Known.GetId(), strings.Join(one.Fields, " ")
		if !one.New {
			detail += " (nothing to add)"
		}
	}
	return d.call.say("%s  number %-8d  %-10s  %-24s  %-22s  %s  %s", carrier.Time.UTC().Format(time.RFC3339), carrier.Sequence, one.Kind, typ,
		e.GetSource()+"/"+e.GetProvider(), id, detail)
}

// eventJSON returns an event as JSON, without the bytes of its callback; nil for none.
func eventJSON(e *signingv1.SigningEvent) (json.RawMessage, error) {
	if e == nil {
		return nil, nil
	}
	e = proto.CloneOf(e)
	withoutRequest(e)
	return protojson.Marshal(e)
}

func (d *differences) summary() string {
	parts := []string{count(d.callbacks, "callback") + " compared"}
	for _, kind := range []string{ingest.Missing, ingest.OtherType, ingest.OtherField, ingest.Unreadable, ingest.Skipped} {
		if n := d.kinds[kind]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	if len(d.kinds) == 0 {
		parts = append(parts, "no differences")
	}
	return strings.Join(parts, ", ")
}

func (d *differences) plan() plan {
	slices.SortFunc(d.rows, func(a, b planRow) int {
		return cmp.Or(strings.Compare(a.group, b.group), strings.Compare(a.what, b.what))
	})
	return plan{
		heading: "To process again: " + count(len(d.sequences), "callback"),
		rows:    d.rows,
		effects: []string{
			"Events that are not in the log are stored, and messages may be sent for them. Fields that an event lacks are stored as " + event.DocumentUpdated + ". Known events stay as they are.",
		},
	}
}
