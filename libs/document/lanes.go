package document

import (
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// Lane is one person's way from the callback to the signature.
type Lane struct {
	Person  int         `json:"person"`
	Name    string      `json:"name"`
	State   PersonState `json:"state"`
	Badge   Badge       `json:"badge"`
	Order   int         `json:"order,omitempty"` // 1 for who signs first; 0 if there is no order or it is not known
	Email   string      `json:"email,omitempty"` // empty if the document is masked
	Mobile  string      `json:"mobile,omitempty"`
	Tracks  []Track     `json:"tracks"`
	Omitted int         `json:"omitted,omitempty"` // older messages without a track
}

// Track is the way of one message, or that of the person's link.
type Track struct {
	Title   string    `json:"title"` // "Invitation", "Reminder 1", "The link"
	Kind    string    `json:"kind,omitempty"`
	Channel string    `json:"channel,omitempty"`
	Message string    `json:"message,omitempty"`
	At      time.Time `json:"at,omitzero"`
	Hops    []Hop     `json:"hops"`
}

// Hop is a step of a track.
type Hop struct {
	Name string    `json:"name"`
	Note string    `json:"note,omitempty"`
	At   time.Time `json:"at,omitzero"`  // zero for a step that no event has, and for one to come
	Is   HopState  `json:"is,omitempty"` // empty for a step that is done
	// Lag is the time to the next step, on the line between the two. Growing is true if the next step has not come: Lag is the time so far.
	Lag     time.Duration `json:"lag,omitempty"`
	Growing bool          `json:"growing,omitempty"`
	Robot   bool          `json:"robot,omitempty"`
}

// HopState says how a step differs from one that is done.
type HopState string

// The states of a step.
const (
	HopBad     HopState = "bad"     // it did not go on
	HopWaiting HopState = "waiting" // it waits for a time
	HopNext    HopState = "next"    // it is still to come
)

// mostTracks is the number of messages that a lane shows, the latest ones.
const mostTracks = 12

func (x *explainer) lanes() []Lane {
	var all []Lane
	for i := range x.d.People {
		p := &x.d.People[i]
		l := Lane{Person: i, Name: x.name(i), State: p.State, Badge: x.personBadge(i), Order: x.order(p)}
		if !x.d.IsMasked {
			l.Email, l.Mobile = p.Email, p.Mobile
		}
		shown := p.Messages[max(0, len(p.Messages)-mostTracks):]
		l.Omitted = len(p.Messages) - len(shown)
		for j := range shown {
			t := x.track(&shown[j])
			if p.Formerly(&shown[j]) {
				t.Title += ", before the correction"
			}
			l.Tracks = append(l.Tracks, t)
		}
		if t := x.linkTrack(p); len(t.Hops) > 0 {
			l.Tracks = append(l.Tracks, t)
		}
		all = append(all, l)
	}
	return all
}

func (x *explainer) personBadge(i int) Badge {
	p := &x.d.People[i]
	switch p.State {
	case SignedState:
		return Badge{"Signed", Good}
	case RefusedState:
		return Badge{"Declined", Warn}
	case OptedOut:
		return Badge{"Opted out", Warn}
	case PersonErased:
		return Badge{"Erased", ""}
	case NotYet, OnItsWay, Told, NotTold, OpenedState:
	}
	if x.d.untold(p) {
		return Badge{"Not notified", Bad}
	}
	switch p.State {
	case NotTold:
		return Badge{"Not notified", Bad}
	case OnItsWay:
		return Badge{"On its way", Running}
	case OpenedState:
		return Badge{"Opened", Running}
	case Told:
		return Badge{"Notified", Running}
	case NotYet, SignedState, RefusedState, OptedOut, PersonErased:
	}
	return Badge{"Not yet", ""}
}

// order returns the place of a person in the signing order.
func (x *explainer) order(p *Person) int {
	orders := map[int]bool{}
	own := -1
	for _, s := range x.facts.Signers {
		orders[s.Order] = true
		if i := x.d.byID(s.ID); i >= 0 && &x.d.People[i] == p {
			own = s.Order
		}
	}
	if own < 0 || len(orders) < 2 {
		return 0
	}
	place := 1
	for o := range orders {
		if o < own {
			place++
		}
	}
	return place
}

// track returns the way of one message: its cause, the person found, the short link, handed over, delivered. An e-mail is never delivered.
func (x *explainer) track(m *Message) Track {
	t := Track{Title: upper(numbered(m.Kind, m.Number)), Kind: m.Kind, Channel: m.Channel, Message: m.ID, At: m.At}
	var made, cause event.Stored
	for _, s := range x.events {
		if s.Event.GetNotice().GetNotificationId() == m.ID {
			if c, ok := x.byID[s.Event.GetNotice().GetEventId()]; ok && cause.Event == nil {
				cause = c
			}
			if s.Event.GetType() == event.NotificationRequested && made.Event == nil {
				made = s
			}
		}
	}
	if cause.Event != nil {
		t.Hops = append(t.Hops, x.causeHop(cause))
	}
	if made.Event != nil {
		t.Hops = append(t.Hops, Hop{Name: "Person found", Note: "by " + x.provider(), At: storedAt(made)})
	}
	if event.KindNamed(m.Kind).Link != notifyv1.Link_PURPOSE_UNSPECIFIED && m.Outcome != Suppressed {
		note := ""
		if m.OwnLink {
			note = "our own"
		}
		t.Hops = append(t.Hops, Hop{Name: "Short link", Note: note})
	}
	if !m.SentAt.IsZero() {
		note := x.vendor(m.Channel) + " took it"
		if m.Channel == smsName && m.Parts > 0 {
			note = x.vendor(m.Channel) + ", " + plural(int(m.Parts), "part", "parts")
		}
		t.Hops = append(t.Hops, Hop{Name: "Handed over", Note: note, At: m.SentAt})
	}
	t.Hops = append(t.Hops, x.outcomeHops(m)...)
	x.setLags(t.Hops)
	return t
}

func (x *explainer) causeHop(s event.Stored) Hop {
	e := s.Event
	h := Hop{Name: "Callback", Note: badgeOf(e), At: storedAt(s)}
	switch e.GetType() {
	case event.ReminderDue:
		h.Name, h.Note, h.At = "Due", "", event.Time(e)
	case event.NotificationFallback:
		h.Name, h.Note = "Other channel", "the "+channelWord(e.GetNotice().GetChannel())+" was lost"
	case event.RecipientSigned:
		if i := x.d.Find(e.GetRecipient()); i >= 0 {
			h.Note = x.name(i) + " signed"
		}
	case event.DocumentCompleted:
		h.Note = "all signed"
	}
	return h
}

// outcomeHops are the last steps of a message: how it ended, or what is still to come.
func (x *explainer) outcomeHops(m *Message) []Hop {
	switch m.Outcome {
	case Delivered:
		return []Hop{{Name: "Delivered", Note: "receipt", At: m.DeliveredAt}}
	case Sent:
		if m.Expects {
			return []Hop{{Name: "Delivered", Note: "no receipt yet", Is: HopNext}}
		}
		return nil
	case Suppressed:
		return []Hop{{Name: "Not made", Note: m.Reason, At: m.EndedAt, Is: HopBad}}
	case Held:
		note := m.Reason
		next := Hop{Name: "Handed over", Note: "by itself", Is: HopNext}
		if i := slices.IndexFunc(x.facts.Held, func(h HeldMessage) bool { return h.ID == m.ID }); i >= 0 {
			if h := x.facts.Held[i]; h.Attempts > 0 {
				note = plural(h.Attempts, "attempt", "attempts")
				next.Name = "Attempt " + count(h.Attempts+1)
			}
		}
		return []Hop{{Name: "Held", Note: note, At: m.EndedAt, Is: HopBad}, next}
	case Deferred:
		return []Hop{{Name: "Waits", Note: strings.ReplaceAll(m.Reason, "-", " "), At: m.EndedAt, Is: HopWaiting}, {Name: "Handed over", Note: "by itself", Is: HopNext, At: m.Until}}
	case Failed:
		name := "Given up"
		if !m.SentAt.IsZero() {
			name = "Not delivered"
		}
		hops := []Hop{{Name: name, Note: m.Reason, At: m.EndedAt, Is: HopBad}}
		if m.Fallback != "" {
			to := channelWord(m.Fallback)
			if m.Fallback == toSender {
				to = "the sender"
			}
			hops = append(hops, Hop{Name: "Instead", Note: to})
		}
		return hops
	default:
		return []Hop{{Name: "Handed over", Is: HopNext}}
	}
}

// linkTrack is the way of a person's link: told, opened by a robot or a person, signed. Text and e-mail carry one link.
func (x *explainer) linkTrack(p *Person) Track {
	t := Track{Title: "The link", At: p.FirstSent}
	told := p.Told()
	if len(told) == 0 && p.Opened.At.IsZero() && p.SignedAt.IsZero() && p.DeclinedAt.IsZero() {
		return t
	}
	if len(told) > 0 {
		words := make([]string, len(told))
		for i, c := range told {
			words[i] = channelWord(c)
		}
		at := earliest(p.FirstSent, p.ProviderAt)
		if !p.CorrectedAt.IsZero() {
			at = p.toldAt()
		}
		t.Hops = append(t.Hops, Hop{Name: "Notified", Note: list(words), At: at})
	}
	var done []Hop
	if !p.Opened.RobotAt.IsZero() {
		done = append(done, Hop{Name: "Opened", Note: "by a robot", At: p.Opened.RobotAt, Robot: true})
	}
	if !p.Opened.At.IsZero() {
		note := "by a person"
		if p.Opened.Certainty == Reported {
			note = "says " + x.provider()
		}
		done = append(done, Hop{Name: "Opened", Note: note, At: p.Opened.At})
	}
	if !p.SignedAt.IsZero() {
		done = append(done, Hop{Name: "Signed", At: p.SignedAt})
	} else if x.d.declined(p) {
		done = append(done, Hop{Name: "Declined", At: p.DeclinedAt, Is: HopBad})
	}
	slices.SortStableFunc(done, func(a, b Hop) int { return a.At.Compare(b.At) })
	t.Hops = append(t.Hops, done...)
	if x.d.State == Waiting && p.SignedAt.IsZero() && p.State != OptedOut && !x.d.declined(p) {
		if p.Opened.At.IsZero() {
			t.Hops = append(t.Hops, Hop{Name: "Opened", Note: "by a person", Is: HopNext})
		}
		t.Hops = append(t.Hops, Hop{Name: "Signed", Is: HopNext})
	}
	x.setLags(t.Hops)
	return t
}

// toldAt returns when a message that asks to sign was first handed over since the correction of the person.
func (p *Person) toldAt() time.Time {
	at := p.ProviderAt
	for i := range p.Messages {
		if m := &p.Messages[i]; m.asks() && !p.Formerly(m) {
			at = earliest(at, m.SentAt)
		}
	}
	return at
}

// setLags sets the time between each step and the next one with a time. Before the first step to come, the time grows.
func (x *explainer) setLags(hops []Hop) {
	last := -1 // the last step with a time
	for i := range hops {
		switch {
		case hops[i].Is == HopNext:
			if last >= 0 {
				hops[i-1].Lag, hops[i-1].Growing = max(x.now.Sub(hops[last].At), 0), true
			}
			return
		case hops[i].At.IsZero():
			continue
		case last >= 0:
			hops[i-1].Lag = max(hops[i].At.Sub(hops[last].At), 0)
		}
		last = i
	}
}
