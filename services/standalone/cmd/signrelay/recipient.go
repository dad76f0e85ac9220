package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/recipient"
	"github.com/signrelay/signrelay/libs/service"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The commands about one person of a document. The enricher fulfils the order, and the command waits for the outcome.

func recipientFlags(fs *flag.FlagSet) {
	fs.String("recipient", "", "the `person`, by the provider's id; without it, the command lists the document's people")
	fs.String("source", "", "the `source` of the document; only needed if several sources have the id")
	orderFlags(fs)
	fs.Bool("yes", false, "do not ask for confirmation")
	spanFlag(fs, "wait", 30*time.Second, time.Second, "wait at most this `time` for the outcome")
	jsonFlag(fs)
}

func correctFlags(fs *flag.FlagSet) {
	for _, f := range detailFlags {
		fs.String(f.flag, "", "the person's "+f.name+" as it should be; without it, the `value` that the log knows. \"\" removes it")
	}
	recipientFlags(fs)
}

func resendFlags(fs *flag.FlagSet) {
	namesFlag(fs, "channels", "`channels` of our own invitation, such as sms,email; "+event.ByProvider+" asks the provider for its own message. Without it, the way of the person's earlier invitation")
	recipientFlags(fs)
}

// detailFlag is the flag of one field of a person.
type detailFlag struct {
	flag, field, name string
	of                func(*pack.Details) *string
}

var detailFlags = []detailFlag{
	{"first-name", pack.FieldFirstName, "first name", func(d *pack.Details) *string { return &d.FirstName }},
	{"last-name", pack.FieldLastName, "last name", func(d *pack.Details) *string { return &d.LastName }},
	{"email", pack.FieldEmail, "e-mail address", func(d *pack.Details) *string { return &d.Email }},
	{"mobile", pack.FieldMobile, "mobile number", func(d *pack.Details) *string { return &d.Mobile }},
}

// person is the person that a command is about.
type person struct {
	document  operate.Document
	is        document.Person
	order     operate.Order
	operator  *operate.Operator
	settings  config.Source
	provider  string // its name for the reader
	changes   []string
	unchanged []string
}

// aboutPerson finds the person of the command's arguments, and passes the person to do.
func (c *call) aboutPerson(ctx context.Context, do func(*person) error) error {
	id, err := c.argument("a document's id at its provider")
	if err != nil {
		return err
	}
	ordered, err := c.order(c.detailTexts()...)
	if err != nil {
		return err
	}
	env, done, err := open(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	p, err := c.person(ctx, env, id)
	if err != nil {
		return err
	}
	p.order = operate.Order{By: ordered.By, Reason: ordered.Reason}
	return do(p)
}

// detailTexts returns the given name and addresses, which a reason must not contain. A short one may be a part of any word.
func (c *call) detailTexts() (all []string) {
	for _, f := range detailFlags {
		if given := c.flags.Lookup(f.flag); given != nil && len(given.Value.String()) > 2 {
			all = append(all, given.Value.String())
		}
	}
	return all
}

func (c *call) person(ctx context.Context, env service.Env, id string) (*person, error) {
	found, err := erase.DocumentsOf(ctx, env.JS, id, c.flag("source"))
	if err != nil {
		return nil, err
	}
	switch len(found) {
	case 0:
		return nil, errors.New("the log has no events of this document: check the id with `signrelay timeline`")
	case 1:
	default:
		var all []string
		for _, d := range found {
			all = append(all, d.Source+" ("+d.Provider+")")
		}
		return nil, usageError{"several sources have a document with this id: pass --source with one of " + strings.Join(all, ", ")}
	}
	p := &person{document: operate.Document{Source: found[0].Source, Provider: found[0].Provider, ID: id}, provider: document.ProviderName(found[0].Provider)}
	i, err := placeOf(env.Config, providers.SourceKey{Name: p.document.Source, Provider: p.document.Provider})
	if err != nil {
		return nil, err
	}
	p.settings = env.Config.Sources[i]
	if p.operator, err = c.operator(env); err != nil {
		return nil, err
	}
	people, err := p.operator.People(ctx, p.document)
	if err != nil {
		return nil, err
	}
	who := c.flag("recipient")
	at := slices.IndexFunc(people, func(o document.Person) bool { return who != "" && (o.ID == who || event.Public(o.ID) == who) })
	if at < 0 {
		return nil, usageError{choosePerson(who, people)}
	}
	p.is = people[at]
	return p, nil
}

// choosePerson lists the people of a document, without their names.
func choosePerson(given string, people []document.Person) string {
	text := "--recipient is required"
	if given != "" {
		text = "the log names no person with this id on the document"
	}
	var all []string
	for _, p := range people {
		if p.ID != "" {
			all = append(all, "\n  "+event.Public(p.ID)+"  "+string(p.State))
		}
	}
	if len(all) == 0 {
		return text + ". The log names no person of the document yet"
	}
	return text + ". The people of the document:" + strings.Join(all, "")
}

func recipientCorrect(ctx context.Context, c *call) error {
	return c.aboutPerson(ctx, func(p *person) error {
		to, err := c.details(p)
		if err != nil {
			return err
		}
		s := operate.Selection{Document: &p.document, Recipient: p.is.ID, Details: &to}
		notes := []string{"Changes: the " + strings.Join(p.changes, ", the ") + "."}
		if len(p.unchanged) > 0 {
			notes = append(notes, "Stays as the log has it: the "+strings.Join(p.unchanged, ", the ")+".")
		}
		return c.orderAbout(ctx, p, operate.Correct, s, notes...)
	})
}

// details returns the person's details as they should be, or every mistake in them.
func (c *call) details(p *person) (pack.Details, error) {
	to := pack.Details{FirstName: p.is.FirstName, LastName: p.is.LastName, Email: p.is.Email, Mobile: p.is.Mobile}
	given := map[string]bool{}
	c.flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for _, f := range detailFlags {
		switch {
		case given[f.flag]:
			*f.of(&to) = c.flag(f.flag)
			p.changes = append(p.changes, f.name)
		case *f.of(&to) != "":
			p.unchanged = append(p.unchanged, f.name)
		}
	}
	if len(p.changes) == 0 {
		return to, usageError{"nothing to correct: pass at least one of --first-name, --last-name, --email and --mobile"}
	}
	maker, _ := providers.ByName(p.document.Provider)
	clean, mistakes := recipient.CheckDetails(to, maker.Corrects, p.settings.Region)
	if len(mistakes) == 0 {
		return clean, nil
	}
	var all []string
	for _, m := range mistakes {
		f := detailFlags[slices.IndexFunc(detailFlags, func(o detailFlag) bool { return o.field == m.Field })]
		text := "--" + f.flag + ": " + m.Text
		switch {
		case given[f.flag]:
		case *f.of(&to) == "":
			text += ", and the log does not know it: pass it"
		default:
			text += " (the value that the log has): pass it as it should be"
		}
		all = append(all, text)
	}
	return to, usageError{strings.Join(all, "; ")}
}

func recipientResend(ctx context.Context, c *call) error {
	return c.aboutPerson(ctx, func(p *person) error {
		return c.orderAbout(ctx, p, operate.Resend, operate.Selection{Document: &p.document, Recipient: p.is.ID, Channels: value[[]string](c, "channels")})
	})
}

// personOutcome is the outcome of an order as --json prints it.
type personOutcome struct {
	Source    string   `json:"source"`
	Provider  string   `json:"provider"`
	Document  string   `json:"document"`
	Recipient string   `json:"recipient"` // the provider's id after the order
	Order     string   `json:"order"`     // the id of its event
	Done      bool     `json:"done"`
	Outcome   []string `json:"outcome"`          // the types of the events that say it; empty if there is none yet
	Reason    string   `json:"reason,omitempty"` // of a refusal
	Text      string   `json:"text"`
}

// orderAbout says what the order does, asks for confirmation, stores the order, and waits for its outcome.
func (c *call) orderAbout(ctx context.Context, p *person, action operate.Action, s operate.Selection, notes ...string) error {
	results := c.stdout
	if c.json() {
		c.stdout = c.stderr // only the outcome is for a program
	}
	prepared, err := p.operator.Prepare(ctx, action, s, p.order)
	if mistake := new(operate.SelectionError); errors.As(err, &mistake) {
		return usageError{mistake.Error()}
	}
	if err != nil {
		return err
	}
	made := planOf(prepared.Plan)
	if err := c.say("%s. The person is %s (%s) on %s of %s/%s.", made.heading, event.Public(p.is.ID), p.is.State, event.Public(p.document.ID), p.document.Provider, p.document.Source); err != nil {
		return err
	}
	for _, line := range append(notes, made.effects...) {
		if err := c.say("%s", line); err != nil {
			return err
		}
	}
	if err := c.confirm(ctx); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	if _, err := prepared.Do(bounded, 0); err != nil {
		return fmt.Errorf("the order may not be stored: %w; look with `signrelay timeline` before you run the command again", err)
	}
	order := prepared.Order()
	events, err := c.awaitOutcome(ctx, p, order)
	if err != nil {
		return err
	}
	text, done := operate.OutcomeWords(events, p.provider, false)
	c.stdout = results
	if c.json() {
		is := personOutcome{
			Source: p.document.Source, Provider: p.document.Provider, Document: p.document.ID, Recipient: p.is.ID, Order: order, Done: done, Outcome: []string{}, Text: text,
		}
		for _, e := range events {
			is.Outcome = append(is.Outcome, e.GetType())
			is.Reason = e.GetAttributes()[event.AttributeReason]
			if e.GetType() == event.RecipientCorrected {
				is.Recipient = e.GetRecipient().GetId()
			}
			if done {
				is.Reason = ""
			} else if e.GetNotice() != nil {
				is.Reason = e.GetNotice().GetReason()
			}
		}
		if err := printJSON(c.stdout, is); err != nil {
			return err
		}
	}
	switch {
	case len(events) == 0:
		return fmt.Errorf("no outcome after %s. The order is in the log: `signrelay timeline` of the document shows its outcome, `signrelay dlq list --stage %s` shows whether it was given up, "+
			"and `signrelay doctor` whether the %s works", value[time.Duration](c, "wait"), flow.Enricher, flow.Enricher)
	case !done:
		return errors.New(strings.ToLower(text[:1]) + strings.TrimSuffix(text[1:], "."))
	case c.json():
		return nil
	default:
		return c.say("%s", text)
	}
}

// outcomeEvery is the time between two looks at the log.
const outcomeEvery = 250 * time.Millisecond

// awaitOutcome returns the events that say what became of an order; none if there are none in time. An invitation has one event for each channel,
// which are stored one after the other, so it looks once more.
func (c *call) awaitOutcome(ctx context.Context, p *person, order string) ([]*signingv1.SigningEvent, error) {
	late := time.After(value[time.Duration](c, "wait"))
	again := time.NewTicker(outcomeEvery)
	defer again.Stop()
	found := false
	for {
		events, err := p.operator.Outcome(ctx, p.document, order)
		if err != nil || found {
			return events, err
		}
		found = len(events) > 0
		select {
		case <-again.C:
		case <-late:
			return events, nil
		case <-ctx.Done():
			return nil, errors.New("interrupted: the order is in the log, and `signrelay timeline` of the document shows its outcome")
		}
	}
}
