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
	sinceFlag(fs, "start with the events of the last `duration`, e.g. 24h or 7d; without it, start now (with --no-follow: with the first event)")
	fs.Bool("no-follow", false, "show the stored events and exit")
}

func tail(ctx context.Context, c *call) error {
	filter := event.Everything
	if len(c.args) > 0 {
		var err error
		if filter, err = c.argument("one subject filter"); err != nil {
			return err
		}
		if !event.MatchesLog(filter) {
			return usageError{fmt.Sprintf("%q matches no event: want a filter of %s, such as '%s'", filter, event.SubjectForm, event.EntityFilter("document"))}
		}
	}
	since := c.since()
	js, done, err := connectLog(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	if value[bool](c, "no-follow") {
		return showStored(ctx, c, js, filter, since)
	}
	return follow(ctx, c, js, filter, since)
}

func timeline(ctx context.Context, c *call) error {
	document, err := c.argument("a document's id, as its provider names it")
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
	var entries []entry
	for m, err := range log.Messages(ctx, filter, time.Time{}) {
		if err != nil {
			return err
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			return err
		}
		entries = append(entries, entry{e, arrival(e, m.Time)})
	}
	if entries == nil {
		fmt.Fprintln(c.stderr, printable.Line("The log has no events for "+filter))
	}
	// Events with the same time stay in the log's order.
	slices.SortStableFunc(entries, func(a, b entry) int { return event.Time(a.event).Compare(event.Time(b.event)) })
	for _, entry := range entries {
		if err := c.show(entry.event, "  arrived "+entry.arrived.UTC().Format(time.RFC3339)); err != nil {
			return err
		}
	}
	return nil
}

// entry is an event in a timeline.
type entry struct {
	event   *signingv1.SigningEvent
	arrived time.Time
}

// arrival returns the time at which an event reached us. For an event that Signrelay made, it is the time at which it was stored.
func arrival(e *signingv1.SigningEvent, stored time.Time) time.Time {
	if e.GetReceivedAt() != nil {
		return e.GetReceivedAt().AsTime()
	}
	return stored
}

// connectLog opens only the log.
func connectLog(ctx context.Context, cfg config.Config) (jetstream.JetStream, func(), error) {
	cfg, err := standalone.Reach(cfg)
	if err != nil {
		return nil, nil, err
	}
	return service.OpenLog(ctx, cfg, connectionName, quiet())
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
		fmt.Fprintln(c.stderr, printable.Line("The log has no events for "+filter))
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

// show prints one event, with suffix after its time. The line names no person, because screens are shared: an id that looks like an
// address, a number or a name is printed as its hash. --json prints everything.
func (c *call) show(e *signingv1.SigningEvent, suffix string) error {
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
		event.Time(e).UTC().Format(time.RFC3339), suffix, e.GetType(), e.GetSource()+"/"+e.GetProvider(), document, e.GetId(), detail(e))
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
