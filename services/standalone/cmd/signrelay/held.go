package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/notification"
)

// channels are those whose senders hold messages.
var channels = []string{"sms", "email"}

func heldFlags(fs *flag.FlagSet) {
	jsonFlag(fs)
	fs.String("channel", "", "only those of this channel: sms or email")
}

func heldReleaseFlags(fs *flag.FlagSet) {
	fs.String("channel", "", "only those of this channel: sms or email")
	fs.Bool("yes", false, "do it without asking")
}

// held lists the messages that wait for the operator, the longest waiting first.
func (c *call) held(ctx context.Context, do func(js jetstream.JetStream, all []notification.Held) error) error {
	channel := c.flag("channel")
	if channel != "" && !slices.Contains(channels, channel) {
		return usageError{fmt.Sprintf("no channel %q: want sms or email", channel)}
	}
	js, done, err := connect(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	all, err := notification.HeldMessages(ctx, js)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(h notification.Held) bool { return channel != "" && h.Channel != channel })
	slices.SortFunc(all, func(a, b notification.Held) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.ID, b.ID))
	})
	if len(all) == 0 {
		fmt.Fprintln(c.stderr, "No messages are held")
		return nil
	}
	return do(js, all)
}

func heldList(ctx context.Context, c *call) error {
	return c.held(ctx, func(_ jetstream.JetStream, all []notification.Held) error {
		for _, h := range all {
			if c.json() {
				if err := printJSON(c.stdout, h); err != nil {
					return err
				}
				continue
			}
			if err := c.say("%s  %s  %-5s  %-22s  %-12s  %s: %s", h.ID, h.Since.UTC().Format(time.RFC3339), h.Channel,
				h.Source+"/"+h.Provider, h.Kind, h.Fault, h.Reason); err != nil {
				return err
			}
		}
		return nil
	})
}

func heldRelease(ctx context.Context, c *call) error {
	return c.held(ctx, func(js jetstream.JetStream, all []notification.Held) error {
		byChannel := map[string]int{}
		for _, h := range all {
			byChannel[h.Channel]++
		}
		for _, channel := range channels {
			if n := byChannel[channel]; n > 0 {
				fmt.Fprintf(c.stdout, "To try at once: %s by %s.\n", count(n, "held message"), channel)
			}
		}
		if err := c.agreed(ctx); err != nil {
			return errors.New("nothing is released: pass --yes where there is no terminal to ask")
		}
		for _, channel := range channels {
			if byChannel[channel] == 0 {
				continue
			}
			if err := notification.Release(ctx, js, channel); err != nil {
				return err
			}
		}
		fmt.Fprintln(c.stdout, "Released: the senders try them within a minute. What is refused again is held again.")
		return nil
	})
}
