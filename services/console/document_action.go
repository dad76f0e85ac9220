package console

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/operate"
	archivesettings "github.com/signrelay/signrelay/services/archiver/settings"
)

// actionView is one action on the page, with its consequence, or with the reason why it cannot be done.
type actionView struct {
	Do      operate.Action `json:"do"`
	Label   string         `json:"label"`
	Effect  string         `json:"effect"`
	Blocked string         `json:"blocked,omitempty"`
	Danger  bool           `json:"-"`
	Path    string         `json:"path,omitempty"`
}

// evidence is the action that downloads an evidence file. It changes nothing, so it has no plan.
const evidenceAction operate.Action = "evidence"

// roleOf returns the role that an action needs.
func roleOf(a operate.Action) Role {
	switch a {
	case operate.Erase:
		return Erase
	case evidenceAction:
		return Private
	case operate.Correct: // its form has the person's name and addresses
		return Operate | Private
	default:
		return Operate
	}
}

// actions returns what can be done with a document now.
func (r *Request) actions(got operate.Dossier) []actionView {
	d, path := &got.Document, DocumentPath(got.Is.Provider, got.Is.Source, r.PathValue("document"))
	names := r.namesOf(got)
	var waiting []string
	for i := range d.People {
		if d.People[i].SignedAt.IsZero() && d.People[i].State != document.RefusedState && d.People[i].ID != "" {
			waiting = append(waiting, names.all[i])
		}
	}
	erased := d.State == document.Erased
	ended := ""
	switch {
	case erased:
		ended = "The document was erased."
	case d.State.Ended():
		ended = "The document has ended, so no person is invited or reminded."
	}
	dead := len(got.Facts.Dead)
	list := []actionView{
		{Do: operate.Replay, Label: "Replay " + counted(dead, "dead letter") + "…", Effect: "Each goes back to its stage" + prefixed(", for ", few(names.dead, "and")) + ". What the log shows as sent is not sent again."},
		{Do: operate.Resend, Label: "Invite again…", Effect: capitalized(few(waiting, "or")) + " gets the invitation once more, by the channels you choose." + onlyIf(len(names.all) > 1, " The others get nothing.")},
		{Do: operate.Correct, Label: "Correct…", Effect: "You correct the name or the addresses of " + few(waiting, "or") + ", who is invited again. Earlier links stop working."},
		{Do: operate.CancelReminders, Label: "Cancel reminders…", Effect: "The reminders" + prefixed(" to ", few(names.reminded, "and")) + " are cancelled. " + operate.CancelReminders.Consequence()},
		{Do: operate.ArchiveAgain, Label: "Archive again…", Effect: operate.ArchiveAgain.Consequence()},
		{Do: evidenceAction, Label: "Evidence file", Effect: counted(len(got.Events), "event") + " with their callbacks and proofs as one ZIP. It holds names; your download is an event.", Path: path + "?get=evidence"},
	}
	if got.Facts.LegalHold == nil {
		list = append(list, actionView{Do: operate.HoldDocument, Label: "Legal hold…", Effect: operate.HoldDocument.Consequence()})
	} else {
		list = append(list, actionView{Do: operate.ReleaseDocument, Label: "End the legal hold…", Effect: operate.ReleaseDocument.Consequence()})
	}
	list = append(list, actionView{Do: operate.Erase, Label: "Erase…", Danger: true,
		Effect: operate.Erase.Consequence() + prefixed(" It concerns ", few(names.all, "and")) + ". The plan says from where, and what stays."})
	if !r.Can(Private) { // not offered: a reader without the role would see no form
		list = slices.DeleteFunc(list, func(a actionView) bool { return a.Do == operate.Correct })
	}
	block := map[operate.Action]string{
		operate.Resend: ended, operate.Correct: ended, operate.CancelReminders: ended,
	}
	switch {
	case erased:
		block[operate.HoldDocument], block[operate.Erase], block[evidenceAction], block[operate.ArchiveAgain] = ended, ended, ended, ended
	case d.State != document.Completed:
		block[operate.ArchiveAgain] = "Not yet: the signed file is there when everybody has signed."
	case !archivesettings.Section.Of(r.Console.env.Config).On():
		block[operate.ArchiveAgain] = "The settings have no archive."
	}
	if dead == 0 {
		block[operate.Replay] = "The document has no dead letters."
	}
	if ended == "" && len(waiting) == 0 {
		block[operate.Resend] = "The log names no person who has still to sign."
		block[operate.Correct] = block[operate.Resend]
	}
	if ended == "" && len(got.Facts.Reminders) == 0 {
		block[operate.CancelReminders] = "No reminder is scheduled."
	}
	if got.Facts.LegalHold != nil {
		block[operate.Erase] = "The document is under a legal hold. End the hold first."
	}
	if block[evidenceAction] == "" && r.Console.evidenceKey() == "" {
		block[evidenceAction] = "The settings have no key for evidence files (evidence.key)."
	}
	for i := range list {
		a := &list[i]
		a.Blocked = block[a.Do]
		switch {
		case a.Blocked != "":
		case !r.Can(roleOf(a.Do)):
			a.Blocked = "It takes the role " + roleOf(a.Do).String() + "."
		case r.Console.settings.Now().ReadOnly && a.Do != evidenceAction:
			a.Blocked = "The console is read-only."
		}
		switch {
		case a.Blocked != "":
			a.Path = ""
		case a.Path == "":
			a.Path = path + "?do=" + string(a.Do)
		}
		a.Label = strings.Replace(a.Label, " 0 ", " ", 1)
	}
	slices.SortStableFunc(list, func(a, b actionView) int { return min(len(a.Blocked), 1) - min(len(b.Blocked), 1) }) // what can be done comes first
	return list
}

// peopleNames are the names of a document's people as the reader may see them.
type peopleNames struct {
	all            []string // in the order of the people
	dead, reminded []string // those of dead letters, and those with a scheduled reminder
}

func (r *Request) namesOf(got operate.Dossier) (names peopleNames) {
	shown := &got.Document
	if !r.Can(Private) {
		shown = shown.Masked()
	}
	for i := range shown.People {
		names.all = append(names.all, shown.NameOf(i))
	}
	add := func(into *[]string, id string) {
		i := slices.IndexFunc(got.Document.People, func(p document.Person) bool { return id != "" && p.ID == id })
		if i >= 0 && !slices.Contains(*into, names.all[i]) {
			*into = append(*into, names.all[i])
		}
	}
	for _, l := range got.Facts.Dead {
		add(&names.dead, l.Person)
	}
	for _, n := range got.Facts.Reminders {
		add(&names.reminded, n.Person)
	}
	return names
}

// few returns up to three names as a list, otherwise the number of people; empty for none.
func few(names []string, word string) string {
	switch n := len(names); {
	case n == 0:
		return ""
	case n == 1:
		return names[0]
	case n > 3 && word == "or":
		return "one of " + numberOfPeople(n)
	case n > 3:
		return numberOfPeople(n)
	default:
		return strings.Join(names[:n-1], ", ") + " " + word + " " + names[n-1]
	}
}

func prefixed(prefix, text string) string { return onlyIf(text != "", prefix+text) }

func onlyIf(holds bool, text string) string {
	if holds {
		return text
	}
	return ""
}

func capitalized(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// planView is the page of a plan.
type planView struct {
	Title    string         `json:"title"`
	Do       operate.Action `json:"do"`
	People   []personView   `json:"people,omitempty"` // among whom the user chooses
	To       string         `json:"to,omitempty"`
	Name     string         `json:"name,omitempty"` // of the chosen person
	Whom     string         `json:"whom,omitempty"` // whom the action concerns, if no person was chosen
	Channels []channelView  `json:"channels,omitempty"`
	Fields   []fieldView    `json:"fields,omitempty"` // of a correction; personal
	Plan     *operate.Plan  `json:"plan,omitempty"`
	Refused  string         `json:"refused,omitempty"`
	Effect   string         `json:"effect,omitempty"` // identifies what the plan does
	Button   string         `json:"button,omitempty"`
	Changed  bool           `json:"changed,omitempty"`
	Error    string         `json:"error,omitempty"`
	Sure     string         `json:"sure,omitempty"` // what the user types before an erasure
	Stays    string         `json:"stays,omitempty"`
	Reason   string         `json:"-"`
}

type personView struct {
	Number int    `json:"number"`
	Name   string `json:"name"`
	On     bool   `json:"on"`
}

type channelView struct {
	Name string `json:"name"`
	Word string `json:"word"`
	On   bool   `json:"on"`
}

var planTitles = map[operate.Action]string{
	operate.Replay: "Replay the dead letters", operate.Resend: "Invite again", operate.Correct: "Correct a person", operate.CancelReminders: "Cancel the reminders", operate.ArchiveAgain: "Archive again",
	operate.HoldDocument: "Put the document under a legal hold", operate.ReleaseDocument: "End the legal hold", operate.Erase: "Erase the document",
}

// plan says what an action would do now. Nothing is stored.
func (r *Request) plan(got operate.Dossier, do operate.Action, values url.Values) (*planView, error) {
	title, known := planTitles[do]
	if !known {
		return nil, badValue("do", "replay", "resend", "correct", "cancel-reminders", "archive", "hold", "release-hold", "erase")
	}
	if !r.Can(roleOf(do)) {
		return nil, &Problem{Status: http.StatusForbidden, Title: notAllowed,
			Detail: fmt.Sprintf("It takes the role %s. You have %s. Nothing was done.", roleOf(do), cmp.Or(r.Reader.Roles.String(), "no role"))}
	}
	v := &planView{Title: title, Do: do}
	selection, err := r.selection(got, v, values)
	if err != nil || selection == nil {
		return v, err
	}
	plan, err := r.Console.operator.Preview(r.Context(), do, *selection)
	if refused := new(operate.RefusedError); errors.As(err, &refused) {
		v.Refused = fullSentence(refused.Error())
		return v, nil
	}
	if mistake := new(operate.SelectionError); errors.As(err, &mistake) {
		v.Refused = fullSentence(mistake.Error())
		return v, nil
	}
	if err != nil {
		return nil, err
	}
	v.Plan = &plan
	v.Button = buttonOf(do, plan)
	v.Effect, err = plan.Effect()
	return v, err
}

// selection returns what the action is done to; nil while the user has to choose a person.
func (r *Request) selection(got operate.Dossier, v *planView, values url.Values) (*operate.Selection, error) {
	d := got.Is
	s := &operate.Selection{Document: &d}
	people := got.Document
	if !r.Can(Private) {
		people = *people.Masked()
	}
	switch v.Do {
	case operate.Replay:
		v.Whom = few(r.namesOf(got).dead, "and")
		only := got.SelectDead()
		if len(only.Keys) == 0 {
			v.Refused = "The document has no dead letters."
			return nil, nil //nolint:nilnil // v says why
		}
		return &only, nil
	case operate.Erase:
		v.Whom = few(r.namesOf(got).all, "and")
		id := []rune(r.PathValue("document"))
		v.Sure = string(id[max(0, len(id)-4):])
		v.Stays = fmt.Sprintf("What stays: that a document was sent to %s, and when.", numberOfPeople(len(got.Document.People)))
	case operate.Resend, operate.Correct, operate.CancelReminders:
		v.To = values.Get("to")
		for i := range people.People {
			if p := &got.Document.People[i]; p.ID != "" && p.SignedAt.IsZero() && p.State != document.RefusedState {
				v.People = append(v.People, personView{i + 1, people.NameOf(i), v.To == strconv.Itoa(i+1)})
			}
		}
		if v.To == "" && len(v.People) == 1 && v.Do != operate.CancelReminders {
			v.To, v.People[0].On = strconv.Itoa(v.People[0].Number), true
		}
		if v.To == "" && v.Do == operate.CancelReminders {
			v.Whom = few(r.namesOf(got).reminded, "and")
			break
		}
		i := slices.IndexFunc(v.People, func(p personView) bool { return p.On })
		if v.To == "" {
			return nil, nil //nolint:nilnil // the user chooses
		}
		if i < 0 {
			return nil, &Problem{Status: http.StatusBadRequest, Title: "Unknown person", Detail: "The key to is the number of a person who has still to sign, as on the page."}
		}
		v.Name = v.People[i].Name
		person := &got.Document.People[v.People[i].Number-1]
		s.Recipient = person.ID
		switch v.Do {
		case operate.Correct:
			if s.Details = r.correction(d, person, v, values); s.Details == nil {
				return nil, nil //nolint:nilnil // v has the form
			}
		case operate.Resend:
			chosen := values["channel"]
			byProvider, can := provided(d, person)
			if len(chosen) == 0 && can {
				chosen = []string{event.ByProvider}
			}
			if len(chosen) == 0 {
				for _, m := range person.Messages {
					if m.Kind == "invitation" && m.Outcome != document.Suppressed && !slices.Contains(chosen, m.Channel) {
						chosen = append(chosen, m.Channel)
					}
				}
			}
			for _, c := range event.Channels {
				on := slices.Contains(chosen, c.Name)
				v.Channels = append(v.Channels, channelView{c.Name, document.ChannelWord(c.Name), on})
			}
			if can {
				byProvider.On = slices.Contains(chosen, byProvider.Name)
				v.Channels = append(v.Channels, byProvider)
			}
			s.Channels = chosen
		default: // the person is all that it needs
		}
	default: // the document is all that it needs
	}
	return s, nil
}

// fullSentence begins a text with a capital and ends it with a full stop.
func fullSentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}

// buttonOf returns the words of the button: a verb and a number.
func buttonOf(do operate.Action, p operate.Plan) string {
	switch do {
	case operate.Replay:
		return "Replay " + counted(p.Items, "dead letter")
	case operate.Resend:
		if p.AtProvider {
			return "Send 1 message"
		}
		return "Send " + counted(p.Messages()+heldCount(p), "message")
	case operate.Correct:
		return "Correct 1 person"
	case operate.CancelReminders:
		return "Cancel " + counted(p.Items, "reminder")
	case operate.ArchiveAgain:
		return "Archive 1 document"
	case operate.HoldDocument:
		return "Hold 1 document"
	case operate.ReleaseDocument:
		return "End 1 legal hold"
	default:
		return "Erase this document"
	}
}

func heldCount(p operate.Plan) (n int) {
	for _, h := range p.Held {
		n += h.Count
	}
	return n
}

// documentAction does what a plan said, if it still holds.
func documentAction(r *Request) (View, error) {
	got, err := r.dossier()
	if err != nil {
		return View{}, err
	}
	do := operate.Action(cmp.Or(r.URL.Query().Get("do"), r.PostForm.Get("do")))
	if do == operate.Erase && !r.Can(Erase) {
		return View{}, r.refuseErasure(got)
	}
	v, err := r.plan(got, do, r.PostForm)
	if err != nil {
		return View{}, err
	}
	show := func(status int) (View, error) {
		data, err := r.documentData(got)
		if err != nil {
			return View{}, err
		}
		data.Plan, v.Reason = v, r.PostForm.Get("why")
		view := View{Template: "document_plan", Title: v.Title, Status: status, Data: data}
		if r.JSON {
			view.Data = v
		}
		return view, nil
	}
	switch {
	case v.Plan == nil && v.Refused == "":
		return show(v.notPlanned())
	case v.Plan != nil && do == operate.Correct && !r.PostForm.Has("effect"):
		return show(http.StatusOK) // the form is right: this is its plan
	case v.Plan == nil:
		return show(http.StatusConflict)
	case r.PostForm.Get("effect") != v.Effect:
		v.Changed = true
		return show(http.StatusConflict)
	case do == operate.Erase && r.PostForm.Get("sure") != v.Sure:
		v.Error = "Type the last characters of the id as shown. Nothing was done."
		return show(http.StatusBadRequest)
	}
	selection, err := r.selection(got, &planView{Do: do}, r.PostForm)
	if err != nil {
		return View{}, err
	}
	plan, err := r.Console.operator.Plan(r.Context(), do, *selection, r.user(), strings.TrimSpace(r.PostForm.Get("why")))
	if mistake := new(operate.SelectionError); errors.As(err, &mistake) {
		v.Error = fullSentence(mistake.Error())
		return show(http.StatusBadRequest)
	}
	if err != nil {
		return View{}, err
	}
	job, err := r.Console.operator.Start(r.Context(), plan.Token, r.user())
	if changed := new(operate.ChangedError); errors.As(err, &changed) {
		v.Changed = true
		return show(http.StatusConflict)
	}
	if err != nil {
		return View{}, err
	}
	return View{Next: DocumentPath(got.Is.Provider, got.Is.Source, r.PathValue("document")) + "?job=" + url.QueryEscape(job.ID), Data: job}, nil
}

// refuseErasure stores in the log that a reader without the role tried to erase the document. The page has no button for that, so it is no mistake.
func (r *Request) refuseErasure(got operate.Dossier) error {
	detail := fmt.Sprintf("To erase takes the role %s. You have %s. Nothing was done", Erase, cmp.Or(r.Reader.Roles.String(), "no role"))
	if got.Document.State != document.Erased { // an event would bring the id back
		if err := r.Console.operator.Refused(r.Context(), got.Is, operate.Erase, r.user()); err != nil {
			return fmt.Errorf("store that an erasure was refused: %w", err)
		}
		detail += ", and your try is in the log"
	}
	return &Problem{Status: http.StatusForbidden, Title: notAllowed, Detail: detail + "."}
}
