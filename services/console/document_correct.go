package console

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/recipient"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The action Correct has a form with the person's name and addresses. It is sent by POST, because an address must not have them. The first POST checks
// the form and shows the plan, and the second one has the plan's effect and the reason.

// fieldView is a field of the form. Its value is personal data.
type fieldView struct {
	Name     string `json:"name"` // as the POST has it
	Label    string `json:"label"`
	Value    string `json:"value"`
	Mistake  string `json:"mistake,omitempty"`
	Type     string `json:"-"`
	Mode     string `json:"-"`
	Longest  int    `json:"-"`
	Required bool   `json:"required,omitempty"`
}

// correction reads the form about a person, or fills it with what the log knows. It returns the details if they can be planned.
func (r *Request) correction(d operate.Document, p *document.Person, v *planView, values url.Values) *pack.Details {
	sources := r.Console.env.Config.Sources
	i := slices.IndexFunc(sources, func(src config.Source) bool { return src.Provider == d.Provider && src.Name == d.Source })
	if i < 0 {
		v.Refused = "The settings do not have the source of the document any more."
		return nil
	}
	maker, _ := providers.ByName(d.Provider)
	rules := maker.Corrects
	v.Fields = []fieldView{
		{Name: pack.FieldFirstName, Label: "First name", Value: p.FirstName, Type: "text", Longest: 100, Required: rules != nil && rules.Name},
		{Name: pack.FieldLastName, Label: "Last name", Value: p.LastName, Type: "text", Longest: 100, Required: rules != nil && rules.Name},
		{Name: pack.FieldEmail, Label: "E-mail address", Value: p.Email, Type: "text", Mode: "email", Longest: 254, Required: rules != nil && rules.Email},
		{Name: pack.FieldMobile, Label: "Mobile number", Value: p.Mobile, Type: "tel", Mode: "tel", Longest: 40},
	}
	if !slices.ContainsFunc(v.Fields, func(f fieldView) bool { return values.Has(f.Name) }) {
		return nil
	}
	for i, f := range v.Fields {
		if values.Has(f.Name) { // a script may send only what changes
			v.Fields[i].Value = values.Get(f.Name)
		}
	}
	given := pack.Details{FirstName: v.Fields[0].Value, LastName: v.Fields[1].Value, Email: v.Fields[2].Value, Mobile: v.Fields[3].Value}
	to, mistakes := recipient.CheckDetails(given, rules, sources[i].Region)
	for _, m := range mistakes {
		for j := range v.Fields {
			if f := &v.Fields[j]; f.Name == m.Field && f.Mistake == "" {
				f.Mistake = fullSentence(m.Text)
			}
		}
	}
	if len(mistakes) > 0 {
		v.Error = "Correct the fields below. Nothing was done."
		return nil
	}
	for j, text := range []string{to.FirstName, to.LastName, to.Email, to.Mobile} {
		v.Fields[j].Value = text
	}
	return &to
}

// notPlanned shows the form of a correction that has no plan, and says why.
func (v *planView) notPlanned() (status int) {
	switch {
	case v.Do == operate.Correct && v.Error != "":
		return http.StatusUnprocessableEntity
	case v.Do == operate.Correct && len(v.Fields) > 0:
		v.Error = "Send the name and the addresses as they should be. Nothing was done."
	default:
		v.Error = "Choose a person."
	}
	return http.StatusBadRequest
}

// provided returns the choice of the provider's own message, for a person who never got an invitation of ours; false if the provider sends none on
// request.
func provided(d operate.Document, p *document.Person) (channelView, bool) {
	maker, _ := providers.ByName(d.Provider)
	ours := slices.ContainsFunc(p.Messages, func(m document.Message) bool { return m.Kind == "invitation" })
	return channelView{Name: event.ByProvider, Word: "the provider’s own message, from " + document.ProviderName(d.Provider)}, maker.ResendEvery > 0 && !ours
}

// orderOutcome says what became of the order of a job about a person; empty for another job.
func (d *documentData) orderOutcome(got operate.Dossier) {
	order := d.Job.OrderOf()
	if order == "" {
		return
	}
	var events []*signingv1.SigningEvent
	for _, s := range got.Events {
		if operate.OutcomeIn(s.Event, order) {
			events = append(events, s.Event)
		}
	}
	if d.Outcome, d.Fulfilled = operate.OutcomeWords(events, d.Name, d.Private); d.Outcome == "" && d.Job.State.Open() || d.Outcome == "" && d.Job.Done > 0 {
		d.Outcome = "The order has no outcome yet. This takes less than a minute, unless the provider is away."
		d.Fulfilled = true // nothing is wrong so far
	}
}
