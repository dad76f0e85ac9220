package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/operate"
	archivesettings "github.com/signrelay/signrelay/services/archiver/settings"
)

var documentPages = []Page{
	{"GET", "/documents/{provider}/{source}/{document...}", Look, "documents", []string{"show", "detail", "do", "to", "channel", "raw", "get", "file", "job"}, documentPage},
	{"POST", "/documents/{provider}/{source}/{document...}", Look, "documents", []string{"do"}, documentAction}, // each action checks its own role
}

// DocumentPath returns the path of the page of a document.
func DocumentPath(provider, source, id string) string {
	return "/documents/" + url.PathEscape(provider) + "/" + url.PathEscape(source) + "/" + url.PathEscape(id)
}

// documentData is what the page of a document shows. It has names, addresses, titles and texts only if Private is true.
type documentData struct {
	Provider string         `json:"provider"`
	Source   string         `json:"source"`
	ID       string         `json:"id"`
	Title    string         `json:"title,omitempty"`
	State    document.State `json:"state"`
	SentAt   time.Time      `json:"sent_at,omitzero"`
	Private  bool           `json:"private"`
	Sequence uint64         `json:"sequence,string"` // of its last event in the log
	Partial  bool           `json:"partial,omitempty"`
	Hold     *holdView      `json:"legal_hold,omitempty"`
	document.Explanation

	Files   []fileView   `json:"files"`
	Actions []actionView `json:"actions"`
	Did     []didView    `json:"operators"` // what operators did, the latest first
	Job     *operate.Job `json:"job,omitempty"`
	Outcome string       `json:"outcome,omitempty"` // of the order of the job about a person
	// Fulfilled is false if the order was refused.
	Fulfilled bool `json:"fulfilled,omitempty"`

	Path    string     `json:"-"`
	Name    string     `json:"-"` // the provider's name
	Days    []dayView  `json:"-"`
	Chips   []chipView `json:"-"`
	Events  int        `json:"-"`
	Folded  int        `json:"-"` // small steps that the timeline leaves out
	Show    string     `json:"-"`
	Plan    *planView  `json:"-"`
	Stays   []string   `json:"-"` // of an erased document
	Erased  time.Time  `json:"-"`
	Started bool       `json:"-"`
}

type holdView struct {
	Since  time.Time `json:"since"`
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
}

type fileView struct {
	Number int       `json:"number"`
	Name   string    `json:"name"`
	Kind   string    `json:"kind"`
	Size   uint64    `json:"size,string"`
	SHA256 string    `json:"sha256,omitempty"` // only with the role private
	At     time.Time `json:"at"`
	Open   bool      `json:"open"` // the reader may download it
}

type didView struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	What   string    `json:"what"`
	Reason string    `json:"reason,omitempty"`
}

// dayView is a day of the timeline, in UTC.
type dayView struct {
	Name    string
	Past    bool
	Entries []document.Entry
}

type chipView struct {
	Show, Name string
	Events     int
	On         bool
}

// documentID returns the id in the path. It may have any character that a URL can have.
func (r *Request) documentID() operate.Document {
	return operate.Document{Source: r.PathValue("source"), Provider: r.PathValue("provider"), ID: r.PathValue("document")}
}

var errNoSuchDocument = &Problem{
	Status: http.StatusNotFound, Title: "No document has this id",
	Detail: "The log has no event of this id in this source. Compare the id, the source and the provider with what the provider shows. The document may be " +
		"older than the log, or its first callback has not come in yet.",
}

// dossier reads the document of the request.
func (r *Request) dossier() (operate.Dossier, error) {
	d := r.documentID()
	if !validToken(d.Source) || !validToken(d.Provider) {
		return operate.Dossier{}, errNoSuchDocument
	}
	got, err := r.Console.operator.Dossier(r.Context(), d, r.Console.factsOf(d))
	if errors.Is(err, operate.ErrNoDocument) {
		return operate.Dossier{}, errNoSuchDocument
	}
	return got, err
}

// validToken reports whether a name of a source or a provider can be a part of a subject: others would be wildcards or other subjects.
func validToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// factsOf returns what the settings say about the documents of a source.
func (s *Server) factsOf(d operate.Document) document.Facts {
	facts := document.Facts{Archives: archivesettings.Section.Of(s.env.Config).On()}
	sources := s.env.Config.Sources
	if i := slices.IndexFunc(sources, func(src config.Source) bool { return src.Provider == d.Provider && src.Name == d.Source }); i >= 0 {
		facts.ReminderDays = sources[i].Reminders.Due()
		if !sources[i].Fallback.Disabled {
			facts.FallbackAfter = sources[i].Fallback.After
		}
	}
	return facts
}

// user is the name by which the log knows the reader.
func (r *Request) user() string { return cmp.Or(r.Reader.Name, "this machine") }

// private reports whether the reader sees the personal data of the document. The look is an event; if it cannot be stored, nothing is shown.
func (r *Request) private(got operate.Dossier) (bool, error) {
	if !r.Can(Private) {
		return false, nil
	}
	if got.Document.State == document.Erased { // there is nothing left, and an event would bring the id back
		return true, nil
	}
	if err := r.Console.operator.Look(r.Context(), got.Is, r.user()); err != nil {
		return false, fmt.Errorf("store the look at a document: %w", err)
	}
	return true, nil
}

func documentPage(r *Request) (View, error) {
	got, err := r.dossier()
	if err != nil {
		return View{}, err
	}
	q := r.URL.Query()
	switch {
	case q.Has("raw"):
		return rawCallback(r, got)
	case q.Has("file"):
		return archivedFile(r, got)
	case q.Get("get") == "evidence":
		return evidenceFile(r, got)
	case q.Has("get"):
		return View{}, badValue("get", "evidence")
	}
	data, err := r.documentData(got)
	if err != nil {
		return View{}, err
	}
	if q.Has("do") {
		if data.Plan, err = r.plan(got, operate.Action(q.Get("do")), q); err != nil {
			return View{}, err
		}
		if r.JSON {
			return View{Data: data.Plan}, nil
		}
		return View{Template: "document_plan", Title: data.Plan.Title, Data: data}, nil
	}
	return View{Template: "document", Title: cmp.Or(data.Title, data.ID), Live: true, Data: data}, nil
}

func badValue(key string, accepted ...string) *Problem {
	return &Problem{Status: http.StatusBadRequest, Title: unknownValue, Detail: "The key " + key + " accepts " + strings.Join(accepted, ", ") + "."}
}

// documentData explains the document for the reader.
func (r *Request) documentData(got operate.Dossier) (*documentData, error) {
	private, err := r.private(got)
	if err != nil {
		return nil, err
	}
	held := r.Console.sampler.snapshot().Held // at most three samples old
	for i := range got.Facts.Held {
		h := &got.Facts.Held[i]
		for _, g := range held {
			if g.Reason == h.Reason && g.Stage == event.ChannelNamed(h.Channel).Stage {
				h.Others = max(g.Count-1, 0)
			}
		}
	}
	d := &got.Document
	if !private {
		d = d.Masked()
	}
	data := &documentData{
		Provider: got.Is.Provider, Source: got.Is.Source, ID: cmp.Or(d.ID, event.Public(got.Is.ID)), Title: d.Title, State: d.State, SentAt: d.FirstSent,
		Private: private, Sequence: d.Sequence, Partial: got.Partial, Explanation: document.Explain(d, got.Events, got.Facts, r.Now),
		Path: DocumentPath(got.Is.Provider, got.Is.Source, r.PathValue("document")), Name: document.ProviderName(got.Is.Provider), Events: len(got.Events),
	}
	if h := got.Facts.LegalHold; h != nil {
		data.Hold = &holdView{Since: h.Since, By: h.By, Reason: h.Reason}
		if !private {
			data.Hold.Reason = ""
		}
	}
	if d.State == document.Erased {
		data.Erased = d.EndedAt
		data.ID = event.Public(r.PathValue("document"))
	}
	data.Files = r.files(d, private)
	data.Did = operatorsDid(got.Events, private)
	data.Actions = r.actions(got)
	if id := r.URL.Query().Get("job"); id != "" {
		job, err := r.Console.operator.Job(r.Context(), id)
		if err != nil && !errors.Is(err, operate.ErrNoJob) {
			return nil, err
		}
		if err == nil {
			job.Owner = ""
			data.Job = &job
			data.orderOutcome(got)
		}
	}
	return data, r.timeline(data)
}

// shows are the filters of the timeline.
var shows = []struct {
	show, name string
	kind       document.EntryKind
}{
	{"all", "All", ""}, {"callbacks", "Callbacks", document.KindCallback}, {"messages", "Messages", document.KindMessage}, {"clicks", "Clicks", document.KindClick},
	{"problems", "Problems", document.KindProblem},
}

// small are the steps that the timeline folds: other entries say the same to a person.
var small = []string{event.NotificationRequested, event.LinkSubstituted, event.ReminderScheduled, event.DocumentUpdated}

func smallStep(e document.Entry) bool {
	return e.Kind != document.KindProblem && (slices.Contains(small, e.Type) || e.Type == event.OperatorActed && e.Reason == string(operate.Look))
}

// timeline filters the timeline, and groups it by days.
func (r *Request) timeline(data *documentData) error {
	q := r.URL.Query()
	show, detail := cmp.Or(q.Get("show"), "all"), q.Get("detail")
	at := slices.IndexFunc(shows, func(s struct {
		show, name string
		kind       document.EntryKind
	}) bool {
		return s.show == show
	})
	switch {
	case at < 0:
		return badValue("show", "all", "callbacks", "messages", "clicks", "problems")
	case detail != "" && detail != "all":
		return badValue("detail", "all")
	}
	data.Show = show
	for _, s := range shows {
		n := 0
		for _, e := range data.Timeline {
			if s.kind == "" || e.Kind == s.kind {
				n++
			}
		}
		data.Chips = append(data.Chips, chipView{s.show, s.name, n, s.show == show})
	}
	kept := data.Timeline[:0:0]
	for _, e := range data.Timeline {
		switch {
		case shows[at].kind != "" && e.Kind != shows[at].kind:
		case detail == "" && smallStep(e):
			data.Folded++
		default:
			kept = append(kept, e)
		}
	}
	data.Timeline = kept
	today := r.Now.UTC().Format("2006-01-02")
	for _, e := range kept {
		day := e.At.UTC()
		name := day.Format("Monday 2 January 2006")
		if day.Year() == r.Now.UTC().Year() {
			name = day.Format("Monday 2 January")
		}
		past := day.Format("2006-01-02") != today
		if !past {
			name = "Today, " + name
		}
		if n := len(data.Days); n == 0 || data.Days[n-1].Name != name {
			data.Days = append(data.Days, dayView{Name: name, Past: past})
		}
		last := &data.Days[len(data.Days)-1]
		last.Entries = append(last.Entries, e)
	}
	return nil
}

// operatorsDid returns what operators did with the document.
func operatorsDid(events []event.Stored, private bool) []didView {
	all := []didView{}
	for _, s := range slices.Backward(events) {
		e, a := s.Event, s.Event.GetAttributes()
		did := didView{At: event.Time(e), By: cmp.Or(a["by"], "an operator"), Reason: a["reason"]}
		switch e.GetType() {
		case event.OperatorActed:
			did.What = document.ActionWords(a[event.AttributeAction])
		case event.ReplayRequested:
			did.What, did.Reason = "Replayed a dead letter", a["why"]
		case event.ResendRequested:
			did.What = "Sent an invitation again"
		case event.CorrectionRequested:
			did.What = "Corrected a person"
		case event.DocumentHeld:
			did.What = "Put the document under a legal hold"
		case event.DocumentReleased:
			did.What = "Ended the legal hold"
		case event.DocumentErased:
			did.What = "Erased"
		default:
			continue
		}
		if a["by"] == event.BySender {
			continue // it is no operator; the timeline has it
		}
		if !private {
			did.Reason = "" // free text
		}
		all = append(all, did)
	}
	return all
}

var fileNames = map[string]string{"original": "As it was sent", "signed": "Signed", "certificate": "Certificate"}

func (r *Request) files(d *document.Document, private bool) []fileView {
	all := []fileView{}
	for i, f := range d.Files {
		v := fileView{Number: i + 1, Name: cmp.Or(fileNames[f.Kind], "File"), Kind: f.Kind, Size: f.Size, At: f.At}
		if private {
			v.SHA256, v.Open = f.SHA256, archivesettings.Section.Of(r.Console.env.Config).On()
		}
		all = append(all, v)
	}
	return all
}

// needPrivate refuses a reader without the role private.
func (r *Request) needPrivate(what string) error {
	if r.Can(Private) {
		return nil
	}
	return &Problem{Status: http.StatusForbidden, Title: "Your role may not see this",
		Detail: fmt.Sprintf("%s has personal data. To see it takes the role private. You have %s.", what, cmp.Or(r.Reader.Roles.String(), "no role"))}
}

// looked fails unless the reader may see personal data and the look is stored.
func (r *Request) looked(got operate.Dossier, what string) error {
	if err := r.needPrivate(what); err != nil {
		return err
	}
	_, err := r.private(got)
	return err
}

// numberIn returns a number from 1 to most in the query.
func (r *Request) numberIn(key string, most int) (int, error) {
	n, err := strconv.Atoi(r.URL.Query().Get(key))
	if err != nil || n < 1 || n > most {
		return 0, &Problem{Status: http.StatusNotFound, Title: "There is no such " + key, Detail: fmt.Sprintf("The document has %d.", most)}
	}
	return n, nil
}

// documentContext returns a context for a download that outlasts the usual time of a response.
func documentContext(r *Request, w http.ResponseWriter) context.Context {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(10 * time.Minute)) // without it a slow reader's download ends earlier
	return r.Context()
}
