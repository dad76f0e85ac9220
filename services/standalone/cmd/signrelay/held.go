package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/notification"
)

// channels lists the channels whose senders hold messages.
var channels = event.ChannelNames()

func heldFlags(fs *flag.FlagSet) {
	jsonFlag(fs)
	oneOfFlag(fs, "channel", channels, "only messages of this `channel`: sms or email")
}

func heldReleaseFlags(fs *flag.FlagSet) {
	fs.String("reason", "", "only messages held for this `reason`; only for messages over a limit")
	fs.String("document", "", "only messages about this `document`; only for messages over a limit")
	oneOfFlag(fs, "channel", channels, "only messages of this `channel`: sms or email")
	stepFlags(fs, "release")
}

// held passes the held messages to do, the longest waiting first.
func (c *call) held(ctx context.Context, do func(js jetstream.JetStream, all []notification.Held) error) error {
	channel := c.flag("channel")
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
			reason := h.Reason
			if h.Country != "" {
				reason += " (" + h.Country + ")"
			}
			if err := c.say("%s  %s  %-5s  %-22s  %-12s  %s: %s", h.ID, h.Since.UTC().Format(time.RFC3339), h.Channel,
				h.Source+"/"+h.Provider, h.Kind, h.Fault, reason); err != nil {
				return err
			}
		}
		return nil
	})
}

func heldRelease(ctx context.Context, c *call) error {
	reason, document := c.flag("reason"), c.flag("document")
	return c.held(ctx, func(js jetstream.JetStream, all []notification.Held) error {
		var limited []notification.Held // over a limit: each is released individually
		waiting := map[string]int{}     // waiting until the account or a setting is corrected, by channel
		for _, h := range all {
			switch {
			case h.Limit && (reason == "" || h.Reason == reason) && (document == "" || h.Document == document):
				limited = append(limited, h)
			case !h.Limit && reason == "" && document == "":
				waiting[h.Channel]++
			}
		}
		if len(limited)+len(waiting) == 0 {
			fmt.Fprintln(c.stderr, "No held messages match: --reason and --document select only messages that are over a limit")
			return nil
		}
		var steps []step
		p := plan{}
		released := 0
		for _, channel := range channels {
			if n := waiting[channel]; n > 0 {
				released += n
				p.rows = append(p.rows, planRow{channel, n, "to retry now by " + channel})
				steps = append(steps, step{"channel " + channel, func(ctx context.Context) (string, error) {
					return "", notification.Release(ctx, js, channel)
				}})
			}
			for _, group := range groups(limited, channel) {
				released += group.n
				p.rows = append(p.rows, planRow{channel, group.n, "to send in spite of the limits by " + channel + " (" + group.reason + ")"})
			}
		}
		for _, h := range limited {
			steps = append(steps, step{"message " + h.ID, func(ctx context.Context) (string, error) {
				return "", notification.ReleaseLimited(ctx, js, h)
			}})
		}
		p.heading = "To release: " + count(released, "held message")
		p.effects = []string{"Messages are sent, unless they are refused again."}
		if err := c.runPlan(ctx, p, "released", steps); err != nil {
			return err
		}
		fmt.Fprintln(c.stdout, "Released: the senders retry them within a minute. A message that is refused again is held again.")
		return nil
	})
}

// group counts the held messages of one channel and reason.
type group struct {
	reason string
	n      int
}

func groups(all []notification.Held, channel string) []group {
	counts := map[string]int{}
	for _, h := range all {
		if h.Channel == channel {
			counts[h.Reason]++
		}
	}
	var found []group
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		found = append(found, group{reason, counts[reason]})
	}
	return found
}
