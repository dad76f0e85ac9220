package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/service"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

func tailFlags(fs *flag.FlagSet) {
	jsonFlag(fs)
	fs.Duration("since", 0, "begin so long ago, e.g. 24h; without it, begin now (with --no-follow: at the beginning)")
	fs.Bool("no-follow", false, "show what is there and end")
}

func tail(ctx context.Context, c *call) error {
	filter := "signing.v1.>"
	if len(c.args) > 0 {
		var err error
		if filter, err = c.only("one subject filter"); err != nil {
			return err
		}
	}
	since, err := c.since()
	if err != nil {
		return err
	}
	js, done, err := connectLog(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	if c.flag("no-follow") == "true" {
		return showStored(ctx, c, js, filter, since)
	}
	return follow(ctx, c, js, filter, since)
}

func timeline(ctx context.Context, c *call) error {
	document, err := c.only("a document's id, as its provider names it")
	if err != nil {
		return err
	}
	js, done, err := connectLog(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	return showStored(ctx, c, js, event.DocumentFilter(document), time.Time{})
}

// connectLog gives a command the log and nothing else.
func connectLog(ctx context.Context, cfg config.Config) (jetstream.JetStream, func(), error) {
	return service.OpenLog(ctx, reachable(cfg), commandName, quiet())
}

func showStored(ctx context.Context, c *call, js jetstream.JetStream, filter string, since time.Time) error {
	log := event.Log{JS: js, Stream: flow.Signing}
	none := true
	for m, err := range log.Messages(ctx, filter, since) {
		if err != nil {
			return err
		}
		none = false
		if err := show(c.stdout, m.Data, c.json()); err != nil {
			return err
		}
	}
	if none {
		fmt.Fprintln(c.stderr, "The log holds nothing on "+filter)
	}
	return nil
}

func follow(ctx context.Context, c *call, js jetstream.JetStream, filter string, since time.Time) error {
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{filter}, DeliverPolicy: jetstream.DeliverNewPolicy}
	if !since.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &since
	}
	consumer, err := js.OrderedConsumer(ctx, flow.Signing, cfg)
	if err != nil {
		return fmt.Errorf("follow %s: %w", filter, err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("follow %s: %w", filter, err)
	}
	context.AfterFunc(ctx, messages.Stop)
	for {
		m, err := messages.Next()
		switch {
		case errors.Is(err, jetstream.ErrMsgIteratorClosed):
			return nil
		case err != nil:
			return fmt.Errorf("follow %s: %w", filter, err)
		}
		if err := show(c.stdout, m.Data(), c.json()); err != nil {
			return err
		}
	}
}

// show prints one event. The line for people names no person: screens are shared; --json holds everything.
func show(w io.Writer, data []byte, asJSON bool) error {
	e, err := event.Decode(data)
	if err != nil {
		return err
	}
	if asJSON {
		return showJSON(w, e)
	}
	document := e.GetDocument().GetId()
	if document == "" {
		document = "-"
	}
	_, err = fmt.Fprintf(w, "%s  %-24s  %-22s  %-34s  %s%s\n",
		event.Time(e).UTC().Format(time.RFC3339), e.GetType(), e.GetSource()+"/"+e.GetProvider(), document, e.GetId(), detail(e))
	return err
}

func detail(e *signingv1.SigningEvent) string {
	var text string
	if id := e.GetRecipient().GetId(); id != "" {
		text += "  recipient=" + id
	}
	if n := e.GetNotice(); n != nil {
		text += "  " + n.GetKind() + "/" + n.GetChannel()
		if n.GetReason() != "" {
			text += " reason=" + n.GetReason()
		}
		if n.GetPossibleDuplicate() {
			text += " possible-duplicate"
		}
	}
	return text
}

func showJSON(w io.Writer, e *signingv1.SigningEvent) error {
	line, err := protojson.Marshal(e)
	if err != nil {
		return fmt.Errorf("event %s as JSON: %w", e.GetId(), err)
	}
	_, err = fmt.Fprintf(w, "%s\n", line)
	return err
}
