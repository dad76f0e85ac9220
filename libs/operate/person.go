package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/recipient"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The actions about one person: the invitation once more, and a correction.

// notOver fails if the document does not wait for the person. A person who opted out may be corrected, because a wrong person may have done so.
func notOver(is event.Standing, what string, ignored ...string) error {
	if is.Over == "" || slices.Contains(ignored, is.Over) {
		return nil
	}
	return &RefusedError{is.Over, what + ": " + map[string]string{
		event.OverSigned: "the person has signed", event.OverDeclined: "the person has declined", event.OverDocument: "the document has ended",
		event.OverOptedOut: "the person does not want messages about the document", event.OverCorrected: "the person was corrected, and has another id since then",
	}[is.Over]}
}

var errNotListed = &RefusedError{NotListed, "the log has no event of this person on the document"}

// past is what the log says about a person's invitations.
type past struct {
	known      bool
	requested  map[string]bool   // by the channel of our own invitation
	suppressed map[string]string // by channel: the reason
	wrote      time.Time         // when the provider last wrote to the person
}

func (o *Operator) pastOf(ctx context.Context, d Document, who string) (past, error) {
	p := past{requested: map[string]bool{}, suppressed: map[string]string{}}
	for s, err := range o.signing().Life(ctx, d.signer("")) {
		if err != nil {
			return p, err
		}
		e := s.Event
		if e.GetRecipient().GetId() != who {
			continue
		}
		p.known = true
		invitation, channel := e.GetNotice().GetKind() == event.KindName(notifyv1.Kind_KIND_INVITATION), e.GetNotice().GetChannel()
		switch typ := e.GetType(); {
		case typ == event.NotificationRequested && invitation:
			p.requested[channel] = true
		case typ == event.NotificationSuppressed && invitation:
			p.suppressed[channel] = e.GetNotice().GetReason()
		case (typ == event.RecipientSent || typ == event.RecipientResent) && event.Time(e).After(p.wrote):
			p.wrote = event.Time(e)
		}
	}
	return p, nil
}

// freezeResend plans a person's invitation once more. Only the provider knows the addresses, so the plan goes by the person's earlier invitations. A
// person who never got one of ours is invited by the provider.
func (o *Operator) freezeResend(ctx context.Context, w *work, d Document) error {
	who := w.Selection.Recipient
	if who == "" {
		return &SelectionError{"choose the person who gets the invitation once more"}
	}
	byProvider := slices.Contains(w.Selection.Channels, event.ByProvider)
	for _, name := range w.Selection.Channels {
		switch {
		case byProvider && len(w.Selection.Channels) > 1:
			return &SelectionError{fmt.Sprintf("choose either %s or channels: the provider chooses the channel of its own message", event.ByProvider)}
		case !byProvider && !slices.Contains(event.ChannelNames(), name):
			return &SelectionError{fmt.Sprintf("there is no channel %q", name)}
		}
	}
	is, err := o.signing().Standing(ctx, d.signer(who))
	if err != nil {
		return err
	}
	if err := notOver(is, "the invitation is not sent again"); err != nil {
		return err
	}
	p, err := o.pastOf(ctx, d, who)
	if err != nil {
		return err
	}
	if !p.known {
		return errNotListed
	}
	w.Items = []frozen{{Key: resendKey, Hash: contentHash([]byte(is.Sending))}}
	w.Plan.Rows = []Row{{Stage: flow.Enricher, What: "invitation", Count: 1, People: 1}}
	maker, _ := providers.ByName(d.Provider)
	if byProvider || len(w.Selection.Channels) == 0 && len(p.requested)+len(p.suppressed) == 0 && maker.ResendEvery > 0 {
		w.Selection.Channels, w.Plan.AtProvider, w.Plan.People = []string{event.ByProvider}, true, 1
		return o.mayResend(maker, p.wrote)
	}
	return o.foreseeResend(ctx, w, p)
}

// mayResend fails if the provider does not accept a request for its own message now.
func (o *Operator) mayResend(maker pack.Pack, wrote time.Time) error {
	again := wrote.Add(maker.ResendEvery)
	switch {
	case maker.ResendEvery == 0:
		return &RefusedError{NotSupported, document.ProviderName(maker.Name) + " sends no message on request"}
	case !wrote.IsZero() && o.now().Before(again):
		return &RefusedError{TooSoon, fmt.Sprintf("%s wrote to the person at %s, and accepts the next request at %s",
			document.ProviderName(maker.Name), minute(wrote), minute(again.Add(time.Minute-time.Nanosecond)))}
	default:
		return nil
	}
}

func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// foreseeResend says what becomes of our own invitation.
func (o *Operator) foreseeResend(ctx context.Context, w *work, p past) error {
	t, err := o.newTally(ctx, true)
	if err != nil {
		return err
	}
	if len(w.Selection.Channels) == 0 {
		for _, name := range event.ChannelNames() {
			if p.requested[name] {
				w.Selection.Channels = append(w.Selection.Channels, name)
			}
		}
	}
	for _, name := range w.Selection.Channels {
		switch {
		case !p.requested[name] && p.suppressed[name] != "":
			t.stay(name, p.suppressed[name], 1)
		case t.foresee.HeldOn(name) != "":
			t.again[Staying{Channel: name, Reason: t.foresee.HeldOn(name)}]++
		default:
			t.leave(name, nil, personHash(w.Selection.Recipient))
		}
	}
	t.into(&w.Plan)
	if len(t.leaves)+len(t.again) == 0 {
		return &RefusedError{NoChannelLeft, "the person's earlier invitations could not be sent on the chosen channels" + stays(w.Plan.Stays)}
	}
	return nil
}

// freezeCorrect plans a person's correction. The caller has checked the details by recipient.CheckDetails with the source's region.
func (o *Operator) freezeCorrect(ctx context.Context, w *work, d Document) error {
	who, to := w.Selection.Recipient, w.Selection.Details
	if who == "" || to == nil {
		return &SelectionError{"choose the person, and give the name and the addresses as they should be"}
	}
	maker, _ := providers.ByName(d.Provider)
	clean, mistakes := recipient.CheckDetails(*to, maker.Corrects, "")
	if len(mistakes) > 0 {
		return &SelectionError{mistakes[0].Field + ": " + mistakes[0].Text}
	}
	is, err := o.signing().Standing(ctx, d.signer(who))
	if err != nil {
		return err
	}
	if err := notOver(is, "the person is not corrected", event.OverOptedOut); err != nil {
		return err
	}
	known, err := o.PersonOf(ctx, d, who)
	if err != nil {
		return err
	}
	if was, wrong := recipient.CheckDetails(known, nil, ""); len(wrong) == 0 && was == clean {
		return &RefusedError{Unchanged, "the person has this name and these addresses already"}
	}
	w.Selection.Details = &clean
	w.Plan.AtProvider, w.Plan.People = maker.Corrects != nil, 1
	w.Plan.Rows = []Row{{Stage: flow.Enricher, What: "correction", Count: 1, People: 1}}
	details, err := json.Marshal(clean)
	if err != nil {
		return fmt.Errorf("encode a correction: %w", err)
	}
	w.Items = []frozen{{Key: correctKey, Hash: contentHash([]byte(is.Sending), details)}}
	return nil
}

// The keys of the items of the actions about one person.
const (
	resendKey  = "resend"
	correctKey = "correct"
)

// OrderID returns the id of the event that an item of a plan or of its job publishes.
func OrderID(plan, key string) string { return event.DerivedID(plan, "operate", key) }

// OrderOf returns the id of the order of a job about one person; empty for another action.
func (j Job) OrderOf() string { return orderOf(j.ID, j.Action) }

// Order returns the id of the order of a plan about one person; empty for another action.
func (p Plan) Order() string { return orderOf(p.ID, p.Action) }

func orderOf(plan string, a Action) string {
	switch a {
	case Resend:
		return OrderID(plan, resendKey)
	case Correct:
		return OrderID(plan, correctKey)
	default:
		return ""
	}
}

// PersonOf returns the name and the addresses of a person on a document as the log has them, with the latest correction. It fails with a
// *RefusedError if the log does not name the person.
func (o *Operator) PersonOf(ctx context.Context, d Document, who string) (pack.Details, error) {
	folded, err := o.folded(ctx, d)
	if err != nil {
		return pack.Details{}, err
	}
	i := folded.Find(&signingv1.Recipient{Id: who})
	if i < 0 {
		return pack.Details{}, errNotListed
	}
	p := &folded.People[i]
	return pack.Details{FirstName: p.FirstName, LastName: p.LastName, Email: p.Email, Mobile: p.Mobile}, nil
}

// People returns the people of a document in the order of the log, for a user who has to choose one.
func (o *Operator) People(ctx context.Context, d Document) ([]document.Person, error) {
	folded, err := o.folded(ctx, d)
	return folded.People, err
}

func (o *Operator) folded(ctx context.Context, d Document) (folded document.Document, err error) {
	for s, err := range o.signing().Life(ctx, d.signer("")) {
		if err != nil {
			return folded, err
		}
		folded.Apply(s.Event, s.Sequence)
	}
	return folded, nil
}

// OrderTypes are the types of events that say what became of an order about a person.
var OrderTypes = []string{
	event.RecipientCorrected, event.CorrectionRefused, event.RecipientResent, event.ResendRefused, event.NotificationRequested, event.NotificationSuppressed,
}

// OutcomeIn reports whether an event says what became of an order about a person. Our own invitation, once more, has no event but that of its messages.
func OutcomeIn(e *signingv1.SigningEvent, order string) bool {
	switch e.GetType() {
	case event.NotificationRequested, event.NotificationSuppressed:
		return e.GetNotice().GetEventId() == order
	default:
		return slices.Contains(OrderTypes, e.GetType()) && e.GetAttributes()[event.AttributeOrder] == order
	}
}

// Outcome returns the events that say what became of an order about a person; none if it has no outcome yet.
func (o *Operator) Outcome(ctx context.Context, d Document, order string) (all []*signingv1.SigningEvent, err error) {
	for s, err := range o.signing().Document(ctx, d.signer(""), OrderTypes) {
		if err != nil {
			return nil, err
		}
		if OutcomeIn(s.Event, order) {
			all = append(all, s.Event)
		}
	}
	return all, nil
}

// OutcomeWords says what became of an order about a person, from Outcome, in one sentence. done is false if it was refused, and if no message
// leaves. The provider's own explanation may name the person, so only a reader of personal data gets it.
func OutcomeWords(events []*signingv1.SigningEvent, providerName string, private bool) (text string, done bool) {
	var leave, stay []string
	place := func(e *signingv1.SigningEvent) int {
		return slices.Index(event.ChannelNames(), e.GetNotice().GetChannel())
	}
	events = slices.SortedStableFunc(slices.Values(events), func(a, b *signingv1.SigningEvent) int { return place(a) - place(b) })
	for _, e := range events {
		a := e.GetAttributes()
		switch e.GetType() {
		case event.RecipientCorrected:
			if a[event.AttributeScope] == event.AtProvider {
				return fmt.Sprintf("The person is corrected at %s. The new invitation is on its way.", providerName), true
			}
			return fmt.Sprintf("The person is corrected for the messages of Signrelay, not at %s. The new invitation is on its way.", providerName), true
		case event.RecipientResent:
			return providerName + " sent its message to the person once more.", true
		case event.CorrectionRefused, event.ResendRefused:
			text = map[string]string{
				event.CorrectionRefused: "The person is not corrected: ", event.ResendRefused: "The invitation is not sent again: ",
			}[e.GetType()] + document.RefusalWords(a[event.AttributeReason], providerName)
			if more := a[event.AttributeMessage]; more != "" && private {
				text += ": " + strings.TrimSuffix(more, ".")
			}
			return text + ".", false
		case event.NotificationRequested:
			leave = append(leave, document.ChannelWord(e.GetNotice().GetChannel()))
		case event.NotificationSuppressed:
			stay = append(stay, strings.TrimSpace(document.ChannelWord(e.GetNotice().GetChannel())+" ("+strings.ReplaceAll(e.GetNotice().GetReason(), "-", " ")+")"))
		}
	}
	switch {
	case len(leave) > 0:
		text = "The invitation is on its way once more by " + strings.Join(leave, " and ") + "."
		if len(stay) > 0 {
			text += " Not by " + strings.Join(stay, " and ") + "."
		}
		return text, true
	case len(stay) > 0:
		return "The invitation is not sent again: not by " + strings.Join(stay, " and ") + ".", false
	default:
		return "", false
	}
}
