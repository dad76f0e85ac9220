package shortener

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/recipient"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The page of a link for corrections. The sender of a document gets the link when no message reached a person. It works for one order: to correct
// the person, or to send the invitation again. The page shows the person's name and addresses, so it opens by a button, which robots do not press.

// step is the form's field "correct".
type step string

const (
	stepAgain  step = "again"  // show the form once more, after a refusal
	stepSave   step = "save"   // correct the person
	stepResend step = "resend" // the details are right: send the invitation again
)

// longestCorrection is the largest form in bytes: four fields of 100 characters, each of up to 4 bytes that are escaped.
const longestCorrection = 8 << 10

// replaced shows that a link was replaced, and reports whether that is so: it was made before the latest correction of its person. If that cannot
// be read, the link does not open.
func (d *handler) replaced(v *visit) bool {
	if v.entry.Recipient == "" || v.entry.corrects() {
		return false
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), storeTimeout)
	defer cancel()
	is, err := d.optOuts.CorrectionOf(ctx, v.entry.person())
	switch {
	case err != nil:
		d.log.ErrorContext(v.r.Context(), "short link not opened: the corrections of its person were not read", "error", err)
		if v.r.Method == http.MethodPost && wishOf(v) != "" {
			d.show(v, stopLost)
		} else {
			d.show(v, failed)
		}
	case is.ID != "" && is.ID != v.entry.Correction:
		d.show(v, superseded)
	default:
		return false
	}
	return true
}

// person is the person whom the link is about.
func (l link) person() event.Signer {
	return event.Signer{Source: l.Source, Provider: l.Provider, Document: l.Document, Recipient: l.Recipient}
}

// correct serves the button and the form of a link for corrections.
func (d *handler) correct(v *visit) {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, longestCorrection)
	if d.ordered(v) {
		return
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), d.providerTimeout)
	defer cancel()
	src := d.sources()[providers.SourceKey{Name: v.entry.Source, Provider: v.entry.Provider}]
	if src.API == nil {
		d.log.ErrorContext(ctx, "no correction: the settings have no API for the provider", "source", v.entry.Source, "provider", v.entry.Provider)
		d.show(v, busyFor(0))
		return
	}
	who, err := recipient.Find(ctx, d.signing, src.API, v.entry.person())
	if state := new(pack.NotCorrectableError); errors.As(err, &state) {
		d.show(v, notCorrectable(string(state.Reason)))
		return
	}
	if err != nil {
		d.showFailure(v, err)
		return
	}
	maker, _ := providers.ByName(v.entry.Provider)
	if maker.Corrects == nil && !who.Invite {
		d.show(v, notCorrectable(recipient.ProviderWrites))
		return
	}
	form := &correctForm{Details: who.Details()}
	switch step(v.r.PostFormValue("correct")) {
	case stepSave:
		form.Details = pack.Details{
			FirstName: v.r.PostFormValue(pack.FieldFirstName), LastName: v.r.PostFormValue(pack.FieldLastName),
			Email: v.r.PostFormValue(pack.FieldEmail), Mobile: v.r.PostFormValue(pack.FieldMobile),
		}
		to, mistakes := recipient.CheckDetails(form.Details, maker.Corrects, src.Settings.Region)
		was, _ := recipient.CheckDetails(who.Details(), nil, src.Settings.Region) // the same person in the same spelling
		switch {
		case len(mistakes) > 0:
			form.mistakes = mistakes
		case to == was:
			form.unchanged = true
		default:
			d.place(v, d.orderOf(v, event.CorrectionRequested, recipient.Corrected(v.entry.Recipient, to)))
			return
		}
	case stepResend:
		again := d.orderOf(v, event.ResendRequested, &signingv1.Recipient{Id: v.entry.Recipient})
		if !who.Invite {
			again.Attributes[event.AttributeChannels] = event.ByProvider
		}
		d.place(v, again)
		return
	case stepAgain: // like the button
	}
	d.show(v, page{outcome: "correct", status: http.StatusOK, correct: form})
}

// ordered shows the state of the order that the link was used for, and reports whether there is one. A link whose order was refused, or did not
// reach the log, works once more.
func (d *handler) ordered(v *visit) bool {
	if v.entry.Order == "" {
		return false
	}
	state, _, err := d.orderState(v)
	if err == nil && (state == orderLost || state == orderRefused && v.r.PostFormValue("correct") != "") {
		return false
	}
	d.showOrder(v)
	return true
}

// orderOf returns the event of an order of the sender.
func (d *handler) orderOf(v *visit, typ string, person *signingv1.Recipient) *signingv1.SigningEvent {
	e := about(d.links.now().UTC(), v.entry.Source, v.entry.Provider, v.entry.Document, v.entry.Recipient)
	e.Type, e.Recipient = typ, person
	e.Attributes = map[string]string{event.AttributeBy: event.BySender, event.AttributeReason: "no message reached the person"}
	e.Id = event.OccurrenceID(e, "page", v.entry.code, rand.Text())
	return e
}

// place notes the order with the link, stores its event, and shows its state. Of two orders at the same time, one is stored.
func (d *handler) place(v *visit, order *signingv1.SigningEvent) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), storeTimeout)
	defer cancel()
	first, err := d.links.order(ctx, v.entry, order.GetId())
	if err == nil && first {
		v.entry.Order = order.GetId()
		m, failure := event.Message(ctx, order)
		if err = failure; err == nil {
			_, err = d.js.PublishMsg(ctx, m)
		}
	}
	if err != nil {
		d.log.ErrorContext(ctx, "a correction was not stored", "source", v.entry.Source, "provider", v.entry.Provider, "error", err)
		d.show(v, failed)
		return
	}
	d.show(v, orderPending)
}

// The states of an order.
type orderState int

const (
	orderLost      orderState = iota // the log does not have it: the link was not used
	orderWaits                       // it has no outcome yet
	orderFulfilled                   // the person was corrected, or gets the invitation again
	orderRefused
)

// orderState reads the state of the link's order from the log, and the event of its outcome.
func (d *handler) orderState(v *visit) (orderState, *signingv1.SigningEvent, error) {
	ctx, cancel := context.WithTimeout(v.r.Context(), storeTimeout)
	defer cancel()
	state, outcome := orderLost, (*signingv1.SigningEvent)(nil)
	types := []string{
		event.CorrectionRequested, event.ResendRequested, event.RecipientCorrected, event.CorrectionRefused, event.RecipientResent, event.ResendRefused,
		event.NotificationRequested,
	}
	for stored, err := range d.signing.Document(ctx, v.entry.person(), types) {
		if err != nil {
			return orderLost, nil, err
		}
		e := stored.Event
		switch typ := e.GetType(); {
		case e.GetId() == v.entry.Order:
			state = max(state, orderWaits)
		case typ == event.NotificationRequested && e.GetNotice().GetEventId() == v.entry.Order: // our own invitation, once more
			state = orderFulfilled
		case e.GetAttributes()[event.AttributeOrder] != v.entry.Order:
		case typ == event.CorrectionRefused, typ == event.ResendRefused:
			state, outcome = orderRefused, e
		default:
			state, outcome = orderFulfilled, e
		}
	}
	return state, outcome, nil
}

// showOrder shows the state of the link's order.
func (d *handler) showOrder(v *visit) {
	state, outcome, err := d.orderState(v)
	switch {
	case err != nil:
		d.log.ErrorContext(v.r.Context(), "the state of a correction was not read", "error", err)
		d.show(v, failed)
	case state == orderLost:
		d.show(v, button(v.entry.link))
	case state == orderWaits:
		d.show(v, orderPending)
	case state == orderFulfilled && outcome.GetType() == event.RecipientCorrected:
		d.show(v, page{outcome: "corrected", status: http.StatusOK})
	case state == orderFulfilled:
		d.show(v, page{outcome: "resent", status: http.StatusOK})
	default:
		p := notCorrectable(outcome.GetAttributes()[event.AttributeReason])
		p.correct = &correctForm{refusal: outcome.GetAttributes()[event.AttributeMessage], onlyRefusal: true}
		d.show(v, p)
	}
}

// notCorrectable returns the page for a reason against an order.
func notCorrectable(reason string) page {
	switch reason {
	case event.OverSigned:
		return page{outcome: "correct-signed", status: http.StatusOK}
	case event.OverDeclined, event.OverDocument:
		return page{outcome: string(pack.Ended), status: http.StatusGone}
	case event.OverCorrected:
		return page{outcome: "corrected", status: http.StatusOK}
	case recipient.ProviderWrites, recipient.NotListed, event.RefusedNotSupported, event.RefusedNoAPI:
		return page{outcome: "correct-elsewhere", status: http.StatusOK}
	default:
		return page{outcome: "correct-refused", status: http.StatusOK}
	}
}

var (
	// superseded is the page of a link from before a correction.
	superseded = page{outcome: "superseded", status: http.StatusGone}
	// orderPending waits for the enricher, which takes less than a second unless the provider is away.
	orderPending = page{outcome: "correct-pending", status: http.StatusOK, refresh: 2 * time.Second}
)

// correctForm is the form of a link for corrections.
type correctForm struct {
	pack.Details
	mistakes    []pack.Mistake
	unchanged   bool   // nothing was corrected
	refusal     string // the provider's explanation
	onlyRefusal bool   // without the fields
}

// correctContent is the form for page.html.
type correctContent struct {
	Fields        []correctField
	Save, Resend  string
	Alert, Quoted string // what is wrong with the whole form; the provider's words
	Again         string // the button that opens the form once more; empty for none
}

type correctField struct {
	Name, Label, Value, Mistake string
	Type, Mode, Complete        string // of the input
	Longest                     int
}

func (f *correctForm) content(in translation) *correctContent {
	words := in.correction
	if f.onlyRefusal {
		return &correctContent{Quoted: f.refusal, Again: words.again}
	}
	c := &correctContent{Save: words.save, Resend: words.resend}
	if f.unchanged {
		c.Alert = words.unchanged
	}
	for _, field := range []correctField{
		{Name: pack.FieldFirstName, Label: words.firstName, Value: f.FirstName, Type: "text", Longest: 100},
		{Name: pack.FieldLastName, Label: words.lastName, Value: f.LastName, Type: "text", Longest: 100},
		{Name: pack.FieldEmail, Label: words.email, Value: f.Email, Type: "text", Mode: "email", Longest: 254},
		{Name: pack.FieldMobile, Label: words.mobile, Value: f.Mobile, Type: "tel", Mode: "tel", Longest: 40},
	} {
		if i := slices.IndexFunc(f.mistakes, func(m pack.Mistake) bool { return m.Field == field.Name }); i >= 0 {
			field.Mistake = words.mistake(f.mistakes[i])
		}
		c.Fields = append(c.Fields, field)
	}
	if len(f.mistakes) > 0 {
		c.Alert = words.wrong
	}
	return c
}
