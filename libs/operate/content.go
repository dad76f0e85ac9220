package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/quarantine"
	"github.com/signrelay/signrelay/libs/stage"
)

// Content is what one item contains. It is personal data.
type Content struct {
	Text    string `json:"text"`            // of an event or a message, its JSON; of a callback, its body
	Query   string `json:"query,omitempty"` // of a callback by GET
	Subject string `json:"subject,omitempty"`
	// Readable is false if the content cannot be decoded. Text then has the bytes, with U+FFFD for those that are no UTF-8.
	Readable bool `json:"readable"`
}

// ErrNoItem means that an item is not stuck any more, or never was.
var ErrNoItem = errors.New("it is not stuck any more: it was replayed, dropped, released or erased")

// Item returns one item by its key, and its content. It fails with ErrNoItem.
func (o *Operator) Item(ctx context.Context, key string) (Item, Content, error) {
	kind, _, _ := strings.Cut(key, ".")
	switch What(kind) {
	case Dead:
		return o.deadItem(ctx, key)
	case Quarantined:
		return o.callbackItem(ctx, key)
	case Held:
		return o.heldItem(ctx, key)
	default:
		return Item{}, Content{}, ErrNoItem
	}
}

func (o *Operator) deadItem(ctx context.Context, key string) (Item, Content, error) {
	n := number(Dead, key)
	if n == 0 {
		return Item{}, Content{}, ErrNoItem
	}
	l, err := stage.DeadLetters{JS: o.JS}.One(ctx, n)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Item{}, Content{}, ErrNoItem
	}
	if err != nil {
		return Item{}, Content{}, fmt.Errorf("read a dead letter: %w", err)
	}
	c := Content{Subject: l.Subject}
	if c.Text, err = Readable(l.Subject, l.Data); err != nil {
		c.Text = printable(l.Data)
	}
	c.Readable = err == nil
	return itemOfDead(l), c, nil
}

func (o *Operator) callbackItem(ctx context.Context, key string) (Item, Content, error) {
	n := number(Quarantined, key)
	if n == 0 {
		return Item{}, Content{}, ErrNoItem
	}
	stream, err := o.JS.Stream(ctx, flow.Quarantine)
	if err != nil {
		return Item{}, Content{}, fmt.Errorf("open %s: %w", flow.Quarantine, err)
	}
	m, err := stream.GetMsg(ctx, n)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Item{}, Content{}, ErrNoItem
	}
	if err != nil {
		return Item{}, Content{}, fmt.Errorf("read a callback: %w", err)
	}
	body, query := quarantine.Content(m.Header, m.Data)
	return itemOfCallback(quarantine.Describe(m)), Content{Text: printable(body), Query: printable([]byte(query)), Readable: utf8.Valid(body)}, nil
}

func (o *Operator) heldItem(ctx context.Context, key string) (Item, Content, error) {
	h, held, err := notification.HeldMessage(ctx, o.JS, heldKey(key))
	if err != nil {
		return Item{}, Content{}, err
	}
	if !held {
		return Item{}, Content{}, ErrNoItem
	}
	c := Content{Subject: flow.SendSubject(h.Channel, h.Source, h.Provider, h.Document)}
	for m, err := range (event.Log{JS: o.JS, Stream: flow.Notify}).Messages(ctx, c.Subject, time.Time{}) {
		if err != nil {
			return Item{}, Content{}, fmt.Errorf("look up a held message: %w", err)
		}
		if n, err := notification.Decode(m.Data); err == nil && n.GetId() == h.ID {
			if c.Text, err = Readable(c.Subject, m.Data); err == nil {
				c.Readable = true
			}
		}
	}
	return itemOfHeld(h), c, nil
}

func printable(data []byte) string { return strings.ToValidUTF8(string(data), "\uFFFD") }

// repairedCallback returns how a repair changes the body of a quarantined callback. Whether its provider's pack can read it, only ingest knows;
// the check here finds a body that is no JSON where the stored one was sent as JSON.
func repairedCallback(m *jetstream.RawStreamMsg, s Selection) ([]string, error) {
	was, query := quarantine.Content(m.Header, m.Data)
	if s.Body == nil {
		return differences([]string{query}, []string{string(s.Query)}), nil
	}
	body := s.Body
	var header http.Header
	_ = json.Unmarshal([]byte(m.Header.Get(quarantine.HeaderHeader)), &header) // without it the type is not known
	if strings.Contains(header.Get("Content-Type"), "json") && !json.Valid(body) {
		return nil, &SelectionError{"the repaired body is not JSON: " + jsonMistake(body)}
	}
	if m.Header.Get(quarantine.HeaderMethod) == http.MethodGet {
		was = []byte(query)
	}
	return differences(strings.Split(printable(was), "\n"), strings.Split(string(body), "\n")), nil
}

// jsonMistake says where a text stops being JSON.
func jsonMistake(body []byte) string {
	var v any
	err := json.Unmarshal(body, &v)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		before := body[:min(int(syntax.Offset), len(body))]
		return fmt.Sprintf("line %d, character %d", 1+bytes.Count(before, []byte("\n")), len(before)-bytes.LastIndexByte(before, '\n')-1)
	}
	return "it cannot be read"
}

// Planned returns a plan that can be started, and what it selects. by must be the user who made it. It fails with ErrNoPlan or ErrOthersPlan.
func (o *Operator) Planned(ctx context.Context, token, by string) (Plan, Selection, error) {
	bucket, err := o.bucket(ctx)
	if err != nil {
		return Plan{}, Selection{}, err
	}
	w, err := readWork(ctx, bucket, planKey(planID(token)))
	switch {
	case err != nil:
		return Plan{}, Selection{}, err
	case w.Plan.By != by:
		return Plan{}, Selection{}, ErrOthersPlan
	case o.now().After(w.Plan.Until):
		return Plan{}, Selection{}, ErrNoPlan
	}
	return w.Plan, w.Selection, nil
}

// Change is a step of a job's history.
type Change struct {
	At     time.Time `json:"at"`
	Action Action    `json:"action"` // "pause-job", "resume-job", "stop-job", or the job's own when it was started
	By     string    `json:"by"`
}

// History returns what users did to a job, the oldest first. It reads the events of the log.
func (o *Operator) History(ctx context.Context, j Job) ([]Change, error) {
	all := []Change{}
	subject := event.SubjectOf(ourselves.Source, ourselves.Provider, event.OperatorActed, "")
	for m, err := range o.signing().Messages(ctx, subject, j.Started.Add(-time.Minute)) {
		if err != nil {
			return nil, fmt.Errorf("read the history of a job: %w", err)
		}
		e, err := event.Decode(m.Data)
		if err != nil || e.GetAttributes()[attributePlan] != j.ID {
			continue
		}
		all = append(all, Change{m.Time.UTC(), Action(e.GetAttributes()[event.AttributeAction]), e.GetAttributes()[attributeBy]})
	}
	return all, nil
}

// Looked records that a user looked at the content of an item, which is personal data, once an hour for each item.
func (o *Operator) Looked(ctx context.Context, i Item, by string) error {
	e := aboutEventOf(About{Source: i.Source, Provider: i.Provider, Document: i.Document, Recipient: i.Recipient}.complete(), event.OperatorActed, o.now())
	hour := o.now().UTC().Truncate(time.Hour).Format(time.RFC3339)
	return o.publish(ctx, acted(e, event.DerivedID(i.Key, "look", by+hour), Look, Order{By: by, Reason: "look at a stuck item"}, 1), true)
}

// Look is the action of an event which records that a user looked at personal data. It has no plan.
const Look Action = "look"
