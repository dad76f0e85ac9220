package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/ingest"
)

const quarantineListing = "signrelay quarantine list"

func quarantineShowFlags(fs *flag.FlagSet) {
	fs.Bool("body", false, "the body alone, byte for byte; on a terminal, control characters are escaped")
	fs.Bool("query", false, "the query alone, URL-encoded: what came by GET has its fields there")
}

func quarantineListFlags(fs *flag.FlagSet) {
	jsonFlag(fs)
	selectionFlags(fs)
}

func quarantineReplayFlags(fs *flag.FlagSet) {
	fs.String("body", "", "a `file` with a repaired body, in place of the kept one; in place of a GET's query too, as the provider would POST it")
	fs.String("query", "", "a `file` with a repaired query, URL-encoded, in place of the kept one")
	selectionFlags(fs)
	fs.Bool("all", false, "all of them")
	stepFlags(fs, "replay")
}

// kept is a quarantined callback, as it is listed.
type kept struct {
	Number   uint64    `json:"number"`
	Received time.Time `json:"received_at"`
	Source   string    `json:"source"`
	Provider string    `json:"provider"`
	Reason   string    `json:"reason"`
	Detail   string    `json:"detail"`
	Method   string    `json:"method"`
	Item     *int      `json:"item,omitempty"` // its place in its batch, from 0; only of an item
	Bytes    int       `json:"bytes"`          // of the body, or the query of a GET
}

func describe(m *jetstream.RawStreamMsg) kept {
	body, query := ingest.KeptContent(m.Header, m.Data)
	k := kept{
		Number: m.Sequence, Received: m.Time, Source: m.Header.Get(ingest.HeaderSource), Provider: m.Header.Get(ingest.HeaderProvider),
		Reason: m.Header.Get(ingest.HeaderReason), Detail: m.Header.Get(ingest.HeaderDetail), Method: m.Header.Get(ingest.HeaderMethod), Bytes: len(body),
	}
	if k.Method == http.MethodGet {
		k.Bytes = len(query)
	}
	if item, err := strconv.Atoi(m.Header.Get(ingest.HeaderItem)); err == nil {
		k.Item = &item
	}
	return k
}

// where is the part of the callback that could not be read.
func (k kept) where() string {
	if k.Item == nil {
		return k.Method
	}
	return fmt.Sprintf("item %d", *k.Item)
}

// selectedCallbacks reads QUARANTINE once and yields what is selected, oldest first.
func selectedCallbacks(ctx context.Context, js jetstream.JetStream, s selection) iter.Seq2[kept, error] {
	return func(yield func(kept, error) bool) {
		for m, err := range (event.Log{JS: js, Stream: flow.Quarantine}).Messages(ctx, flow.Quarantined, s.since) {
			if err != nil {
				yield(kept{}, err)
				return
			}
			k := describe(m)
			if s.has(candidate{number: k.Number, reason: k.Reason, source: k.Source, at: k.Received}) && !yield(k, nil) {
				return
			}
		}
	}
}

func quarantineList(ctx context.Context, c *call) error {
	s, err := c.selection()
	if err != nil {
		return err
	}
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
			k.Number, k.Received.UTC().Format(time.RFC3339), k.Source+"/"+k.Provider, k.where(), k.Bytes, k.Reason, k.Detail); err != nil {
			return err
		}
	}
	if none {
		fmt.Fprintln(c.stderr, "Nothing is quarantined")
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
	body, query := ingest.KeptContent(m.Header, m.Data)
	switch {
	case c.flag("query") == "true":
		_, err = fmt.Fprintln(c.raw, query)
		return err
	case c.flag("body") == "true":
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
		return usageError{"--body and --query repair one callback: give its number alone"}
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
		left = fmt.Errorf("the quarantine holds no number %s", listed(missing))
	}
	if len(all) == 0 {
		fmt.Fprintln(c.stdout, "Nothing to replay.")
		return left
	}
	return errors.Join(c.confirmed(ctx, callbackPlan(all), "replayed", steps), left)
}

// callbackPlan is what a replay of quarantined callbacks will do: nobody knows before which of them can be read now.
func callbackPlan(all []kept) plan {
	p := plan{
		heading: fmt.Sprintf("To replay: %s, each as if its provider sent it now", count(len(all), "callback")),
		costs:   []string{"Events that the log does not hold are stored, and messages may leave for them. What still cannot be read stays in quarantine."},
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

// repair reads the files that replace the kept content.
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
		if name == "query" { // in one line, as it is copied from a URL
			text = strings.TrimPrefix(strings.TrimRight(text, "\r\n"), "?")
		}
		*to = &text
	}
	return repair, nil
}

// quarantine is the stream QUARANTINE, and the packs that read what it holds.
type quarantine struct {
	env    service.Env
	packs  []pack.Pack
	stream jetstream.Stream
}

func openQuarantine(ctx context.Context, env service.Env, packs []pack.Pack) (quarantine, error) {
	stream, err := env.JS.Stream(ctx, flow.Quarantine)
	return quarantine{env, packs, stream}, err
}

// planned are the selected callbacks: by number each is one message, otherwise the stream is read once.
func (q quarantine) planned(ctx context.Context, s selection) (all []kept, err error) {
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
		all = append(all, describe(m))
	}
	return all, nil
}

// replay stores the events of one callback, repaired where the operator says so. It removes the callback from the quarantine only when
// its events are stored.
func (q quarantine) replay(ctx context.Context, number uint64, repair ingest.Repair) (string, error) {
	m, err := q.stream.GetMsg(ctx, number)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return "", stayError{errors.New("the quarantine does not hold it any more")}
	}
	if err != nil {
		return "", fmt.Errorf("number %d stays in quarantine: %w", number, err)
	}
	replayed, err := ingest.ReplayWith(ctx, q.env, q.packs, m.Header, m.Data, repair)
	if errors.Is(err, ingest.ErrUnavailable) {
		return "", fmt.Errorf("number %d stays in quarantine: %w", number, err)
	}
	if err != nil {
		return "", stayError{err}
	}
	if err := q.stream.DeleteMsg(ctx, number); err != nil {
		return "", fmt.Errorf("number %d is stored, but still in quarantine: %w", number, err)
	}
	became := []string{"stored " + strings.Join(replayed.IDs, " ")}
	for _, item := range replayed.Quarantined {
		became = append(became, fmt.Sprintf("item %d is still unreadable (%s), and is in quarantine on its own", item.Item, item.Reason))
	}
	return strings.Join(became, "; "), nil
}

// number is the call's argument, a sequence in QUARANTINE.
func (c *call) number() (uint64, error) {
	text, err := c.only("a number from `" + quarantineListing + "`")
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
		return nil, fmt.Errorf("the quarantine holds no number %d", number)
	}
	return m, err
}
