package operate

import (
	"context"
	"crypto/rand"
	"strings"

	"github.com/signrelay/signrelay/libs/event"
)

// Prepared is a plan that its own process runs, item by item, without a job: the command line. It may have any number of items.
type Prepared struct {
	Plan

	operator *Operator
	work     work
	do       doer
}

// Prepare says what an action would do, like Plan, and stores nothing. If nothing is selected, the plan has no items.
func (o *Operator) Prepare(ctx context.Context, action Action, s Selection, order Order) (*Prepared, error) {
	if err := order.check(); err != nil {
		return nil, &SelectionError{err.Error()}
	}
	if err := s.checkAny(action); err != nil {
		return nil, err
	}
	w := work{unlimited: true, Selection: s, Plan: Plan{
		ID: planID(rand.Text()), Action: action, By: order.By, Reason: order.Reason, Made: o.now().UTC(), Rate: DefaultRate,
	}}
	if err := o.freeze(ctx, &w); err != nil {
		return nil, err
	}
	w.Plan.Items = len(w.Items)
	do, err := o.step(ctx, w)
	if err != nil {
		return nil, err
	}
	return &Prepared{Plan: w.Plan, operator: o, work: w, do: do}, nil
}

// Begin stores the event that the user starts the plan, as a job does.
func (p *Prepared) Begin(ctx context.Context) error { return p.operator.started(ctx, p.work) }

// Name identifies an item in its stream: "number 17", "message 3f2a", "channel sms".
func (p *Prepared) Name(item int) string {
	key := p.work.Items[item].Key
	what, rest, _ := strings.Cut(key, ".")
	switch What(what) {
	case Dead, Quarantined:
		return "number " + strings.TrimLeft(rest, "0")
	case Held: // "message.sms.3f2a", and a suffix after a replay
		return "message " + strings.Split(rest+"..", ".")[2]
	default:
		return strings.Replace(key, ".", " ", 1)
	}
}

// Outcome is what became of one item.
type Outcome struct {
	Gone    bool   // it was not there any more
	Failure string // the bounded reason for which it stays as it was; empty if it was done
	Detail  string // what was stored, or why it failed; it has no personal data
}

// Do does one item. An error means that a part of Signrelay did not respond, so that the next item would fail too.
func (p *Prepared) Do(ctx context.Context, item int) (Outcome, error) {
	r, err := p.do(ctx, p.work.Items[item], false)
	return Outcome{r.skipped, r.failure, r.detail}, err
}

// started stores the event that a plan is started.
func (o *Operator) started(ctx context.Context, w work) error {
	e := aboutEventOf(ourselves, event.OperatorActed, o.now())
	return o.publish(ctx, acted(e, event.DerivedID(w.Plan.ID, "operate", "started"), w.Plan.Action, w.order(), w.Plan.Items), false)
}

// Record stores the event that a user did something to a document or a source by other means than a plan. about.Document is empty for a source.
func (o *Operator) Record(ctx context.Context, action Action, about About, order Order) error {
	if err := order.check(); err != nil {
		return &SelectionError{err.Error()}
	}
	e := aboutEventOf(about.complete(), event.OperatorActed, o.now())
	return o.publish(ctx, acted(e, event.DerivedID(rand.Text(), "operate", string(action)), action, order, 1), false)
}
