package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/ingest"
)

const quarantineListing = "signrelay quarantine list"

func quarantineShowFlags(fs *flag.FlagSet) {
	fs.Bool("body", false, "the body alone, byte for byte; on a terminal, control characters are escaped")
	fs.Bool("query", false, "the query alone, URL-encoded: what came by GET has its fields there")
}

func quarantineReplayFlags(fs *flag.FlagSet) {
	fs.String("body", "", "a file with a repaired body, in place of the kept one; in place of a GET's query too, as the provider would POST it")
	fs.String("query", "", "a file with a repaired query, URL-encoded, in place of the kept one")
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

func quarantineList(ctx context.Context, c *call) error {
	js, done, err := connect(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	none := true
	log := event.Log{JS: js, Stream: flow.Quarantine}
	for m, err := range log.Messages(ctx, flow.Quarantined, time.Time{}) {
		if err != nil {
			return err
		}
		none = false
		k := describe(m)
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

func quarantineReplay(ctx context.Context, c *call) (err error) {
	all := len(c.args) == 1 && c.args[0] == "all"
	var number uint64
	if !all {
		if number, err = c.number(); err != nil {
			return err
		}
	}
	repair, err := c.repair()
	if err != nil {
		return err
	}
	if all && repair != (ingest.Repair{}) {
		return usageError{"--body and --query repair one callback, not all"}
	}
	env, done, err := open(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	if all {
		return c.replayAll(ctx, env)
	}
	m, err := quarantined(ctx, env, number)
	if err != nil {
		return err
	}
	return c.replayOne(ctx, env, m, repair)
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

func (c *call) replayAll(ctx context.Context, env service.Env) error {
	log := event.Log{JS: env.JS, Stream: flow.Quarantine}
	var failed error
	for m, err := range log.Messages(ctx, flow.Quarantined, time.Time{}) {
		if err != nil {
			return errors.Join(failed, err)
		}
		failed = errors.Join(failed, c.replayOne(ctx, env, m, ingest.Repair{}))
	}
	return failed
}

// replayOne brings one callback in, repaired where the operator says so, and takes it out of the quarantine only when its events
// are stored.
func (c *call) replayOne(ctx context.Context, env service.Env, m *jetstream.RawStreamMsg, repair ingest.Repair) error {
	replayed, err := ingest.Replay(ctx, env, m.Header, m.Data, repair)
	if err != nil {
		return fmt.Errorf("number %d stays in quarantine: %w", m.Sequence, err)
	}
	stream, err := env.JS.Stream(ctx, flow.Quarantine)
	if err != nil {
		return fmt.Errorf("number %d is stored, but still in quarantine: %w", m.Sequence, err)
	}
	if err := stream.DeleteMsg(ctx, m.Sequence); err != nil {
		return fmt.Errorf("number %d is stored, but still in quarantine: %w", m.Sequence, err)
	}
	err = c.say("number %d is stored: %v", m.Sequence, replayed.IDs)
	for _, q := range replayed.Quarantined {
		err = errors.Join(err, c.say("  item %d of it cannot be read (%s), and is in quarantine on its own", q.Item, q.Reason))
	}
	return err
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
