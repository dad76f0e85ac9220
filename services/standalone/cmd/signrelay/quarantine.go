package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers/pack"
	callbacks "github.com/signrelay/signrelay/libs/quarantine"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/ingest"
)

const quarantineListing = "signrelay quarantine list"

func quarantineShowFlags(fs *flag.FlagSet) {
	fs.Bool("body", false, "print only the body, byte for byte; on a terminal, control characters are escaped")
	fs.Bool("query", false, "print only the query, URL-encoded; a callback by GET has its fields there")
}

func quarantineListFlags(fs *flag.FlagSet) {
	jsonFlag(fs)
	selectionFlags(fs)
}

func quarantineReplayFlags(fs *flag.FlagSet) {
	fs.String("body", "", "a `file` with a corrected body, instead of the stored one; for a callback by GET it replaces the query, as if the provider had sent it by POST")
	fs.String("query", "", "a `file` with a corrected query, URL-encoded, instead of the stored one")
	selectionFlags(fs)
	fs.Bool("all", false, "replay all")
	stepFlags(fs, "replay")
}

// part names the part of the callback that could not be read.
func part(k callbacks.Callback) string {
	if k.Item == nil {
		return k.Method
	}
	return fmt.Sprintf("item %d", *k.Item)
}

// selectedCallbacks reads the stream QUARANTINE once and yields the selected callbacks, oldest first.
func selectedCallbacks(ctx context.Context, js jetstream.JetStream, s selection) iter.Seq2[callbacks.Callback, error] {
	return func(yield func(callbacks.Callback, error) bool) {
		for m, err := range (event.Log{JS: js, Stream: flow.Quarantine}).Messages(ctx, flow.Quarantined, s.since) {
			if err != nil {
				yield(callbacks.Callback{}, err)
				return
			}
			k := callbacks.Describe(m)
			if s.has(candidate{number: k.Number, reason: k.Reason, source: k.Source, at: k.Received}) && !yield(k, nil) {
				return
			}
		}
	}
}

func quarantineList(ctx context.Context, c *call) error {
	s := c.selection()
	js, done, err := connect(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	none := true
	for k, err := range selectedCallbacks(ctx, js, s) {
		if err != nil {
			return err
		}
		none = false
		if c.json() {
			if err := printJSON(c.stdout, k); err != nil {
				return err
			}
			continue
		}
		if err := c.say("%-6d %s  %-22s %-8s %6d bytes  %s: %s",
			k.Number, k.Received.UTC().Format(time.RFC3339), k.Source+"/"+k.Provider, part(k), k.Bytes, k.Reason, k.Detail); err != nil {
			return err
		}
	}
	if none {
		fmt.Fprintln(c.stderr, "No quarantined callbacks match")
	}
	return nil
}

func quarantineShow(ctx context.Context, c *call) error {
	number, err := c.number()
	if err != nil {
		return err
	}
	env, done, err := open(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	m, err := quarantined(ctx, env, number)
	if err != nil {
		return err
	}
	body, query := callbacks.Content(m.Header, m.Data)
	switch {
	case value[bool](c, "query"):
		_, err = fmt.Fprintln(c.raw, query)
		return err
	case value[bool](c, "body"):
		_, err = c.raw.Write(body)
		return err
	}
	err = errors.Join(c.sayHeader(m.Header), c.say(""))
	if query != "" && m.Header.Get(ingest.HeaderQuery) == "" {
		err = errors.Join(err, c.say("query: %s", query), c.say(""))
	}
	return errors.Join(err, c.sayBody(string(body)))
}

func quarantineReplay(ctx context.Context, c *call) error {
	s, err := c.selectionToReplay(quarantineListing)
	if err != nil {
		return err
	}
	repair, err := c.repair()
	if err != nil {
		return err
	}
	if len(s.numbers) != 1 && repair != (ingest.Repair{}) {
		return usageError{"--body and --query replace the content of one callback: pass exactly one number"}
	}
	env, done, err := open(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	q, err := openQuarantine(ctx, env, c.packs)
	if err != nil {
		return err
	}
	all, err := q.planned(ctx, s)
	if err != nil {
		return err
	}
	numbers := make([]uint64, len(all))
	steps := make([]step, len(all))
	for i, k := range all {
		numbers[i] = k.Number
		steps[i] = step{fmt.Sprintf("number %d", k.Number), func(ctx context.Context) (string, error) { return q.replay(ctx, k.Number, repair) }}
	}
	var left error
	if missing := s.missing(numbers); len(missing) > 0 {
		left = fmt.Errorf("not in quarantine: number %s", listed(missing))
	}
	if len(all) == 0 {
		fmt.Fprintln(c.stdout, "Nothing to replay.")
		return left
	}
	return errors.Join(c.runPlan(ctx, callbackPlan(all), "replayed", steps), left)
}

// callbackPlan returns the plan of a replay of quarantined callbacks. Before the replay it is unknown which of them can be read.
func callbackPlan(all []callbacks.Callback) plan {
	p := plan{
		heading: fmt.Sprintf("To replay: %s, each as if its provider sent it now", count(len(all), "callback")),
		effects: []string{"Events that are not in the log are stored, and messages may be sent for them. Callbacks that still cannot be read stay in quarantine."},
	}
	for _, k := range all {
		group := k.Source + "/" + k.Provider
		what := k.Reason
		if k.Item != nil {
			what += ", an item of a batch"
		}
		i := slices.IndexFunc(p.rows, func(r planRow) bool { return r.group == group && r.what == what })
		if i < 0 {
			i = len(p.rows)
			p.rows = append(p.rows, planRow{group: group, what: what})
		}
		p.rows[i].n++
	}
	slices.SortFunc(p.rows, func(a, b planRow) int {
		return cmp.Or(strings.Compare(a.group, b.group), strings.Compare(a.what, b.what))
	})
	return p
}

// repair reads the files that replace the stored content.
func (c *call) repair() (repair ingest.Repair, err error) {
	for name, to := range map[string]**string{"body": &repair.Body, "query": &repair.Query} {
		path := c.flag(name)
		if path == "" {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return repair, err
		}
		text := string(data)
		if name == "query" { // one line, as copied from a URL
			text = strings.TrimPrefix(strings.TrimRight(text, "\r\n"), "?")
		}
		*to = &text
	}
	return repair, nil
}

// quarantine is the stream QUARANTINE, with the packs that read its callbacks.
type quarantine struct {
	env    service.Env
	packs  []pack.Pack
	stream jetstream.Stream
}

func openQuarantine(ctx context.Context, env service.Env, packs []pack.Pack) (quarantine, error) {
	stream, err := env.JS.Stream(ctx, flow.Quarantine)
	return quarantine{env, packs, stream}, err
}

// planned returns the selected callbacks. Numbers are read message by message; any other selection reads the stream once.
func (q quarantine) planned(ctx context.Context, s selection) (all []callbacks.Callback, err error) {
	if s.numbers == nil {
		for k, err := range selectedCallbacks(ctx, q.env.JS, s) {
			if err != nil {
				return nil, err
			}
			all = append(all, k)
		}
		return all, nil
	}
	for _, number := range slices.Sorted(maps.Keys(s.numbers)) {
		m, err := q.stream.GetMsg(ctx, number)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, callbacks.Describe(m))
	}
	return all, nil
}

// replay stores the events of one callback, with the corrected content if there is one. It removes the callback from the quarantine only
// after its events are stored.
func (q quarantine) replay(ctx context.Context, number uint64, repair ingest.Repair) (string, error) {
	m, err := q.stream.GetMsg(ctx, number)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return "", stepError{errors.New("it is no longer in quarantine")}
	}
	if err != nil {
		return "", fmt.Errorf("number %d stays in quarantine: %w", number, err)
	}
	replayed, err := ingest.ReplayWith(ctx, q.env, q.packs, m.Header, m.Data, repair)
	if errors.Is(err, ingest.ErrUnavailable) {
		return "", fmt.Errorf("number %d stays in quarantine: %w", number, err)
	}
	if err != nil {
		return "", stepError{err}
	}
	if err := q.stream.DeleteMsg(ctx, number); err != nil {
		return "", fmt.Errorf("number %d is stored, but still in quarantine: %w", number, err)
	}
	results := []string{"stored " + strings.Join(replayed.IDs, " ")}
	for _, item := range replayed.Quarantined {
		results = append(results, fmt.Sprintf("item %d is still unreadable (%s), and is now in quarantine by itself", item.Item, item.Reason))
	}
	return strings.Join(results, "; "), nil
}

// number returns the call's argument, a sequence number in QUARANTINE.
func (c *call) number() (uint64, error) {
	text, err := c.argument("a number from `" + quarantineListing + "`")
	if err != nil {
		return 0, err
	}
	return number(text, quarantineListing)
}

func quarantined(ctx context.Context, env service.Env, number uint64) (*jetstream.RawStreamMsg, error) {
	stream, err := env.JS.Stream(ctx, flow.Quarantine)
	if err != nil {
		return nil, err
	}
	m, err := stream.GetMsg(ctx, number)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("not in quarantine: number %d", number)
	}
	return m, err
}
