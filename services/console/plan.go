package console

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/signrelay/signrelay/libs/operate"
)

// mostUntyped is the number of items up to which an action on everything needs no number typed in.
const mostUntyped = 100

type planData struct {
	operate.Plan
	FormToken string `json:"form_token"`      // for the header Signrelay-Token of the POST
	Type      bool   `json:"type_the_number"` // the POST needs the number of items in the field count
	Title     string `json:"title"`
	Verb      string `json:"-"`
	Noun      string `json:"-"`
	Summary   string `json:"summary"`
	Back      string `json:"-"`
	Danger    bool   `json:"-"`
	Stays     []stay `json:"-"`
	Held      []stay `json:"-"`
}

type stay struct{ Counted, Because string }

// planPage makes a plan and shows it. Nothing is done yet, so that its address can be sent to a colleague, who gets a plan of their own.
func planPage(r *Request, f selected) (View, error) {
	if err := r.mayAct(); err != nil {
		return View{}, err
	}
	query := r.URL.Query()
	action := actionOf(query.Get("do"), f.What)
	if action == "" {
		return View{}, &Problem{Status: http.StatusBadRequest, Title: unknownValue, Back: "/stuck",
			Detail: "The key do accepts replay, drop, release, release-channels, replay-callbacks and drop-callbacks."}
	}
	s := operate.Selection{}
	switch which := query.Get("which"); which {
	case "", "selected":
		s.Keys = query["key"]
		if len(s.Keys) == 0 && (which == "selected" || f.Filter == operate.Filter{}) {
			return View{}, &Problem{Status: http.StatusUnprocessableEntity, Title: "Nothing is selected", Back: f.with("", ""),
				Detail: "Select rows first, or choose all that match."}
		}
		if len(s.Keys) == 0 {
			s.Filter = f.Filter
		}
	case "page":
		page, err := r.Console.operator.Items(r.Context(), f.Filter, query.Get("after"), rowsOnPage)
		if err != nil {
			return View{}, err
		}
		for _, i := range page.Items {
			if takes(action, i) {
				s.Keys = append(s.Keys, i.Key)
			}
		}
		if len(s.Keys) == 0 {
			return View{}, &Problem{Status: http.StatusUnprocessableEntity, Title: "Nothing is selected", Detail: "The page has nothing for this action.", Back: f.with("", "")}
		}
	case "match":
		s.Filter, s.All = f.Filter, f.Filter == operate.Filter{}
	default:
		return View{}, &Problem{Status: http.StatusBadRequest, Title: unknownValue, Detail: "The key which accepts selected, page and match.", Back: "/stuck"}
	}
	if rate := query.Get("rate"); rate != "" {
		n, err := strconv.Atoi(rate)
		if err != nil {
			n = -1
		}
		s.Rate = n
	}
	if action == operate.ReleaseChannels { // it is about channels, so the server does not take single messages
		s.Keys, s.All = nil, false
		if f.Channel != "" {
			s.Channels = []string{f.Channel}
		}
	}
	plan, err := r.Console.operator.Plan(r.Context(), action, s, r.user(), "")
	if err != nil {
		return View{}, explained(err, f.with("", ""))
	}
	return r.planView(plan, s, f.with("", "")), nil
}

// takes reports whether an action is for an item.
func takes(action operate.Action, i operate.Item) bool {
	switch action {
	case operate.Replay, operate.Drop:
		return i.What == operate.Dead
	case operate.ReplayCallbacks, operate.DropCallbacks:
		return i.What == operate.Quarantined
	default:
		return i.What == operate.Held
	}
}

// actionOf returns the action that an address names. replay and drop of quarantined callbacks have their own.
func actionOf(do string, what operate.What) operate.Action {
	a := operate.Action(do)
	switch {
	case what == operate.Quarantined && a == operate.Replay:
		return operate.ReplayCallbacks
	case what == operate.Quarantined && a == operate.Drop:
		return operate.DropCallbacks
	case slices.Contains([]operate.Action{operate.Replay, operate.Drop, operate.ReplayCallbacks, operate.DropCallbacks, operate.Release, operate.ReleaseChannels}, a):
		return a
	default:
		return ""
	}
}

// typed reports whether an action is on everything of its kind and so large that its number must be typed in.
func typed(p operate.Plan, s operate.Selection) bool {
	all := s.All || len(s.Keys) == 0 && s.Filter == operate.Filter{What: s.Filter.What}
	return all && p.Items > mostUntyped
}

func (r *Request) planView(p operate.Plan, s operate.Selection, back string) View {
	verb, noun := p.Action.Words()
	d := planData{
		Plan: p, FormToken: r.Console.token(r.id), Type: typed(p, s), Verb: verb, Noun: noun, Back: back,
		Danger: p.Action == operate.Drop || p.Action == operate.DropCallbacks,
	}
	d.Title = fmt.Sprintf("The plan: %s %s", strings.ToLower(verb), counted(p.Items, noun))
	d.Summary = p.Summary()
	for _, one := range p.Stays {
		d.Stays = append(d.Stays, stay{one.Counted(), one.Because()})
	}
	for _, one := range p.Held {
		d.Held = append(d.Held, stay{one.Counted(), one.Because()})
	}
	return View{Template: "plan", Title: d.Title, Data: d}
}

// Words of several pages.
const verbReplay, verbDrop, deadLetter = "Replay", "Drop", "dead letter"

// startPlan starts a plan by its token.
func startPlan(r *Request) (View, error) {
	o, token := r.Console.operator, r.PostForm.Get("plan")
	plan, s, err := o.Planned(r.Context(), token, r.user())
	if err == nil && typed(plan, s) && strings.ReplaceAll(strings.TrimSpace(r.PostForm.Get("count")), ",", "") != strconv.Itoa(plan.Items) {
		return View{}, &Problem{Status: http.StatusUnprocessableEntity, Title: "Type the number first", Back: "/stuck",
			Detail: fmt.Sprintf("The plan is for everything: type %d to confirm it. Nothing was done.", plan.Items)}
	}
	if do := r.URL.Query().Get("do"); err == nil && do != "" && operate.Action(do) != plan.Action && actionOf(do, operate.Quarantined) != plan.Action {
		return View{}, &Problem{Status: http.StatusUnprocessableEntity, Title: "The plan is for another action", Back: "/stuck",
			Detail: fmt.Sprintf("The plan is for %s, and the address for %s. Nothing was done.", plan.Action, shorten(do))}
	}
	j, err := o.StartFor(r.Context(), token, r.user(), strings.TrimSpace(r.PostForm.Get("why")))
	if err != nil {
		return View{}, explained(err, "/stuck")
	}
	r.Console.jobs.Store(true)
	return View{Next: "/jobs/" + j.ID, Data: jobOf(j)}, nil
}

type itemData struct {
	operate.Item
	Content  *operate.Content `json:"content,omitempty"` // with the role private only
	Masked   bool             `json:"masked"`            // the content is left out, because the role private is missing
	Runbook  string           `json:"-"`
	Word     string           `json:"-"`
	Draft    string           `json:"-"` // in the textarea
	Mistake  string           `json:"-"`
	Editable bool             `json:"-"`
	Whose    string           `json:"-"`
	Level    string           `json:"-"`
	List     string           `json:"-"`
	Offers   []Offer          `json:"-"`
}

func (r *Request) item() (itemData, error) {
	o := r.Console.operator
	i, content, err := o.Item(r.Context(), r.PathValue("key"))
	if err != nil {
		return itemData{}, explained(err, "/stuck")
	}
	d := itemData{Item: i, Masked: !r.Can(Private), Word: wordOf(i)}
	d.Whose, d.Level = whose(i.Fault)
	d.List = stuckPath(url.Values{"what": {string(i.What)}, "stage": {i.Stage}, "reason": {i.Reason}})
	if r.Can(Private) {
		if err := o.Looked(r.Context(), i, r.user()); err != nil {
			return itemData{}, err
		}
		d.Content, d.Draft = &content, content.Text
		if i.What == operate.Quarantined && content.Query != "" {
			d.Draft = content.Query
		}
		d.Editable = r.mayAct() == nil && i.What != operate.Held && !i.Gone
	}
	switch i.What {
	case operate.Dead:
		if !i.Gone {
			d.Offers = append(d.Offers, Offer{Do: operate.Replay, Verb: verbReplay})
		}
		d.Offers = append(d.Offers, Offer{Do: operate.Drop, Verb: verbDrop, Danger: true})
	case operate.Quarantined:
		d.Offers = []Offer{{Do: operate.ReplayCallbacks, Verb: verbReplay}, {Do: operate.DropCallbacks, Verb: verbDrop, Danger: true}}
	case operate.Held:
		if i.Limit {
			d.Offers = []Offer{{Do: operate.Release, Verb: "Release"}}
		}
	}
	return d, nil
}

func itemPage(r *Request) (View, error) {
	d, err := r.item()
	if err != nil {
		return View{}, err
	}
	return View{Template: "item", Title: d.Word + " is stuck: " + strings.ReplaceAll(d.Reason, "-", " "), Data: d}, nil
}

// checkRepair checks that a repaired content can be decoded, and shows its plan with the difference. The content is in a form and not in an address,
// because it is personal data.
func checkRepair(r *Request) (View, error) {
	d, err := r.item()
	if err != nil {
		return View{}, err
	}
	text := strings.ReplaceAll(r.PostForm.Get("body"), "\r\n", "\n")
	s, action := operate.Selection{Keys: []string{d.Key}}, operate.Repair
	if d.What == operate.Quarantined {
		s.Body, action = []byte(text), operate.RepairCallback
	} else if s.Body, err = operate.Encoded(d.Content.Subject, text); err == nil && d.What == operate.Held {
		err = &Problem{Status: http.StatusUnprocessableEntity, Title: "A held message cannot be repaired", Detail: "It leaves when its cause is fixed.", Back: "/stuck"}
	}
	var plan operate.Plan
	if err == nil {
		plan, err = r.Console.operator.Plan(r.Context(), action, s, r.user(), "")
	}
	if err != nil {
		err = explained(err, "/stuck/"+d.Key)
		problem, ok := err.(*Problem) //nolint:errorlint // explained returns it unwrapped
		if !ok || r.JSON {
			return View{}, err
		}
		d.Draft, d.Mistake = text, problem.Detail
		return View{Template: "item", Title: "The repair does not hold: look below", Status: problem.Status, Data: d}, nil
	}
	return r.planView(plan, s, "/stuck/"+d.Key), nil
}
