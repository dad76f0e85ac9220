package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/operate"
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
	whyFlag(fs)
}

// held passes the held messages to do, the longest waiting first.
func (c *call) held(ctx context.Context, do func(all []notification.Held) error) error {
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
	return do(all)
}

func heldList(ctx context.Context, c *call) error {
	return c.held(ctx, func(all []notification.Held) error {
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

// heldRelease releases two kinds of messages: those beyond a limit, each by itself, and all others by channel.
func heldRelease(ctx context.Context, c *call) error {
	reason, document, channel := c.flag("reason"), c.flag("document"), c.flag("channel")
	env, done, err := open(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	o, err := c.operator(env)
	if err != nil {
		return err
	}
	held, err := o.Stuck(ctx, operate.Filter{What: operate.Held, Channel: channel})
	if err != nil {
		return err
	}
	if held.Held == 0 {
		fmt.Fprintln(c.stderr, "No messages are held")
		return nil
	}
	wanted := []struct {
		action operate.Action
		operate.Selection
		what string
	}{{operate.Release, operate.Selection{Filter: operate.Filter{What: operate.Held, Reason: reason, Document: document, Channel: channel, Limit: true}}, ", in spite of the limits"}}
	if reason == "" && document == "" { // they wait for the account or a setting, so all of a channel are tried
		all := operate.Selection{}
		if channel != "" {
			all.Channels = []string{channel}
		}
		wanted = slices.Insert(wanted, 0, struct {
			action operate.Action
			operate.Selection
			what string
		}{operate.ReleaseChannels, all, ", now"})
	}
	var steps []step
	var begin []func(context.Context) error
	p, released := plan{}, 0
	for _, w := range wanted {
		part, err := o.Prepare(ctx, w.action, w.Selection, c.ordered())
		if err != nil {
			return err
		}
		if part.Items == 0 {
			continue
		}
		printed := planOf(part.Plan)
		for _, r := range printed.rows {
			released += r.n
			p.rows = append(p.rows, planRow{r.group, r.n, r.what + w.what})
		}
		p.effects = append(p.effects, printed.effects...)
		steps, begin = append(steps, stepsOf(part, "it is not held any more")...), append(begin, part.Begin)
	}
	if len(steps) == 0 {
		fmt.Fprintln(c.stderr, "No held messages match: --reason and --document select only messages that are over a limit")
		return nil
	}
	p.heading = "To release: " + operate.Counted(released, "held message")
	if err := c.runPlan(ctx, p, "released", steps, begin...); err != nil {
		return err
	}
	fmt.Fprintln(c.stdout, "Released: the senders retry them within a minute. A message that is refused again is held again.")
	return nil
}
