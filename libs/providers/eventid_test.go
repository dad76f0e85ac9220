package providers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The rule for event ids (docs/adr/0011, 0017): two callbacks that differ in a field that a subscriber can see never become one event,
// unless they report the same fact. Then the additions of the second callback are an event of their own. Reports of the same fact get the
// same id, so that a retry is not a second event.
//
// The test has its own list of facts, taken from the generated values and not from the packs' results. A million pairs for each provider
// take some minutes:
//
//	go test ./libs/providers -run TestTwoCallbacksAreOneEventOnlyIfTheyReportOneFact -rapid.checks=25000
func TestTwoCallbacksAreOneEventOnlyIfTheyReportOneFact(t *testing.T) {
	t.Parallel()
	generators := map[string]func(draw) callback{"clickwrap": clickwrapCallback, "pleasesign": pleaseSignCallback, "esign-v1": v1Callback}
	for _, p := range providers.All {
		if generators[p.Name] == nil {
			t.Errorf("libs/providers/eventid_test.go: generators has no %s", p.Name)
		}
	}
	for name, generate := range generators {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := providers.ByName(name)
			source := p.Settings.New("demo")
			for _, is := range source.Settings() {
				if is.Secret && strings.HasPrefix(is.Key, "webhook.") {
					source = source.With(is.Key + "=s3cret")
				}
			}
			w, err := p.Webhook(source)
			if err != nil {
				t.Fatal(err)
			}
			rapid.Check(t, func(t *rapid.T) {
				drawn := map[string]string{}
				one := generate(draw{t, drawn})
				for range pairs {
					compare(t, w, p.Delivery, one, generate(draw{t, maps.Clone(drawn)}))
				}
			})
		})
	}
}

// pairs is the number of other callbacks with which each callback is compared.
const pairs = 40

// compare checks the rule for two callbacks.
func compare(t *rapid.T, w pack.Webhook, delivery []string, one, other callback) {
	log := logged{delivery: delivery, stored: map[string]*signingv1.SigningEvent{}}
	first, second := log.put(t, w, one, 1), log.put(t, w, other, 2)
	for typ, fact := range one.facts {
		if same := fact == other.facts[typ]; same != (first[typ] == second[typ]) {
			t.Fatalf("%s: same fact: %v, but the ids are %s and %s\n%v\n%v", typ, same, first[typ], second[typ], one, other)
		}
	}
	log.holds(t, one)
	log.holds(t, other)
	before := len(log.stored)
	log.put(t, w, other, 3)
	if len(log.stored) != before {
		t.Fatalf("a retry of %v became another event", other)
	}
}

// callback is one generated callback.
type callback struct {
	route   string
	fields  map[string]string
	item    bool              // the fields are an item of a batch
	facts   map[string]string // the facts that it reports, by canonical type
	visible []string          // the fields that a subscriber must find in an event
}

func (c callback) request() pack.Request {
	r := pack.Request{Method: http.MethodPost, Route: c.route, Header: http.Header{}, Query: url.Values{}}
	text, err := json.Marshal(c.fields)
	if err != nil {
		panic(err) // strings only: it cannot fail
	}
	switch {
	case c.item:
		text = []byte(url.Values{"data": {"[" + string(text) + "]"}}.Encode())
	case c.route == "/signed":
		form := url.Values{}
		for name, value := range c.fields {
			form.Set(name, value)
		}
		text = []byte(form.Encode())
	}
	r.Body = text
	return r
}

// logged is a log of events, written as ingest does.
type logged struct {
	delivery []string
	stored   map[string]*signingv1.SigningEvent
}

// put stores a callback's events and returns their ids by type.
func (l logged) put(t *rapid.T, w pack.Webhook, c callback, at int64) map[string]string {
	r := c.request()
	r.ReceivedAt = time.Unix(at, 0)
	events, err := w.Normalize(r, signingv1.Verification_VERIFICATION_TOKEN)
	if unreadable := new(pack.UnreadableError); err != nil && !errors.As(err, &unreadable) {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, e := range pack.Distinct(events, l.delivery...) {
		ids[e.GetType()] = e.GetId()
		known := l.stored[e.GetId()]
		if known != nil && event.Subject(known) != event.Subject(e) {
			t.Fatalf("one id on two subjects, so a lookup by subject would miss it: %v and %v", known, e)
		}
		if known == nil {
			l.stored[e.GetId()] = e
		} else if u := pack.Addition(known, e, l.delivery...); u != nil && l.stored[u.GetId()] == nil {
			l.stored[u.GetId()] = u
		}
	}
	return ids
}

// holds fails unless every field of the callback that a subscriber can see is found in events of its facts.
func (l logged) holds(t *rapid.T, c callback) {
	texts := l.texts()
	for _, name := range c.visible {
		if want := c.fields[name]; want != "" && !slices.Contains(texts, want) {
			t.Fatalf("%s %q of %v is not in any event", name, want, c)
		}
	}
}

func (l logged) texts() []string {
	var all []string
	for _, e := range l.stored {
		d, r, a := e.GetDocument(), e.GetRecipient(), e.GetAgreement()
		all = append(all, d.GetId(), d.GetTitle(), d.GetGroup(), d.GetUri(), r.GetId(), r.GetUri(), r.GetFirstName(), a.GetContract(), e.GetProviderType())
		for _, link := range e.GetLinks() {
			all = append(all, link.GetUrl())
		}
		for _, text := range e.GetAttributes() {
			all = append(all, text)
		}
	}
	return all
}

// draw generates a callback's fields. Most fields of the second callback equal the first's, so that pairs differ in one or two fields.
type draw struct {
	*rapid.T
	before map[string]string
}

// oneOf draws from a few texts. An empty text stands for a missing field.
func (t draw) oneOf(name string, texts ...string) string {
	text, there := t.before[name]
	if there && rapid.IntRange(0, 7).Draw(t.T, "change "+name) > 0 {
		return text
	}
	text = rapid.SampledFrom(texts).Draw(t.T, name)
	t.before[name] = text
	return text
}

func made(fields map[string]string) map[string]string {
	for name, text := range fields {
		if text == "" {
			delete(fields, name)
		}
	}
	return fields
}

// times are two instants in several formats, an unreadable one, and a missing one.
var times = map[string]string{
	"2026-11-02T10:00:00Z": "1", "2026-11-02 10:00:00 UTC": "1", "2026-11-02T11:00:00+0100": "1", "1793613600": "1", "1793613600000": "1",
	"2026-11-04T10:00:00Z": "2", "2026-11-04T10:00:00 0000": "2", "yesterday": "", "": "",
}

func aTime(t draw, name string) string {
	var forms []string
	for form := range times {
		forms = append(forms, form)
	}
	slices.Sort(forms)
	return t.oneOf(name, forms...)
}

// someone draws a person's id, or a placeholder for a missing id.
func someone(t draw) (text, id string) {
	text = t.oneOf("who", "P1", "P2", "", "null", "undefined", "None")
	if strings.HasPrefix(text, "P") {
		return text, text
	}
	return text, ""
}

func clickwrapCallback(t draw) callback {
	who, person := someone(t)
	typ := t.oneOf("event", "request_sent", "request_signed", "request_complete", "request_expired", "activity_disagreed", "activity_agreed", "activity_visited", "request_completed")
	f := made(map[string]string{
		"event_type": typ, "request": t.oneOf("request", "R1", "R2"), "activity": t.oneOf("activity", "A1", "A2", "", "null"),
		"contract": t.oneOf("contract", "C1", "C2", ""), "signer_id": who, "created_time": aTime(t, "created"),
		"description": t.oneOf("description", `Eric signed "Lease"`, `PactSafe sent "A" sent "B"`, ""), "render_data": t.oneOf("data", "$1", "$2", ""),
		"updated_time": t.oneOf("updated", "2026-11-05T10:00:00Z", "2026-11-05T11:00:00Z"), "id": t.oneOf("id", "1", "2"),
	})
	activity := strings.Replace(f["activity"], "null", "", 1)
	mark := "id " + f["id"]
	if at := times[f["created_time"]]; at != "" {
		mark = "at " + at
	}
	if activity != "" {
		mark = "activity " + activity
	}
	document, canonical := f["request"], ""
	each := fmt.Sprint("each ", typ, f["id"], document, person) // providers give one id to events of several documents
	fact := map[string]func() string{
		"request_sent": func() string {
			canonical = "document.sent"
			if activity != "" {
				return fmt.Sprint(document, person, " activity ", activity)
			}
			return fmt.Sprint(document, person, " id ", f["id"])
		},
		"request_complete": func() string { canonical = "document.completed"; return fmt.Sprint(document, person) },
		"request_expired":  func() string { canonical = "document.expired"; return fmt.Sprint(document, person, mark) },
		"request_signed": func() string {
			if canonical = "recipient.signed"; person == "" {
				return each
			}
			return fmt.Sprint(document, person, mark)
		},
		"activity_disagreed": func() string {
			if canonical = "recipient.declined"; person == "" {
				return each
			}
			return fmt.Sprint(document, person, mark, f["contract"])
		},
		"activity_agreed":   func() string { canonical = "recipient.agreed"; return each },
		"activity_visited":  func() string { canonical = "recipient.opened"; return each },
		"request_completed": func() string { canonical = "other.recorded"; return each },
	}[typ]()
	return callback{
		fields: f, facts: map[string]string{canonical: fact},
		visible: []string{"event_type", "request", "activity", "contract", "signer_id", "created_time", "description", "render_data"},
	}
}

func pleaseSignCallback(t draw) callback {
	who, person := someone(t)
	typ := t.oneOf("event", "document.created", "document.complete", "document.void", "recipient.complete", "recipient.opened", "document.completed")
	f := made(map[string]string{
		"event": typ, "id": t.oneOf("id", "1", "2"), "document_id": t.oneOf("document", "D1", "D2"), "recipient_id": who,
		"first_name": t.oneOf("name", "Ann", "Bob", ""), "complete_date": aTime(t, "completed"), "void_reason": t.oneOf("reason", "late", "wrong", ""),
		"signed": t.oneOf("link", "https://one.example", "https://two.example", ""),
	})
	once, each := f["document_id"]+person, fmt.Sprint("each ", typ, f["id"], f["document_id"], person)
	facts := map[string]string{}
	switch typ {
	case "document.created":
		facts["document.sent"] = once
	case "document.complete":
		facts["document.completed"] = once
	case "document.void":
		facts["document.declined"] = once
		if person != "" {
			facts["recipient.declined"] = once
		}
	case "recipient.complete":
		if facts["recipient.signed"] = once; person == "" {
			facts["recipient.signed"] = each
		}
	case "recipient.opened":
		facts["recipient.opened"] = each
	default:
		facts["other.recorded"] = each
	}
	return callback{fields: f, facts: facts, visible: []string{"event", "document_id", "recipient_id", "first_name", "complete_date", "void_reason", "signed"}}
}

func v1Callback(t draw) callback {
	if t.oneOf("route", "all", "signed") == "signed" {
		f := made(map[string]string{
			"uuid": t.oneOf("document", "D1", "D2"), "name": t.oneOf("title", "Lease", "Offer", ""), "tag": t.oneOf("tag", "a", "b", ""),
			"group": t.oneOf("group", "/g/1/", ""), "event": t.oneOf("trigger", "", "signed", "rejected", "created", "viewed"),
		})
		canonical, known := map[string]string{"": "document.completed", "signed": "document.completed", "rejected": "document.declined"}[f["event"]]
		fact := f["uuid"]
		if !known {
			canonical, fact = "other.recorded", "signed"+f["uuid"]+f["event"]
		}
		return callback{route: "/signed", fields: f, facts: map[string]string{canonical: fact}, visible: []string{"uuid", "name", "tag", "group", "event"}}
	}
	entity, status := t.oneOf("entity", "document", "signer"), t.oneOf("status", "20", "30", "40", "50", "60", "signed")
	who := t.oneOf("which", "D1", "D2", "None")
	uri := "/api/v1/" + entity + t.oneOf("spelling", "", "s") + "/" + who + "/"
	f := made(map[string]string{
		"resource_uri": uri, "name": t.oneOf("field", "status", "status", "tag"), "value": status, "timestamp": aTime(t, "time"), "user": t.oneOf("user", "1", "2", ""),
	})
	at := f["timestamp"]
	if times[at] != "" {
		at = times[at]
	}
	fact := fmt.Sprint("each", uri, f["name"], status, f["timestamp"])
	canonical := "other.recorded"
	if f["name"] == "status" && who != "None" {
		if entity == "document" {
			canonical = map[string]string{"20": "document.filled", "30": "document.completed", "40": "document.voided", "50": "document.declined"}[status]
		} else {
			canonical = map[string]string{"20": "recipient.opened", "30": "recipient.filled", "40": "recipient.signed", "50": "recipient.downloaded", "60": "recipient.declined"}[status]
		}
	}
	switch canonical {
	case "document.completed", "document.voided", "document.declined":
		fact = who
	case "recipient.signed", "recipient.declined":
		fact = who + "at" + at
	case "":
		canonical = "other.recorded"
	}
	return callback{route: "/all", item: true, fields: f, facts: map[string]string{canonical: fact}, visible: []string{"resource_uri", "name", "value", "timestamp", "user"}}
}
