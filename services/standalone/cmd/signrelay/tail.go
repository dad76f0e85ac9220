package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/printable"
)

func tailFlags(fs *flag.FlagSet) {
	eventFlags(fs)
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
