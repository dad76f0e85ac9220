package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/console"
	"github.com/signrelay/signrelay/services/ingest"
)

// The commands that repair something use libs/operate, as the console does: its plans, its sentences, its events.

// whyFlag adds the reason of an action.
func whyFlag(fs *flag.FlagSet) {
	fs.String("why", "", "why, such as the `number` of a request; no names and addresses, because it is kept in the log")
}

// ordered returns who orders an action, and why. Without --why, the reason is the command.
func (c *call) ordered() operate.Order {
	o := operate.Order{By: c.by(), Reason: "signrelay " + c.flags.Name()}
	if why := c.flags.Lookup("why"); why != nil && why.Value.String() != "" {
		o.Reason = why.Value.String()
	}
	return o
}

// operator returns the operator's part of a command.
func (c *call) operator(env service.Env) (*operate.Operator, error) {
	o, err := console.NewOperator(env)
	if err != nil {
		return nil, err
	}
	o.Remember = false // it looks once
	o.Callback = ingest.Callbacks(env, c.packs)
	return o, nil
}

// prepare makes the plan of an action.
func (c *call) prepare(ctx context.Context, env service.Env, action operate.Action, s operate.Selection) (*operate.Prepared, error) {
	o, err := c.operator(env)
	if err != nil {
		return nil, err
	}
	p, err := o.Prepare(ctx, action, s, c.ordered())
	if selection := new(operate.SelectionError); errors.As(err, &selection) {
		return nil, usageError{selection.Error()}
	}
	return p, err
}

// planOf returns what a command prints of a plan.
func planOf(p operate.Plan) plan {
	verb, noun := p.Action.Words()
	made := plan{heading: "To " + strings.ToLower(verb) + ": " + operate.Counted(p.Items, noun)}
	if how := p.Action.How(); how != "" {
		made.heading += ", " + how
	}
	for _, r := range p.Rows {
		made.rows = append(made.rows, planRow{r.Group(), r.Count, r.Text()})
	}
	p.Stays = slices.DeleteFunc(slices.Clone(p.Stays), func(s operate.Staying) bool { return s.Reason == operate.StaysGone }) // the command names them at its end
	made.effects = append([]string{p.Summary()}, p.Notes()...)
	return made
}

// stepsOf returns the items of a plan. gone says what an item that left meanwhile is not any more.
func stepsOf(p *operate.Prepared, gone string) []step {
	steps := make([]step, p.Items)
	for i := range steps {
		steps[i] = step{p.Name(i), func(ctx context.Context) (string, error) {
			done, err := p.Do(ctx, i)
			switch {
			case err != nil:
				return "", err
			case done.Gone:
				return "", stepError{errors.New(gone)}
			case done.Detail != "" && done.Failure != "":
				return "", stepError{errors.New(done.Detail)}
			case done.Failure != "":
				return "", stepError{fmt.Errorf("it is %s since the plan was made", done.Failure)}
			}
			return done.Detail, nil
		}}
	}
	return steps
}

// missing returns an error that names the chosen numbers that are not there.
func missing(p operate.Plan, where string) error {
	if len(p.Missing) == 0 {
		return nil
	}
	return fmt.Errorf("not in %s: number %s", where, listed(numbersOf(p.Missing)))
}

func numbersOf(keys []string) []uint64 {
	numbers := make([]uint64, len(keys))
	for i, key := range keys {
		numbers[i] = operate.Number(key)
	}
	slices.Sort(numbers)
	return numbers
}

// selects returns the items that the numbers or the flags of a command select.
func (s selection) selects(what operate.What) operate.Selection {
	if s.numbers == nil {
		return operate.Selection{Filter: s.filter(what)}
	}
	keys := []string{}
	for _, n := range slices.Sorted(maps.Keys(s.numbers)) {
		keys = append(keys, operate.Key(what, n))
	}
	return operate.Selection{Keys: keys}
}

// filter returns what the flags select.
func (s selection) filter(what operate.What) operate.Filter {
	return operate.Filter{What: what, Stage: s.stage, Reason: s.reason, Source: s.source, Since: s.since}
}
