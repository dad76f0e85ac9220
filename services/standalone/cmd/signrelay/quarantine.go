package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/operate"
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
	whyFlag(fs)
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
			if s.filter(operate.Quarantined).HasCallback(k) && !yield(k, nil) {
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
	selected, action := s.selects(operate.Quarantined), operate.ReplayCallbacks
	if repair != (ingest.Repair{}) {
		action, selected.Body, selected.Query = operate.RepairCallback, bytesOf(repair.Body), bytesOf(repair.Query)
	}
	p, err := c.prepare(ctx, env, action, selected)
	if err != nil {
		return err
	}
	left := missing(p.Plan, "quarantine")
	if p.Items == 0 {
		fmt.Fprintln(c.stdout, "Nothing to replay.")
		return left
	}
	return errors.Join(c.runPrepared(ctx, p, "replayed", "it is no longer in quarantine"), left)
}

// bytesOf returns a replaced part; nil if it stays.
func bytesOf(text *string) []byte {
	if text == nil {
		return nil
	}
	return []byte(*text)
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
