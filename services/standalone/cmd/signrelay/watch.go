package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/printable"
	"github.com/signrelay/signrelay/libs/service"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/standalone"
)

func tailFlags(fs *flag.FlagSet) {
	jsonFlag(fs)
	sinceFlag(fs, "begin so long ago, e.g. 24h or 7d; without it, begin now (with --no-follow: at the beginning)")
	fs.Bool("no-follow", false, "show what is there and end")
}

func tail(ctx context.Context, c *call) error {
	filter := event.Everything
	if len(c.args) > 0 {
		var err error
		if filter, err = c.only("one subject filter"); err != nil {
			return err
		}
		if !event.MatchesLog(filter) {
			return usageError{fmt.Sprintf("%q matches no event: want a filter of %s, such as '%s'", filter, event.SubjectForm, event.EntityFilter("document"))}
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
	filter := event.DocumentFilter(document)
	log := event.Log{JS: js, Stream: flow.Signing}
	var life []happening
	for m, err := range log.Messages(ctx, filter, time.Time{}) {
		if err != nil {
			return err
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			return err
		}
		life = append(life, happening{e, arrival(e, m.Time)})
	}
	if life == nil {
		fmt.Fprintln(c.stderr, printable.Line("The log holds nothing on "+filter))
	}
	// In the log's order where two have one time.
	slices.SortStableFunc(life, func(a, b happening) int { return event.Time(a.event).Compare(event.Time(b.event)) })
	for _, h := range life {
		if err := c.show(h.event, "  arrived "+h.arrived.UTC().Format(time.RFC3339)); err != nil {
			return err
		}
	}
	return nil
}

// happening is an event of a document's life.
type happening struct {
	event   *signingv1.SigningEvent
	arrived time.Time
}

// arrival is when we heard of an event: an event of our own is heard of when it is stored.
func arrival(e *signingv1.SigningEvent, stored time.Time) time.Time {
	if e.GetReceivedAt() != nil {
		return e.GetReceivedAt().AsTime()
	}
	return stored
}

// connectLog gives a command the log and nothing else.
func connectLog(ctx context.Context, cfg config.Config) (jetstream.JetStream, func(), error) {
	cfg, err := standalone.Reach(cfg)
	if err != nil {
		return nil, nil, err
	}
	return service.OpenLog(ctx, cfg, commandName, quiet())
}

func showStored(ctx context.Context, c *call, js jetstream.JetStream, filter string, since time.Time) error {
	log := event.Log{JS: js, Stream: flow.Signing}
	none := true
	for m, err := range log.Messages(ctx, filter, since) {
		if err != nil {
			return err
		}
		none = false
		if err := c.showData(m.Data); err != nil {
			return err
		}
	}
	if none {
		fmt.Fprintln(c.stderr, printable.Line("The log holds nothing on "+filter))
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
		if err := c.showData(m.Data()); err != nil {
			return err
		}
	}
}

func (c *call) showData(data []byte) error {
	e, err := event.Decode(data)
	if err != nil {
		return err
	}
	return c.show(e, "")
}

// show prints one event; the text of beside follows its time. The line for people names no person, because screens are shared: an id
// that looks like an address, a number or a name is shown as its hash. --json has everything.
func (c *call) show(e *signingv1.SigningEvent, beside string) error {
	if c.json() {
		line, err := protojson.Marshal(e)
		if err != nil {
			return fmt.Errorf("event %s as JSON: %w", e.GetId(), err)
		}
		_, err = fmt.Fprintf(c.stdout, "%s\n", printable.JSON(line))
		return err
	}
	document := event.Public(e.GetDocument().GetId())
	if document == "" {
		document = "-"
	}
	return c.say("%s%s  %-24s  %-22s  %-34s  %s%s",
		event.Time(e).UTC().Format(time.RFC3339), beside, e.GetType(), e.GetSource()+"/"+e.GetProvider(), document, e.GetId(), detail(e))
}

func detail(e *signingv1.SigningEvent) string {
	var text string
	if id := e.GetRecipient().GetId(); id != "" {
		text += "  recipient=" + event.Public(id)
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
