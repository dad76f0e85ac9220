package console_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/quarantine"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	"github.com/signrelay/signrelay/services/console"
	consolesettings "github.com/signrelay/signrelay/services/console/settings"
)

// The personal data of the seeded items. No response to a reader without the role private may have one of them.
var personal = []string{"Ludmila", "Szczepanska", "ludmila@example.com", "61491570156", "Lease of Villa Rosso", "callback of Ludmila"}

func invitation(n int) *notifyv1.Notification {
	at := timestamppb.New(time.Now().Add(-time.Hour))
	return &notifyv1.Notification{
		Id: fmt.Sprint("m", n), EventId: fmt.Sprint("cause-m", n), Source: "onboarding", Provider: "pleasesign", DocumentId: fmt.Sprint("d", n), DocumentTitle: "Lease of Villa Rosso",
		Kind: notifyv1.Kind_KIND_INVITATION, Channel: notifyv1.Channel_CHANNEL_EMAIL, OccurredAt: at, RecordedAt: at,
		To: &notifyv1.Person{RecipientId: fmt.Sprint("p", n), FirstName: "Ludmila", LastName: "Szczepanska", Email: "ludmila@example.com", Mobile: "+61491570156"},
	}
}

// giveUp stores dead letters of the sender of e-mails.
func (b *bench) giveUp(reason string, numbers ...int) {
	b.t.Helper()
	for _, n := range numbers {
		message := invitation(n)
		data, err := proto.Marshal(message)
		if err != nil {
			b.t.Fatal(err)
		}
		_, err = b.Env.JS.PublishMsg(b.t.Context(), &nats.Msg{Subject: "dlq.v1." + flow.EmailSender, Data: data, Header: nats.Header{
			"Signrelay-Dlq-Stage": {flow.EmailSender}, "Signrelay-Dlq-Reason": {reason}, "Signrelay-Dlq-Fault": {"provider"}, "Signrelay-Dlq-Attempts": {"151"},
			"Signrelay-Dlq-Id": {message.GetId()}, "Signrelay-Dlq-Stream": {flow.Notify}, "Signrelay-Dlq-Sequence": {strconv.Itoa(1000 + n)},
			"Signrelay-Dlq-Subject": {notification.SendSubject(message)}, "Signrelay-Dlq-Header-Nats-Msg-Id": {message.GetId()},
		}})
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bench) quarantine() {
	b.t.Helper()
	_, err := b.Env.JS.PublishMsg(b.t.Context(), &nats.Msg{Subject: flow.QuarantineSubject("onboarding", "pleasesign", "not-json"), Data: []byte("callback of Ludmila {"), Header: nats.Header{
		quarantine.HeaderSource: {"onboarding"}, quarantine.HeaderProvider: {"pleasesign"}, quarantine.HeaderMethod: {"POST"}, quarantine.HeaderReason: {"not-json"},
		quarantine.HeaderDetail: {"no JSON from byte 0 on"}, quarantine.HeaderHeader: {`{"Content-Type":["application/json"]}`},
	}})
	if err != nil {
		b.t.Fatal(err)
	}
}

func readersWith(names ...string) func(*consolesettings.Console) {
	return func(c *consolesettings.Console) { c.LocalRoles = names }
}

func (b *bench) json(path string, into any) int {
	b.t.Helper()
	response, body := b.do(b.browser(), http.MethodGet, path, nil, "application/json")
	if err := json.Unmarshal([]byte(body), into); err != nil {
		b.t.Fatalf("%s: %v: %s", path, err, body)
	}
	return response.StatusCode
}

type planJSON struct {
	Token, Action, Title, Summary string
	FormToken                     string `json:"form_token"`
	TypeTheNumber                 bool   `json:"type_the_number"`
	Items                         int
	Diff                          []string
	Status                        int
	Detail                        string
}

// post sends a form as a script, with the form token of a plan.
func (b *bench) post(path, formToken string, form url.Values, into any) (int, string) {
	b.t.Helper()
	form.Set("token", formToken)
	response, body := b.do(b.browser(), http.MethodPost, path, form, "application/json")
	if into != nil && response.StatusCode == http.StatusOK {
		if err := json.Unmarshal([]byte(body), into); err != nil {
			b.t.Fatalf("%s: %v: %s", path, err, body)
		}
	}
	return response.StatusCode, body
}

// run runs the jobs of the console until ctx ends.
func (b *bench) run(rounds int) {
	b.t.Helper()
	o := &operate.Operator{JS: b.Env.JS, Now: b.Env.Now}
	for range rounds {
		if err := (operate.Runner{Operator: o, Actions: operate.ConsoleActions}).RunOnce(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
	}
}

func TestStuckIsGroupedAndFiltered(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	if _, page := b.get(b.browser(), "/stuck"); !strings.Contains(page, "<h1>Nothing is stuck</h1>") {
		t.Fatalf("an empty installation:\n%s", page)
	}
	b.giveUp("attempts-exhausted", 1, 2, 3)
	b.giveUp("permanent", 4)
	b.quarantine()
	_, page := b.get(b.browser(), "/stuck")
	for _, want := range []string{"<h1>4 dead letters, 1 callback that cannot be read</h1>", "attempts-exhausted", "not-json", "operate.md#dead-letters", "3 e-mails", "The other side"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	var list struct {
		Dead, Quarantined int
		Groups            []struct{ Count int }
		Items             []struct{ Key, Reason, Stage string }
		Next              string
	}
	for path, want := range map[string][2]int{
		"/stuck": {5, 3}, "/stuck?what=dead": {4, 2}, "/stuck?reason=permanent": {1, 1}, "/stuck?what=quarantined&source=onboarding": {1, 1}, "/stuck?stage=email-sender&since=1h": {4, 2},
		"/stuck?source=other": {0, 0}, "/stuck?what=held": {0, 0}, "/stuck?since=2100-01-01T00:00:00Z": {0, 0}, "/stuck?what=&stage=&reason=": {5, 3},
	} {
		if status := b.json(path, &list); status != http.StatusOK || len(list.Items) != want[0] || len(list.Groups) != want[1] {
			t.Errorf("%s: status %d, %d items, %d groups, want %v", path, status, len(list.Items), len(list.Groups), want)
		}
	}
	for _, path := range []string{"/stuck?reson=x", "/stuck?what=x", "/stuck?since=yesterday", "/stuck?since=0d", "/stuck?channel=fax", "/stuck?do=explode&what=dead", "/jobs?x=1"} {
		if response, _ := b.get(b.browser(), path); response.StatusCode != http.StatusBadRequest && response.StatusCode != http.StatusForbidden {
			t.Errorf("%s: status %d", path, response.StatusCode)
		}
	}
	// A chip removes its own filter only.
	if _, page = b.get(b.browser(), "/stuck?reason=permanent&source=onboarding"); !strings.Contains(page, `href="/stuck?reason=permanent"`) || !strings.Contains(page, `href="/stuck?source=onboarding"`) {
		t.Errorf("the chips:\n%s", page)
	}
}

// A page begins after the last key of the page before it.
func TestStuckHasPages(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	for n := range 60 {
		b.giveUp("permanent", n+1)
	}
	var list struct {
		Items []struct{ Key string }
		Next  string
	}
	seen := map[string]bool{}
	for path := "/stuck?what=dead"; path != ""; path = list.Next {
		list.Next = ""
		b.json(path, &list)
		for _, i := range list.Items {
			if seen[i.Key] {
				t.Errorf("%s is on two pages", i.Key)
			}
			seen[i.Key] = true
		}
	}
	if len(seen) != 60 {
		t.Errorf("the pages have %d items", len(seen))
	}
}

// The plan's page says what would happen and has the number in its button. Its form starts a job, once.
func TestPlanIsStartedByAForm(t *testing.T) {
	t.Parallel()
	b := open(t, readersWith("operate"))
	b.giveUp("attempts-exhausted", 1, 2, 3)
	c := b.browser()
	response, page := b.get(c, "/stuck?what=dead&reason=attempts-exhausted&which=match&do=replay")
	for _, want := range []string{"replay 3 dead letters", ">Replay 3 dead letters</button>", "3 e-mails to 1 person leave.", "Nothing has been done yet", `name="why"`} {
		if response.StatusCode != http.StatusOK || !strings.Contains(page, want) {
			t.Fatalf("status %d, the plan lacks %q:\n%s", response.StatusCode, want, page)
		}
	}
	if strings.Contains(page, `name="count"`) {
		t.Error("a plan with a filter wants its number typed in")
	}
	plan := regexp.MustCompile(`name="plan" value="([^"]+)"`).FindStringSubmatch(page)
	form := url.Values{"token": {b.token(page)}, "plan": {plan[1]}, "why": {" "}}
	if response, body := b.do(c, http.MethodPost, "/stuck?do=replay", form, "text/html"); response.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "reason is empty") {
		t.Fatalf("without a reason: status %d:\n%s", response.StatusCode, body)
	}
	form.Set("why", "the relay is back")
	response, _ = b.do(c, http.MethodPost, "/stuck?do=replay", form, "text/html")
	job := response.Header.Get("Location")
	if response.StatusCode != http.StatusSeeOther || !strings.HasPrefix(job, "/jobs/") {
		t.Fatalf("start: status %d to %q", response.StatusCode, job)
	}
	if response, body := b.do(c, http.MethodPost, "/stuck?do=replay", form, "text/html"); response.StatusCode != http.StatusConflict || !strings.Contains(body, "started before") {
		t.Errorf("started twice: status %d:\n%s", response.StatusCode, body)
	}
	if _, page = b.get(c, job); !strings.Contains(page, "Replay of 3 dead letters: running") || !strings.Contains(page, "the relay is back") || !strings.Contains(page, `<progress value="0" max="3"`) {
		t.Errorf("the job:\n%s", page)
	}
	b.run(1)
	if _, page = b.get(c, job); !strings.Contains(page, "Replay of 3 dead letters: done") || !strings.Contains(page, "3 of 3 done: 3 replayed") || !strings.Contains(page, "Started by this machine") {
		t.Errorf("the job at its end:\n%s", page)
	}
	if _, page = b.get(c, "/stuck"); !strings.Contains(page, "Nothing is stuck. The last job was replay of 3 dead letters") {
		t.Errorf("after the job:\n%s", page)
	}
	if n := b.Count(flow.Replay, ">"); n != 3 {
		t.Errorf("%d messages were replayed", n)
	}
	if _, page = b.get(c, "/me"); !strings.Contains(page, "Replay of 3 dead letters") {
		t.Errorf("what I did:\n%s", page)
	}
}

// A script plans, starts, pauses, resumes and stops by JSON.
func TestJobIsPausedAndStopped(t *testing.T) {
	t.Parallel()
	b := open(t, readersWith("operate"))
	b.giveUp("permanent", 1, 2, 3, 4)
	var p planJSON
	if b.json("/stuck?what=dead&which=match&do=drop&rate=1", &p); p.Items != 4 || p.Action != "drop" || !strings.Contains(p.Summary, "removed for good") {
		t.Fatalf("the plan: %+v", p)
	}
	var j struct {
		ID, State, Title, Result string
		All, Done, Next          int
		SecondsLeft              int `json:"seconds_left"`
		History                  []struct{ What, By string }
	}
	if status, body := b.post("/stuck?do=replay", p.FormToken, url.Values{"plan": {p.Token}, "why": {"ticket 17"}}, nil); status != http.StatusUnprocessableEntity {
		t.Fatalf("a plan of another action: status %d: %s", status, body)
	}
	if status, body := b.post("/stuck?do=drop", p.FormToken, url.Values{"plan": {p.Token}, "why": {"ticket 17"}}, &j); status != http.StatusOK || j.All != 4 || j.SecondsLeft != 4 {
		t.Fatalf("start: status %d: %s", status, body)
	}
	job := "/jobs/" + j.ID
	for do, want := range map[string]string{"pause": "paused"} {
		if status, body := b.post(job+"?do="+do, p.FormToken, url.Values{}, &j); status != http.StatusOK || j.State != want {
			t.Fatalf("%s: status %d: %s", do, status, body)
		}
	}
	b.run(1)
	if b.json(job, &j); j.State != "paused" || j.Next != 0 {
		t.Errorf("a paused job goes on: %+v", j)
	}
	if status, _ := b.post(job+"?do=resume", p.FormToken, url.Values{}, &j); status != http.StatusOK || j.State != "running" {
		t.Errorf("resume: %+v", j)
	}
	if status, _ := b.post(job+"?do=stop", p.FormToken, url.Values{}, &j); status != http.StatusOK || j.State != "stopped" || !strings.Contains(j.Result, "4 left as they were") {
		t.Errorf("stop: %+v", j)
	}
	b.run(1)
	if status, body := b.post(job+"?do=resume", p.FormToken, url.Values{}, nil); status != http.StatusConflict {
		t.Errorf("a stopped job is resumed: status %d: %s", status, body)
	}
	b.json(job, &j)
	var steps []string
	for _, s := range j.History {
		steps = append(steps, s.What+" by "+s.By)
	}
	if got := strings.Join(steps, ", "); got != "Started by this machine, Paused by this machine, Resumed by this machine, Stopped by this machine" {
		t.Errorf("the history: %s", got)
	}
	if n := b.Count(flow.DLQ, ">"); n != 4 {
		t.Errorf("%d dead letters are left", n)
	}
	if response, _ := b.get(b.browser(), "/jobs/unknown"); response.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown job: status %d", response.StatusCode)
	}
}

// An action on everything needs its number typed in when it is on more than 100 items, and a button without a choice selects nothing.
func TestEverythingIsNoMistake(t *testing.T) {
	t.Parallel()
	b := open(t, readersWith("operate"))
	for n := range 101 {
		b.giveUp("permanent", n+1)
	}
	response, _ := b.get(b.browser(), "/stuck?do=replay")
	if response.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("nothing is selected: status %d", response.StatusCode)
	}
	if response, _ = b.get(b.browser(), "/stuck?do=replay&which=selected&what=dead"); response.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("no row is selected: status %d", response.StatusCode)
	}
	var page planJSON
	if b.json("/stuck?do=replay&which=page", &page); page.Items != 50 || page.TypeTheNumber {
		t.Errorf("the page: %+v", page)
	}
	for _, path := range []string{"/stuck?do=drop&which=match", "/stuck?do=drop&which=match&what=dead"} {
		var p planJSON
		b.json(path, &p)
		if p.Items != 101 || !p.TypeTheNumber {
			t.Fatalf("%s: %+v", path, p)
		}
		for _, count := range []string{"", "100", "all"} {
			if status, body := b.post("/stuck?do=drop", p.FormToken, url.Values{"plan": {p.Token}, "why": {"ticket 17"}, "count": {count}}, nil); status != http.StatusUnprocessableEntity {
				t.Errorf("%s with %q typed: status %d: %s", path, count, status, body)
			}
		}
	}
	var p planJSON
	b.json("/stuck?do=drop&which=match", &p)
	if status, body := b.post("/stuck?do=drop", p.FormToken, url.Values{"plan": {p.Token}, "why": {"ticket 17"}, "count": {"101"}}, nil); status != http.StatusOK {
		t.Errorf("with the number: status %d: %s", status, body)
	}
}

// A plan of another user, an expired one and one whose items changed are not started.
func TestPlanMustHold(t *testing.T) {
	t.Parallel()
	b := open(t, readersWith("operate"))
	b.giveUp("permanent", 1, 2)
	plan := func(at *bench) (p planJSON) {
		at.json("/stuck?what=dead&which=match&do=drop", &p)
		return p
	}
	why := func(p planJSON) url.Values { return url.Values{"plan": {p.Token}, "why": {"ticket 17"}} }

	others, err := (&operate.Operator{JS: b.Env.JS}).Plan(t.Context(), operate.Drop, operate.Selection{All: true}, "mara", "")
	if err != nil {
		t.Fatal(err)
	}
	p := plan(b)
	if status, body := b.post("/stuck?do=drop", p.FormToken, url.Values{"plan": {others.Token}, "why": {"x"}}, nil); status != http.StatusForbidden || !strings.Contains(body, "Another user") {
		t.Errorf("a plan of another user: status %d: %s", status, body)
	}
	if status, body := b.post("/stuck?do=drop", "wrong", why(p), nil); status != http.StatusForbidden {
		t.Errorf("without the form's token: status %d: %s", status, body)
	}
	if status, body := b.post("/stuck?do=drop", p.FormToken, url.Values{"plan": {"none"}, "why": {"x"}}, nil); status != http.StatusGone {
		t.Errorf("no such plan: status %d: %s", status, body)
	}

	stream, err := b.Env.JS.Stream(t.Context(), flow.DLQ)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if status, body := b.post("/stuck?do=drop", p.FormToken, why(p), nil); status != http.StatusConflict || !strings.Contains(body, "1 of 2 left since") {
		t.Errorf("a changed plan: status %d: %s", status, body)
	}

	p = plan(b)
	env := b.Env
	env.Now = func() time.Time { return time.Now().Add(11 * time.Minute) }
	later := &bench{Bench: b.Bench, t: t, url: serve(t, env)}
	form := plan(later)
	if status, body := later.post("/stuck?do=drop", form.FormToken, why(p), nil); status != http.StatusGone {
		t.Errorf("an expired plan: status %d: %s", status, body)
	}
	if n := b.Count(flow.DLQ, ">"); n != 1 {
		t.Errorf("%d dead letters are left", n)
	}
}

// A reader with the role look, and every reader of a read-only console, can start nothing.
func TestLookCannotAct(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*consolesettings.Console){
		"look":      readersWith("look"),
		"private":   readersWith("private"),
		"read-only": func(c *consolesettings.Console) { c.LocalRoles, c.ReadOnly = consolesettings.Roles, true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, change)
			b.giveUp("permanent", 1)
			b.quarantine()
			plan, err := (&operate.Operator{JS: b.Env.JS}).Plan(t.Context(), operate.Drop, operate.Selection{All: true}, "this machine", "x")
			if err != nil {
				t.Fatal(err)
			}
			_, page := b.get(b.browser(), "/stuck")
			if strings.Contains(page, `name="do"`) || !strings.Contains(page, "1 dead letter") {
				t.Errorf("the list:\n%s", page)
			}
			if response, _ := b.get(b.browser(), "/stuck?what=dead&do=drop"); response.StatusCode != http.StatusForbidden {
				t.Errorf("plan: status %d", response.StatusCode)
			}
			key := "dead." + fmt.Sprintf("%020d", 1)
			for _, path := range []string{"/stuck?do=drop", "/stuck/" + key, "/jobs/x?do=stop"} {
				form := url.Values{"token": {formToken(b)}, "plan": {plan.Token}, "why": {"x"}, "body": {"{}"}}
				if response, _ := b.do(b.browser(), http.MethodPost, path, form, "text/html"); response.StatusCode != http.StatusForbidden {
					t.Errorf("POST %s: status %d", path, response.StatusCode)
				}
			}
			if n := b.Count(flow.DLQ, ">"); n != 1 {
				t.Errorf("%d dead letters are left", n)
			}
		})
	}
}

// formToken returns a form token that some page has; the forms of this machine's readers all have the same.
func formToken(b *bench) string {
	_, page := b.get(b.browser(), "/sources/pleasesign/onboarding")
	if m := tokenField.FindStringSubmatch(page); m != nil {
		return m[1]
	}
	return ""
}

// Without the role private no response has a name, an address, a number, a title or a body.
func TestStuckMasksPeople(t *testing.T) {
	t.Parallel()
	b := open(t, readersWith("operate"))
	b.giveUp("attempts-exhausted", 1, 2)
	b.quarantine()
	dead, callback := fmt.Sprintf("/stuck/dead.%020d", 1), fmt.Sprintf("/stuck/quarantined.%020d", 1)
	var p planJSON
	b.json("/stuck?what=dead&do=replay&which=match", &p)
	var j struct{ ID string }
	b.post("/stuck?do=replay", p.FormToken, url.Values{"plan": {p.Token}, "why": {"x"}}, &j)
	look := func(at *bench, paths ...string) (found []string) {
		for _, path := range paths {
			for _, accept := range []string{"text/html", "application/json"} {
				_, body := at.do(at.browser(), http.MethodGet, path, nil, accept)
				for _, secret := range personal {
					if strings.Contains(body, secret) {
						found = append(found, fmt.Sprintf("%s as %s has %q", path, accept, secret))
					}
				}
			}
		}
		return found
	}
	for _, found := range look(b, "/", "/stuck", "/stuck?what=dead", dead, callback, "/stuck?what=dead&do=replay&which=match", "/stuck?what=quarantined&do=replay", "/jobs", "/jobs/"+j.ID, "/me") {
		t.Error(found)
	}
	for _, path := range []string{dead, callback} {
		form := url.Values{"token": {p.FormToken}, "body": {"{}"}}
		response, body := b.do(b.browser(), http.MethodPost, path, form, "text/html")
		if response.StatusCode != http.StatusForbidden || strings.Contains(body, "Ludmila") {
			t.Errorf("POST %s: status %d:\n%s", path, response.StatusCode, body)
		}
	}
	// The control: with the role private both contents are shown, and each look is an event.
	env := b.Env
	consolesettings.Section.In(&env.Config).LocalRoles = []string{"private"}
	env.Live = config.NewLive(env.Config)
	private := &bench{Bench: b.Bench, t: t, url: serve(t, env)}
	if found := look(private, dead, callback); len(found) < 5 {
		t.Errorf("with the role private only these are found: %v", found)
	}
	if n := b.Count(flow.Signing, "signing.v1.*.*.operator.acted.>"); n != 3 { // the start, and two looks
		t.Errorf("the log has %d actions", n)
	}
}

// A repaired content must be readable. The plan shows the difference, and the stage gets the new content.
func TestRepair(t *testing.T) {
	t.Parallel()
	b := open(t, readersWith("operate", "private"))
	b.giveUp("permanent", 1)
	b.quarantine()
	dead := fmt.Sprintf("/stuck/dead.%020d", 1)
	_, page := b.get(b.browser(), dead)
	token := b.token(page)
	if !strings.Contains(page, "ludmila@example.com") || !strings.Contains(page, "<textarea") {
		t.Fatalf("the item:\n%s", page)
	}
	if response, body := b.do(b.browser(), http.MethodPost, dead, url.Values{"token": {token}, "body": {"{ my draft"}}, "text/html"); response.StatusCode != http.StatusUnprocessableEntity ||
		!strings.Contains(body, "The repair does not hold") || !strings.Contains(body, "{ my draft") {
		t.Errorf("a mistake: status %d:\n%s", response.StatusCode, body)
	}
	message := invitation(1)
	data, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	text, err := operate.Readable(notification.SendSubject(message), data)
	if err != nil {
		t.Fatal(err)
	}
	response, body := b.do(b.browser(), http.MethodPost, dead, url.Values{"token": {token}, "body": {strings.Replace(text, "ludmila@example.com", "right@example.com", 1)}}, "text/html")
	if response.StatusCode != http.StatusOK || !strings.Contains(body, "right@example.com") || !strings.Contains(body, ">Repair and replay 1 dead letter</button>") {
		t.Fatalf("the plan: status %d:\n%s", response.StatusCode, body)
	}
	plan := regexp.MustCompile(`name="plan" value="([^"]+)"`).FindStringSubmatch(body)
	if response, _ = b.do(b.browser(), http.MethodPost, "/stuck?do=repair", url.Values{"token": {token}, "plan": {plan[1]}, "why": {"ticket 17"}}, "text/html"); response.StatusCode != http.StatusSeeOther {
		t.Fatalf("start: status %d", response.StatusCode)
	}
	b.run(1)
	if replayed := b.Await(flow.Replay, ">", 1); !strings.Contains(string(replayed[0].Data()), "right@example.com") {
		t.Error("the stage gets the old content")
	}
	callback := fmt.Sprintf("/stuck/quarantined.%020d", 1)
	if response, body := b.do(b.browser(), http.MethodPost, callback, url.Values{"token": {token}, "body": {"{\n\"a\":"}}, "application/json"); response.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "line 2") {
		t.Errorf("a callback that is no JSON: status %d: %s", response.StatusCode, body)
	}
	var p planJSON
	if status, body := b.post(callback, token, url.Values{"body": {`{"a":1}`}}, &p); status != http.StatusOK || p.Action != "repair-callback" || !strings.Contains(strings.Join(p.Diff, "\n"), `+ {"a":1}`) {
		t.Errorf("the plan of a callback: status %d: %s", status, body)
	}
	if response, _ := b.get(b.browser(), dead); response.StatusCode != http.StatusNotFound {
		t.Errorf("the replayed item: status %d", response.StatusCode)
	}
}

// Two consoles run the jobs of one installation: each item is done once.
func TestConsolesShareTheJobs(t *testing.T) {
	t.Parallel()
	b := open(t, func(c *consolesettings.Console) { c.LocalRoles, c.Addr = []string{"operate"}, "127.0.0.1:0" })
	for n := range 20 {
		b.giveUp("permanent", n+1)
	}
	for range 2 {
		b.Start(console.Run)
	}
	var p planJSON
	b.json("/stuck?what=dead&which=match&do=replay&rate=100", &p)
	var j struct {
		ID, State             string
		Done, Failed, Skipped int
	}
	if status, body := b.post("/stuck?do=replay", p.FormToken, url.Values{"plan": {p.Token}, "why": {"x"}}, &j); status != http.StatusOK {
		t.Fatalf("start: status %d: %s", status, body)
	}
	b.Await(flow.Replay, ">", 20)
	for end := time.Now().Add(10 * time.Second); j.State != "done" && time.Now().Before(end); {
		b.json("/jobs/"+j.ID, &j) // each request takes some milliseconds
	}
	if j.State != "done" || j.Done != 20 || j.Failed+j.Skipped != 0 || b.Count(flow.Replay, ">") != 20 {
		t.Errorf("the job: %+v", j)
	}
}
