package operate

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/prices"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// MostItems is the largest number of items of a plan. At 10 items a second they take 17 minutes.
const MostItems = 10_000

// PlanHolds is the time for which a plan can be started.
const PlanHolds = 10 * time.Minute

// The rates of jobs, in items a second.
const (
	DefaultRate = 10
	MostRate    = 1000
)

// Selection is what an action is done to.
type Selection struct {
	// Filter selects stuck work. An empty filter selects nothing unless All is true, so that an action on everything is a decision.
	Filter Filter `json:"filter,omitzero"`
	All    bool   `json:"all,omitempty"`
	// Keys selects items by their keys instead.
	Keys []string `json:"keys,omitempty"`

	Document  *Document `json:"document,omitempty"`
	Recipient string    `json:"recipient,omitempty"` // the provider's id of a person on the document
	Channels  []string  `json:"channels,omitempty"`  // of a resent invitation, or of released messages; event.ByProvider alone for the provider's own
	// Details are the name and the addresses of a corrected person, as recipient.CheckDetails returns them. They are personal data.
	Details *pack.Details `json:"details,omitempty"`
	Body    []byte        `json:"body,omitempty"`    // the repaired content of one dead letter or callback
	Query   []byte        `json:"query,omitempty"`   // the repaired query of one callback
	Subject string        `json:"subject,omitempty"` // of the message that is repaired; Plan sets it, and an erasure reads the content by it
	Rate    int           `json:"rate,omitempty"`    // items a second; 0 is DefaultRate
}

// Plan is what an action would do. It has no personal data, except for Diff.
type Plan struct {
	Token  string    `json:"token"` // starts it; a secret of its user
	ID     string    `json:"id"`    // of the plan, and of its job
	Action Action    `json:"action"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	Made   time.Time `json:"made"`
	Until  time.Time `json:"until"` // it can be started before
	Rate   int       `json:"rate"`  // items a second
	Items  int       `json:"items"`

	Rows   []Row     `json:"rows,omitempty"`   // the items by stage and type
	Leaves []Leaving `json:"leaves,omitempty"` // the messages that leave, by channel
	People int       `json:"people,omitempty"` // different people who get at least one of them
	Events int       `json:"events,omitempty"` // events for the enricher, which asks the provider whether more messages follow
	Stays  []Staying `json:"stays,omitempty"`  // messages that do not leave, and items that are not in the plan
	Held   []Staying `json:"held,omitempty"`   // messages that would be held again at once
	Waits  int       `json:"waits,omitempty"`  // of those in Leaves: they wait for the end of the quiet hours
	// AtProvider is true if the provider corrects the person, or sends its own message once more.
	AtProvider bool `json:"at_provider,omitempty"`
	// Unknown is the number of items of which it is unknown whether their message was sent. The stage looks in the log first, and marks what it
	// sends again as a possible duplicate.
	Unknown int `json:"unknown,omitempty"`
	// Unforeseen is the number of messages in Leaves of which it was not looked up whether they leave: a plan looks up MostItems.
	Unforeseen int `json:"unforeseen,omitempty"`
	// Places are the places from which an erasure removes, with the number of messages.
	Places []erase.FoundPlace `json:"places,omitempty"`
	// Diff shows how a repair changes the content, a line each with "-" or "+". It has personal data, and is not stored.
	Diff []string `json:"diff,omitempty"`

	// Missing are the chosen keys that are not stuck any more. Lost are the keys of dead letters whose stream has lost the message. Both are not in
	// the plan.
	Missing []string `json:"-"`
	Lost    []string `json:"-"`
}

// Row counts equal items.
type Row struct {
	Stage  string `json:"stage"`
	Source string `json:"source,omitempty"` // of callbacks: "acme/clickwrap"
	What   string `json:"what"`
	Count  int    `json:"count"`
	People int    `json:"people,omitempty"`
}

// Leaving counts the messages that leave on one channel.
type Leaving struct {
	Channel  string       `json:"channel"`
	Messages int          `json:"messages"`
	People   int          `json:"people"`
	Cost     *prices.Cost `json:"cost,omitempty"` // of texts
}

// Staying counts messages or items with the reason why they stay.
type Staying struct {
	Channel string `json:"channel,omitempty"`
	Reason  string `json:"reason"`
	Count   int    `json:"count"`
}

// Messages is the number of messages that leave.
func (p Plan) Messages() (n int) {
	for _, l := range p.Leaves {
		n += l.Messages
	}
	return n
}

// frozen is one item of a plan.
type frozen struct {
	Key     string   `json:"k"`
	Hash    string   `json:"h,omitempty"` // of the content that the plan saw
	Numbers []uint64 `json:"n,omitempty"` // of all messages in DLQ about a dead letter
}

// work is a plan with its items, as it is stored until its job ends.
type work struct {
	Plan      Plan      `json:"plan"`
	Selection Selection `json:"selection"`
	Items     []frozen  `json:"items"`

	unlimited bool // it may have more than MostItems items
}

// tooMany returns the error of a plan with more items than it may have, or nil.
func (w *work) tooMany(n int) error {
	if n <= MostItems || w.unlimited {
		return nil
	}
	return tooMany(n)
}

// keeps reports whether the plan keeps its n-th item. The items after the limit are only counted.
func (w *work) keeps(n int) bool { return n <= MostItems || w.unlimited }

func (w work) order() Order { return Order{By: w.Plan.By, Reason: w.Plan.Reason, Plan: w.Plan.ID} }

// contentHash returns 96 bits of a hash of an item's content.
func contentHash(parts ...[]byte) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:", len(part))
		h.Write(part)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}

// Plan says what an action would do to a selection, and stores it under a token for PlanHolds. Its items are those of now: what gets stuck later
// is not in it. by is the user who may start the plan. Nothing is changed.
//
// It fails with a SelectionError if the selection does not fit the action, or selects nothing, or too much; and with a RefusedError if the action
// must not be done.
func (o *Operator) Plan(ctx context.Context, action Action, s Selection, by, reason string) (Plan, error) {
	if !slices.Contains(Actions, action) {
		return Plan{}, &SelectionError{fmt.Sprintf("there is no action %q", action)}
	}
	given := reason
	if !action.ofDocument() {
		given = cmp.Or(reason, "-") // StartFor gives it
	}
	if err := (Order{By: by, Reason: given}).check(); err != nil {
		return Plan{}, &SelectionError{err.Error()}
	}
	if err := s.check(action); err != nil {
		return Plan{}, err
	}
	token, now := rand.Text(), o.now().UTC()
	w := work{Selection: s, Plan: Plan{
		ID: planID(token), Action: action, By: by, Reason: reason, Made: now, Until: now.Add(PlanHolds), Rate: max(s.Rate, 0),
	}}
	if w.Plan.Rate == 0 {
		w.Plan.Rate = DefaultRate
	}
	if err := o.freeze(ctx, &w); err != nil {
		return Plan{}, err
	}
	w.Plan.Items = len(w.Items)
	if len(w.Items) == 0 {
		return Plan{}, &SelectionError{"nothing is selected" + stays(w.Plan.Stays)}
	}
	diff := w.Plan.Diff
	w.Plan.Diff = nil
	bucket, err := o.bucket(ctx)
	if err != nil {
		return Plan{}, err
	}
	data, err := json.Marshal(w)
	if err != nil {
		return Plan{}, fmt.Errorf("encode a plan: %w", err)
	}
	if _, err := bucket.Create(ctx, planKey(w.Plan.ID), data, jetstream.KeyTTL(PlanHolds)); err != nil {
		return Plan{}, fmt.Errorf("store the plan: %w", err)
	}
	w.Plan.Token, w.Plan.Diff = token, diff
	return w.Plan, nil
}

// stays says why nothing is left.
func stays(all []Staying) string {
	if len(all) == 0 {
		return ""
	}
	reasons := make([]string, len(all))
	for i, s := range all {
		reasons[i] = strconv.Itoa(s.Count) + " " + s.Reason
	}
	return ": " + strings.Join(reasons, ", ")
}

// check reports whether a selection fits the action.
func (s Selection) check(action Action) error {
	if err := s.checkAny(action); err != nil {
		return err
	}
	if len(s.Keys) > MostItems && !action.ofDocument() {
		return tooMany(len(s.Keys))
	}
	return nil
}

// checkAny works like check, for any number of keys.
func (s Selection) checkAny(action Action) error {
	switch {
	case s.Rate < 0 || s.Rate > MostRate:
		return &SelectionError{"the rate is 1 to 1000 items a second"}
	case action.ofDocument() && (s.Document == nil || s.Document.ID == "" || s.Document.Source == "" || s.Document.Provider == ""):
		return &SelectionError{"the action needs a document, with its source and its provider"}
	case action.ofDocument():
		return nil
	case (action == Repair || action == RepairCallback) && (len(s.Keys) != 1 || s.Body == nil && s.Query == nil):
		return &SelectionError{"a repair needs the key of one dead letter or callback, and its new content"}
	case len(s.Keys) == 0 && s.Filter == (Filter{}) && !s.All && action != ReleaseChannels:
		return &SelectionError{"the selection is empty: choose items, filter them, or choose all"}
	case len(s.Keys) > 0 && (s.Filter != (Filter{}) || s.All):
		return &SelectionError{"the selection has both keys and a filter: choose one of them"}
	case s.Filter.What != "" && s.Filter.What != action.what():
		return &SelectionError{fmt.Sprintf("the action %s is for what is %s, not for what is %s", action, action.what(), s.Filter.What)}
	default:
		return nil
	}
}

func tooMany(n int) error {
	return &SelectionError{fmt.Sprintf("%d items are selected, and a plan has at most %d: narrow the filter, or do it in several plans", n, MostItems)}
}

// SelectionError is a mistake in a request for a plan. Its text says how to correct it.
type SelectionError struct{ text string }

func (e *SelectionError) Error() string { return e.text }

// RefusedError means that an action must not be done.
type RefusedError struct {
	Reason string // bounded: "signed", "document-ended", "opted-out"
	text   string
}

func (e *RefusedError) Error() string { return e.text }

// The keys of the bucket JOBS.
func planKey(id string) string { return "plan." + id }
func workKey(id string) string { return "work." + id }
func openKey(id string) string { return "open." + id }
func jobKey(id string) string  { return jobPrefix + id }

const jobPrefix = "job."

// planID returns the id of a plan. It is not the token, because jobs are listed by their ids.
func planID(token string) string {
	sum := sha256.Sum256([]byte("plan/" + token))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:10]))
}

func (o *Operator) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	bucket, err := o.JS.KeyValue(ctx, flow.Jobs)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", flow.Jobs, err)
	}
	return bucket, nil
}

// readWork returns a stored plan, or ErrNoPlan.
func readWork(ctx context.Context, bucket jetstream.KeyValue, key string) (work, error) {
	entry, err := bucket.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return work{}, ErrNoPlan
	}
	if err != nil {
		return work{}, fmt.Errorf("read a plan: %w", err)
	}
	var w work
	if err := json.Unmarshal(entry.Value(), &w); err != nil {
		return work{}, fmt.Errorf("read a plan: %w", err)
	}
	return w, nil
}
