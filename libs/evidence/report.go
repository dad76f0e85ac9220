package evidence

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// report collects what the readable pages show, event by event. Each of its lists has an upper limit, so its memory does not depend on the
// number of events.
type report struct {
	source     Source
	document   *signingv1.Document
	ended      string  // the sentence about the end of the document
	declinedBy *person // the person whose decision is the end of the document
	first      time.Time
	last       time.Time
	verified   map[signingv1.Verification]int

	rows      clipped[row]
	people    clipped[*person]
	byPerson  map[string]*person
	messages  clipped[*message]
	byMessage map[string]*message
	clicks    clipped[click]
	files     clipped[*file]
	callbacks clipped[callbackRow]
	named     map[string]bool // the ids of callbacks that have a row
	carried   map[string]bool // those of callbacks that an event of the document carries
	left      clipped[unprocessedRow]
}

// mostRows is the number of entries of a list on the pages. A person who reads more of them reads the events' own files.
const mostRows = 2000

// clipped is a list of at most mostRows entries: the first ones, and the last ones when there are more.
type clipped[T any] struct {
	first, last []T
	n           int
}

const mostLast = mostRows / 4

func (c *clipped[T]) add(v T) {
	c.n++
	if len(c.first) < mostRows-mostLast {
		c.first = append(c.first, v)
		return
	}
	if len(c.last) == 2*mostLast { // moves mostLast entries once in mostLast calls
		c.last = slices.Delete(c.last, 0, mostLast)
	}
	c.last = append(c.last, v)
}

// all returns the entries, and how many are missing between the first and the last ones.
func (c *clipped[T]) all() (all []T, missing int) {
	last := c.last[max(0, len(c.last)-mostLast):]
	return slices.Concat(c.first, last), c.n - len(c.first) - len(last)
}

type row struct {
	N        int // the number of the event
	At       time.Time
	Stored   time.Time
	What     string
	Details  []string
	Who      *person
	Verified string
	SHA256   string
}

// person is a person of the document. An event that names the person may be later than the first event about the person.
type person struct {
	ID, Name, Email, Mobile string
	Signed                  string // how the person's part ended: "signed 2026-… (event 12, HMAC signature)"
}

// message is a message to a person, from the events of its notification.
type message struct {
	Kind, Channel   string
	Who             *person
	Subject, Text   string
	Template, Price string
	Reference       string
	Parts           uint32
	States          []string // "2026-… accepted by the outside provider (event 7)"
	id              string
}

// mostStates is the number of states of one message on the pages.
const mostStates = 50

type click struct {
	N       int
	At      time.Time
	By      string // "a person", "a program", "unknown"
	Details string
	Who     *person
}

// file is an archived file, as its event has it.
type file struct {
	N      int // of its event
	Kind   string
	Size   int64
	SHA256 string
	Key    string
	Member string // its name in this archive; empty if it is not in it
}

type callbackRow struct {
	N        int // of the first event that it reported
	ID       string
	Request  string // its method and path; empty if an event of another document carries it
	Key      string
	Redacted bool
	Bytes    int
	Member   string
	SHA256   string
}

type unprocessedRow struct {
	At      time.Time
	Summary string
	Member  string
	SHA256  string
}

func newReport(s Source) *report {
	return &report{
		source: s, document: &signingv1.Document{}, verified: map[signingv1.Verification]int{},
		byPerson: map[string]*person{}, byMessage: map[string]*message{}, named: map[string]bool{}, carried: map[string]bool{},
	}
}

// add adds the n-th event.
func (r *report) add(s event.Stored, m member, n int) {
	e := s.Event
	at := event.Time(e)
	if at.IsZero() || e.GetOccurredAt() == nil && e.GetReceivedAt() == nil {
		at = s.Time
	}
	if r.first.IsZero() || at.Before(r.first) {
		r.first = at
	}
	if at.After(r.last) {
		r.last = at
	}
	r.verified[e.GetVerification()]++
	if d := e.GetDocument(); d != nil {
		r.document = &signingv1.Document{
			Id: cmp.Or(r.document.GetId(), d.GetId()), Title: cmp.Or(d.GetTitle(), r.document.GetTitle()),
			Uri: cmp.Or(r.document.GetUri(), d.GetUri()), Group: cmp.Or(r.document.GetGroup(), d.GetGroup()),
		}
	}
	who := r.person(e, at, n)
	r.rows.add(row{
		N: n, At: at, Stored: s.Time, What: event.Meaning(e.GetType()), Details: details(e), Who: who, Verified: short(e.GetVerification()), SHA256: hexSum(m),
	})
	switch e.GetType() {
	case event.DocumentCompleted, event.DocumentDeclined, event.DocumentVoided, event.DocumentExpired, event.RecipientDeclined:
		if e.GetVerification() != signingv1.Verification_VERIFICATION_NONE {
			r.ended = fmt.Sprintf("%s. Time: %s (event %d, %s).", event.Meaning(e.GetType()), clock(at), n, short(e.GetVerification()))
			r.declinedBy = nil
			if e.GetType() == event.RecipientDeclined {
				r.declinedBy = who
			}
		}
	case event.DocumentSent:
		r.ended = ""
	case event.RecipientSigned:
		if who != nil && r.declinedBy == who { // the person has changed the decision
			r.ended, r.declinedBy = "", nil
		}
	case event.DocumentArchived:
		f := e.GetFile()
		r.files.add(&file{N: n, Kind: f.GetKind(), Size: int64(f.GetSize()), SHA256: f.GetSha256(), Key: f.GetKey()})
	case event.LinkOpened, event.LinkFetched:
		r.clicks.add(clickOf(e, n, at, who))
	}
	if event.Entity(e.GetType()) == event.EntityNotification {
		r.message(e, n, at, who)
	}
}

// name returns the person's name for a table.
func (p *person) name() string {
	if p == nil {
		return ""
	}
	return cmp.Or(p.Name, p.Email, p.ID)
}

// person adds what an event says about its person, and returns the person; nil without one.
func (r *report) person(e *signingv1.SigningEvent, at time.Time, n int) *person {
	got := e.GetRecipient()
	if got == nil {
		return nil
	}
	id := cmp.Or(got.GetId(), got.GetEmail(), got.GetUri())
	p := r.byPerson[id]
	if p == nil {
		p = &person{ID: got.GetId()}
		if len(r.byPerson) < mostRows {
			r.byPerson[id] = p
			r.people.add(p)
		}
	}
	name := strings.TrimSpace(got.GetFirstName() + " " + got.GetLastName())
	p.Name, p.Email, p.Mobile = cmp.Or(name, p.Name), cmp.Or(got.GetEmail(), p.Email), cmp.Or(got.GetMobile(), p.Mobile)
	if word := signatures[e.GetType()]; word != "" {
		p.Signed = fmt.Sprintf("%s, %s (event %d, %s)", word, clock(at), n, short(e.GetVerification()))
	}
	return p
}

// signatures names the events with which a person's part ends.
var signatures = map[string]string{event.RecipientSigned: "signed", event.RecipientDeclined: "declined"}

// details returns what an event says in addition to its type. Links are left out: the holder of one can read the document.
func details(e *signingv1.SigningEvent) (all []string) {
	add := func(name, value string) {
		if value != "" {
			all = append(all, name+": "+value)
		}
	}
	if notice := e.GetNotice(); notice != nil {
		add("message", strings.TrimSpace(notice.GetKind()+" "+channel(notice.GetChannel())))
		add("reason", notice.GetReason())
		add("at fault", notice.GetFault())
		if notice.GetPossibleDuplicate() {
			all = append(all, "the person may have got it twice")
		}
	}
	attributes := e.GetAttributes()
	for _, name := range []string{"certainty", "client", "until", "due", "number", "reason", "channel", "from", "to", "signrelay.updates"} {
		if e.GetVerification() == signingv1.Verification_VERIFICATION_INTERNAL || name == "signrelay.updates" {
			add(strings.TrimPrefix(name, "signrelay."), readable(attributes[name]))
		}
	}
	add("the provider's name of the event", e.GetProviderType())
	add("contract", e.GetAgreement().GetContract())
	return all
}

// readable returns an attribute's value; a time in the form of the pages.
func readable(value string) string {
	if t, err := time.Parse(time.RFC3339Nano, value); err == nil {
		return clock(t)
	}
	return value
}

func channel(name string) string {
	switch name {
	case "":
		return ""
	case "sms":
		return "by text message"
	case "email":
		return "by e-mail"
	default:
		return "by " + name
	}
}

// clickOf returns the row of an opened link. A robot cannot press the button of our page, but may imitate a browser.
func clickOf(e *signingv1.SigningEvent, n int, at time.Time, who *person) click {
	c := click{N: n, At: at, Who: who, Details: strings.TrimSpace(e.GetNotice().GetKind() + " " + channel(e.GetNotice().GetChannel()))}
	switch a := e.GetAttributes(); {
	case e.GetType() == event.LinkFetched && a["client"] == "browser":
		c.By = "unknown: a browser showed the page with the button, and did not press it"
	case e.GetType() == event.LinkFetched:
		c.By = "a program"
		if a["client"] != "" {
			c.By += ": " + a["client"]
		}
	case a["certainty"] == "clicked":
		c.By = "a person: the button of the page was pressed"
	default:
		c.By = "unknown: a program that says it is a browser"
	}
	return c
}

// message adds the event of a notification to its message.
func (r *report) message(e *signingv1.SigningEvent, n int, at time.Time, who *person) {
	notice := e.GetNotice()
	m := r.byMessage[notice.GetNotificationId()]
	if m == nil {
		m = &message{id: notice.GetNotificationId(), Kind: notice.GetKind()}
		if len(r.byMessage) < mostRows {
			r.byMessage[m.id] = m
			r.messages.add(m)
		}
	}
	m.Channel = cmp.Or(notice.GetChannel(), m.Channel)
	if m.Who == nil {
		m.Who = who
	}
	m.Text, m.Subject = cmp.Or(notice.GetText(), m.Text), cmp.Or(notice.GetSubject(), m.Subject)
	m.Template, m.Price = cmp.Or(notice.GetTemplate(), m.Template), cmp.Or(notice.GetPrice(), m.Price)
	m.Reference, m.Parts = cmp.Or(notice.GetReference(), m.Reference), cmp.Or(notice.GetParts(), m.Parts)
	state := fmt.Sprintf("%s  %s (event %d)", clock(at), event.Meaning(e.GetType()), n)
	if notice.GetReason() != "" {
		state += ": " + notice.GetReason()
	}
	if len(m.States) < mostStates {
		m.States = append(m.States, state)
	}
}

// callback adds the callback that reported the n-th event. m is its member; nil if another event carries it.
func (r *report) callback(c *signingv1.Callback, n int, m *member) {
	row := callbackRow{N: n, ID: c.GetId(), Key: strings.TrimSpace(c.GetKey() + "\n" + c.GetKeyFingerprint()), Redacted: c.GetRedacted(), Bytes: len(c.GetBody())}
	switch {
	case m != nil:
		row.Request, row.Member, row.SHA256 = c.GetMethod()+" "+c.GetPath(), m.name, hexSum(*m)
		r.carried[c.GetId()] = true
	case r.named[c.GetId()] || r.carried[c.GetId()] || len(r.named) >= mostRows:
		return
	default:
		r.named[c.GetId()] = true
	}
	r.callbacks.add(row)
}

func (r *report) unprocessed(u Unprocessed, m member) {
	r.left.add(unprocessedRow{At: u.At, Summary: u.Summary, Member: m.name, SHA256: hexSum(m)})
}

// clock returns a time in the form of the pages. All times there are in UTC.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// short names a verification in a table.
func short(v signingv1.Verification) string { return verifications[v].short }

// verification says how a fact was verified.
type verificationText struct{ short, long string }

var verifications = map[signingv1.Verification]verificationText{
	signingv1.Verification_VERIFICATION_UNSPECIFIED: {"not stated", "The log does not say how these events were verified."},
	signingv1.Verification_VERIFICATION_NONE: {"not verified", "The provider's callback was not verified. The operator allowed that for this source. " +
		"Anybody who knew the address could have sent such a callback."},
	signingv1.Verification_VERIFICATION_TOKEN: {"shared token", "The callback had the secret token that the provider and this installation share. " +
		"It identifies the sender, and it does not protect each byte of the callback."},
	signingv1.Verification_VERIFICATION_HMAC: {"HMAC signature", "The callback had a valid HMAC signature over its bytes. " +
		"The provider and this installation share the secret of the signature."},
	signingv1.Verification_VERIFICATION_RSA: {"RSA signature", "The callback had a valid RSA signature over its bytes. Only the provider has the private key. " +
		"Anybody who has the provider's certificate can check it again."},
	signingv1.Verification_VERIFICATION_CONFIRMED: {"confirmed by the provider", "Signrelay asked the provider's REST API over TLS, and the API reported the same fact."},
	signingv1.Verification_VERIFICATION_INTERNAL:  {"made by Signrelay", "Signrelay made these events itself: they report what Signrelay did or saw, such as a message that it sent."},
}

// bytesOf returns a size for a table.
func bytesOf(n int64) string { return strconv.FormatInt(n, 10) + " bytes" }
