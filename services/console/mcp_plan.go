package console

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/signrelay/signrelay/libs/operate"
)

// planTools make plans. Each plan is that of the console's page, so both refuse the same things.
var planTools = []struct {
	tool *mcp.Tool
	plan func(*Request, planArguments) (toolPlan, error)
}{
	planTool("plan_replay", "Plan a replay", operate.Replay,
		"Says what a replay of dead letters, or of quarantined callbacks, would do: which messages leave, to how many people, what they cost, and what stays and why."),
	planTool("plan_drop", "Plan a removal", operate.Drop,
		"Says what it means to remove dead letters, or quarantined callbacks, for good. No message leaves for them afterwards."),
	planTool("plan_release", "Plan a release", operate.Release,
		"Says what a release of held messages that are beyond a limit would do. Other held messages leave by themselves when their cause is fixed."),
}

func planTool(name, title string, action operate.Action, what string) (p struct {
	tool *mcp.Tool
	plan func(*Request, planArguments) (toolPlan, error)
}) {
	no := false
	p.tool = &mcp.Tool{
		Name: name, InputSchema: argumentsOf[planArguments](stuckValues), Annotations: &mcp.ToolAnnotations{Title: title, DestructiveHint: &no, OpenWorldHint: &no},
		Description: what + " It changes nothing. It needs the role operate. The plan has exactly the items of now, and its token holds for 10 minutes and for you only. " +
			"Show the summary to the user and wait for consent before you call start_plan.",
	}
	p.plan = func(r *Request, in planArguments) (toolPlan, error) { return planByTool(r, action, in) }
	return p
}

type planArguments struct {
	Keys []string `json:"keys,omitempty" jsonschema:"the keys of the items, from list_stuck"`
	All  bool     `json:"all_that_match,omitempty" jsonschema:"true for all that match the filters, instead of keys"`
	stuckFilters
	Rate int `json:"rate,omitempty" jsonschema:"items a second, 1 to 1000; 10 without it"`
}

type toolPlan struct {
	Token   string         `json:"plan_token" jsonschema:"for start_plan; a secret of yours"`
	ID      string         `json:"plan_id" jsonschema:"also that of the job"`
	Action  operate.Action `json:"action"`
	Items   int            `json:"items"`
	Summary string         `json:"summary"`
	Until   time.Time      `json:"holds_until"`
	People  int            `json:"people" jsonschema:"different people who get at least one message"`
	Leaves  []planLeaving  `json:"leaves" jsonschema:"the messages that leave"`
	Stays   []planStaying  `json:"stays" jsonschema:"what does not leave, and why"`
	Held    []planStaying  `json:"held_again" jsonschema:"messages that would be held again at once"`
	Rows    []planRow      `json:"items_by_kind"`
	Events  int            `json:"events,omitempty" jsonschema:"they go to the enricher, which asks the provider whether more messages follow"`
	Waits   int            `json:"wait_for_quiet_hours,omitempty" jsonschema:"of the messages that leave"`
	Unknown int            `json:"outcome_unknown,omitempty" jsonschema:"it is unknown whether their message was sent: it may arrive a second time"`
	Rate    int            `json:"items_a_second"`
}

type planLeaving struct {
	Channel  string `json:"channel"`
	Messages int    `json:"messages"`
	People   int    `json:"people"`
	Parts    int    `json:"text_parts,omitempty"`
	Cost     string `json:"cost,omitempty"`
}

type planStaying struct {
	Count   int    `json:"count"`
	Channel string `json:"channel,omitempty"`
	Why     string `json:"why"`
}

type planRow struct {
	Stage  string `json:"stage"`
	What   string `json:"what"`
	Count  int    `json:"count"`
	People int    `json:"people,omitempty"`
}

// planByTool makes the plan that the page of the same address makes. The page checks the role.
func planByTool(r *Request, action operate.Action, in planArguments) (out toolPlan, err error) {
	query, err := in.address(action)
	if err != nil {
		return out, err
	}
	f, err := filterOf(query, r.Now)
	if err != nil {
		return out, err
	}
	page := *r
	page.Request = r.Clone(r.Context())
	page.URL = &url.URL{Path: "/stuck", RawQuery: query.Encode()}
	view, err := planPage(&page, f)
	if err != nil {
		return out, err
	}
	d, ok := view.Data.(planData)
	if !ok {
		return out, fmt.Errorf("the plan is a %T", view.Data)
	}
	return toolPlanOf(d.Plan), nil
}

// address returns the query of the page that makes the plan.
func (in planArguments) address(action operate.Action) (url.Values, error) {
	query := in.values()
	switch {
	case len(in.Keys) > 0 && (in.All || len(query) > 0):
		return nil, unfit("keys", "Give either keys, or filters with all_that_match. Nothing was done.")
	case len(in.Keys) > operate.MostOnPage:
		return nil, unfit("keys", fmt.Sprintf("It has %d keys, and accepts %d: use filters with all_that_match. Nothing was done.", len(in.Keys), operate.MostOnPage))
	case len(in.Keys) > 0:
		what, _, _ := strings.Cut(in.Keys[0], ".")
		for _, key := range in.Keys {
			if kind, _, _ := strings.Cut(key, "."); kind != what {
				return nil, unfit("keys", "All keys of a plan are of one kind: dead, quarantined or held. Nothing was done.")
			}
		}
		if held := what == string(operate.Held); held != (action == operate.Release) {
			return nil, unfit("keys", fmt.Sprintf("The action %s is not for what is %s. Nothing was done.", action, shorten(what)))
		}
		query["key"] = in.Keys
		query.Set("which", "selected")
		query.Set("what", what)
	case !in.All:
		return nil, unfit("all_that_match", "Say what the plan is for: keys of items, or filters with all_that_match true. Nothing was done.")
	default:
		query.Set("which", "match")
	}
	if in.Rate != 0 {
		query.Set("rate", strconv.Itoa(in.Rate))
	}
	query.Set("do", string(action))
	return query, nil
}

func toolPlanOf(p operate.Plan) toolPlan {
	t := toolPlan{
		Token: p.Token, ID: p.ID, Action: p.Action, Items: p.Items, Summary: p.Summary(), Until: p.Until, People: p.People, Leaves: []planLeaving{}, Stays: stayingOf(p.Stays),
		Held: stayingOf(p.Held), Rows: []planRow{}, Events: p.Events, Waits: p.Waits, Unknown: p.Unknown, Rate: p.Rate,
	}
	for _, l := range p.Leaves {
		one := planLeaving{Channel: l.Channel, Messages: l.Messages, People: l.People}
		if l.Cost != nil {
			one.Parts, one.Cost = l.Cost.Parts, l.Cost.Money()
		}
		t.Leaves = append(t.Leaves, one)
	}
	for _, row := range p.Rows[:min(len(p.Rows), mostToolGroups)] {
		t.Rows = append(t.Rows, planRow{row.Stage, plainText(row.What, longestToolText), row.Count, row.People})
	}
	return t
}

func stayingOf(all []operate.Staying) []planStaying {
	list := []planStaying{}
	for _, s := range all[:min(len(all), mostToolGroups)] {
		list = append(list, planStaying{s.Count, s.Channel, plainText(s.Because(), longestToolText)})
	}
	return list
}

var startTool = func() *mcp.Tool {
	yes, no := true, false
	return &mcp.Tool{
		Name: "start_plan", Annotations: &mcp.ToolAnnotations{Title: "Start a plan", DestructiveHint: &yes, OpenWorldHint: &no}, InputSchema: argumentsOf[startArguments](nil),
		Description: "Starts a plan after the user agreed to it. It does exactly what the plan said; if an item left or changed since, it does nothing. It sends messages to people or removes items, and is " +
			"stored in the log with your name and the reason. It needs the role operate. Use show_job for the progress.",
	}
}()

type startArguments struct {
	Token  string `json:"plan_token" jsonschema:"of a plan_ tool"`
	Items  int    `json:"items" jsonschema:"the number of items in the plan, which the user agreed to"`
	Reason string `json:"reason" jsonschema:"why, for the log: a sentence or the number of a ticket, without a name or an address; at most 300 bytes"`
}

// startByTool starts a plan as its page does.
func startByTool(r *Request, in startArguments) (out toolJob, err error) {
	if err := r.mayAct(); err != nil {
		return out, err
	}
	plan, _, err := r.Console.operator.Planned(r.Context(), in.Token, r.user())
	if err == nil && plan.Items != in.Items {
		return out, &Problem{Status: http.StatusUnprocessableEntity, Title: "The number of items is not that of the plan",
			Detail: fmt.Sprintf("The plan has %d. Show it to the user again. Nothing was done.", plan.Items)}
	}
	page := *r
	page.Request = r.Clone(r.Context())
	page.PostForm = url.Values{"plan": {in.Token}, "why": {in.Reason}, "count": {strconv.Itoa(in.Items)}}
	view, err := startPlan(&page)
	if err != nil {
		return out, err
	}
	j, ok := view.Data.(JobView)
	if !ok {
		return out, fmt.Errorf("the job is a %T", view.Data)
	}
	return r.Console.toolJob(j.Job), nil
}
