package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/reminder"
)

func reminderFlags(verb string) func(*flag.FlagSet) {
	return func(fs *flag.FlagSet) {
		fs.String("recipient", "", "only the reminders of this `person`, by the provider's id")
		stepFlags(fs, verb)
		whyFlag(fs)
	}
}

// reminders passes the scheduled reminders of a document to do, the next ones first; those of all documents if document is empty.
func (c *call) reminders(ctx context.Context, document, recipient string, do func(service.Env, []reminder.Scheduled) error) error {
	env, done, err := open(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	all, err := reminder.All(ctx, env.JS, document)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(s reminder.Scheduled) bool { return recipient != "" && s.Recipient != recipient })
	slices.SortFunc(all, func(a, b reminder.Scheduled) int {
		return cmp.Or(a.Due.Compare(b.Due), strings.Compare(a.Document, b.Document), strings.Compare(a.Recipient, b.Recipient))
	})
	if len(all) == 0 {
		fmt.Fprintln(c.stderr, "No reminders are scheduled")
		return nil
	}
	return do(env, all)
}

func remindersList(ctx context.Context, c *call) error {
	document := ""
	if len(c.args) > 0 {
		var err error
		if document, err = c.argument("a document's id at its provider"); err != nil {
			return err
		}
	}
	return c.reminders(ctx, document, "", func(_ service.Env, all []reminder.Scheduled) error {
		for _, s := range all {
			if c.json() {
				if err := printJSON(c.stdout, s); err != nil {
					return err
				}
				continue
			}
			if err := c.say("%s  %-22s  %-34s  recipient=%s  number %d, invited %s", s.Due.Format(time.RFC3339), s.Source+"/"+s.Provider,
				event.Public(s.Document), event.Public(s.Recipient), s.Number, s.Invited.Format(time.RFC3339)); err != nil {
				return err
			}
		}
		return nil
	})
}

func remindersCancel(ctx context.Context, c *call) error {
	return c.changeReminders(ctx, "cancelled", operate.CancelReminders, plan{
		heading: "To cancel: ", rows: []planRow{{what: "to cancel, with the later ones"}}, effects: []string{operate.CancelReminders.Consequence()},
	}, reminder.Cancel)
}

func remindersNow(ctx context.Context, c *call) error {
	return c.changeReminders(ctx, "due", operate.RemindNow, plan{
		heading: "To make now: ", rows: []planRow{{what: "to make due now"}},
		effects: []string{"Each person gets the next reminder within seconds, unless it is too late for one. Later reminders keep their times."},
	}, reminder.Now)
}

func (c *call) changeReminders(
	ctx context.Context, done string, action operate.Action, p plan, change func(context.Context, jetstream.JetStream, reminder.Scheduled) error,
) error {
	document, err := c.argument("a document's id at its provider")
	if err != nil {
		return err
	}
	return c.reminders(ctx, document, c.flag("recipient"), func(env service.Env, all []reminder.Scheduled) error {
		o := &operate.Operator{JS: env.JS}
		p.heading += count(len(all), "reminder")
		p.rows[0].group, p.rows[0].n = event.Public(document), len(all)
		steps := make([]step, len(all))
		for i, s := range all {
			steps[i] = step{"reminder of " + event.Public(s.Recipient), func(ctx context.Context) (string, error) {
				if err := change(ctx, env.JS, s); err != nil {
					return "", err
				}
				return "", o.Record(ctx, action, operate.About{Source: s.Source, Provider: s.Provider, Document: s.Document, Recipient: s.Recipient}, c.ordered())
			}}
		}
		return c.runPlan(ctx, p, done, steps)
	})
}
