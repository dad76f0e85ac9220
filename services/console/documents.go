package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/index"
)

var documentsPages = []Page{
	{"GET", "/documents", Look, "documents", slices.Concat(listKeys, []string{"q", "s", "view", "after", "before", "format", "only"}), documentsPage},
	{"POST", "/documents", Look, "documents", nil, searchDocuments},
	{"POST", "/documents/views", Look, "documents", nil, changeViews},
}

// DocumentRow is a document in a list.
type DocumentRow struct {
	Path     string           `json:"path"`
	Key      string           `json:"-"` // its value in the form of the selection
	ID       string           `json:"id"`
	Source   string           `json:"source"`
	Provider string           `json:"provider"`
	Title    string           `json:"title,omitempty"` // only with the role private
	State    string           `json:"state"`
	Badges   []document.Badge `json:"badges"`
	People   []PersonRow      `json:"people"`
	Signed   int              `json:"signed"`
	Untold   int              `json:"untold"` // people who were not notified
	Stuck    bool             `json:"stuck"`
	SentAt   time.Time        `json:"sent_at,omitzero"`
	EndedAt  time.Time        `json:"ended_at,omitzero"`
	LastAt   time.Time        `json:"last_at,omitzero"`
	Waits    string           `json:"waits,omitempty"` // what it waits for, in words
	WaitsAt  time.Time        `json:"waits_until,omitzero"`

	Shown []PersonRow `json:"-"` // the first people, and those who match
	More  int         `json:"-"` // the others
}

// PersonRow is a person of a document in a list.
type PersonRow struct {
	Name   string               `json:"name"` // "Signer 1" without the role private
	State  document.PersonState `json:"state"`
	Email  string               `json:"email,omitempty"` // only with the role private, like the next one
	Mobile string               `json:"mobile,omitempty"`
}

// Word returns the state of the person in words.
func (p PersonRow) Word() string { return personWords[p.State] }

var personWords = map[document.PersonState]string{
	document.NotYet: "not asked yet", document.OnItsWay: "message on its way", document.Told: "notified", document.NotTold: "not notified",
	document.OpenedState: "opened", document.SignedState: "signed", document.RefusedState: "declined", document.OptedOut: "wants no messages",
	document.PersonErased: "erased",
}

// listChip is a filter in use. Its path is the same list without the filter.
type listChip struct{ Name, Value, Path string }

// Empty is what a list without documents says.
type Empty struct {
	Title, Text  string
	Button, Path string // one next step; empty for none
	Tip          string
}

type documentsData struct {
	Total int           `json:"total"`
	About bool          `json:"about"` // the total is an estimate
	Rows  []DocumentRow `json:"documents"`
	Older string        `json:"older,omitempty"` // the path of the next page
	Newer string        `json:"newer,omitempty"`
	// BehindSeconds is the lag of the index, if it is noticeable.
	BehindSeconds int `json:"index_behind_seconds,omitempty"`

	Text     string           `json:"-"`
	Masked   bool             `json:"-"`
	Count    string           `json:"-"`
	Chips    []listChip       `json:"-"`
	Hidden   url.Values       `json:"-"` // the filters, for forms
	Filters  chosen           `json:"-"` // what the form of filters shows
	Ages     []ageChoice      `json:"-"`
	Views    []viewGroup      `json:"-"`
	View     *viewLink        `json:"-"` // the saved view that is open
	Empty    *Empty           `json:"-"`
	Away     *Problem         `json:"-"`
	CSV      string           `json:"-"`
	Sources  []string         `json:"-"`
	States   []document.State `json:"-"`
	MayShare bool             `json:"-"`
}

// chosen is the filters as the form has them.
type chosen struct {
	State, Source, Provider, Since, Until string
	Untold, Stuck                         bool
}

type ageChoice struct{ Value, Words string }

// searchDocuments takes a search by form. The response leads to an address that contains no personal text. While the reader types, it is the page itself.
func searchDocuments(r *Request) (View, error) {
	l, err := readSearch(r.PostForm)
	if err != nil {
		return View{}, err
	}
	l = l.keep(r)
	if r.JSON || r.Header.Get("HX-Request") != "" {
		return listDocuments(r, l)
	}
	return View{Next: l.path(nil)}, nil
}

// readSearch reads the form of a search.
func readSearch(form url.Values) (listing, error) {
	l, err := readFilters(form)
	if err != nil {
		return l, err
	}
	l.text = strings.TrimSpace(form.Get("q"))
	if !printableText(l.text, 1024) {
		return l, &Problem{Status: http.StatusBadRequest, Title: "The search cannot be read", Detail: "It has control characters or more than 1,024 bytes.", Back: documentsPath}
	}
	return l, nil
}

func documentsPage(r *Request) (View, error) {
	l, err := readListing(r)
	if err != nil {
		return View{}, err
	}
	if l.token == "" && mayBePersonal(l.text) {
		if r.JSON {
			return View{}, badFilter("q", "no @ and at most four digits, because addresses are kept in many places: send the text by POST")
		}
		return View{Next: l.keep(r).path(nil)}, nil
	}
	switch format := r.URL.Query().Get("format"); format {
	case "":
		return listDocuments(r, l)
	case "csv":
		return downloadDocuments(r, l)
	default:
		return View{}, badFilter("format", "csv")
	}
}

// listDocuments returns a page of the documents that match.
func listDocuments(r *Request, l listing) (View, error) {
	data := &documentsData{Rows: []DocumentRow{}, Masked: !r.Can(Private), States: document.States, MayShare: r.Can(Operate), Sources: r.Console.sourceNames()}
	x, err := r.Console.reach(r.Context())
	if err == nil {
		err = data.views(r, x, &l)
	}
	var page index.Page
	if err == nil {
		if page, err = x.Search(r.Context(), l.query(r)); err != nil {
			err = r.Console.away(r.Context(), err)
		}
	}
	data.fill(l)
	if err != nil {
		return withoutIndex(r, data, l, err)
	}
	if path := wholeID(r, l, page); path != "" {
		return View{Next: path}, nil
	}
	data.Total, data.About = page.Total, page.About || page.Total > exactly
	for _, found := range page.Rows {
		row, err := rowOf(r, found, l.text)
		if err != nil {
			return View{}, err
		}
		data.Rows = append(data.Rows, row)
	}
	if n := len(page.Rows); n > 0 {
		if page.Older {
			data.Older = l.path(nil, "after", strconv.FormatUint(page.Rows[n-1].Number, 36))
		}
		if page.Newer {
			data.Newer = l.path(nil, "before", strconv.FormatUint(page.Rows[0].Number, 36))
		}
	} else if data.Empty, err = emptyList(r, x, l); err != nil {
		return View{}, r.Console.away(r.Context(), err)
	}
	data.Count = totalWords(data.Total, data.About)
	data.BehindSeconds = int(math.Ceil(r.Console.indexLag(r.Now).Seconds()))
	title := "Documents"
	if data.Empty != nil {
		title = "No document found"
	}
	return View{Template: "documents", Title: title, Data: data}, nil
}

// exactly is the total up to which a page shows an exact number.
const exactly = 100_000

// totalWords returns the number of documents. Estimates have two significant digits.
func totalWords(total int, about bool) string {
	if !about {
		return counted(total, "document")
	}
	step := 1
	for total/step >= 100 {
		step *= 10
	}
	return "about " + counted((total+step/2)/step*step, "document")
}

// fill fills in what the page shows of the listing.
func (d *documentsData) fill(l listing) {
	d.Text, d.Hidden, d.CSV = l.text, l.values(), l.path(nil, "format", "csv")
	d.Filters = chosen{l.page.State, l.page.Source, l.page.Provider, l.since, l.until, l.page.Untold, l.page.Stuck}
	for _, value := range []string{"1h", "24h", "7d", "30d", "90d"} {
		d.Ages = append(d.Ages, ageChoice{value, ageWords(value)})
	}
	for _, key := range []string{"q", "s"} {
		d.Hidden.Del(key)
	}
	add := func(key, name, value string) {
		if value != "" {
			d.Chips = append(d.Chips, listChip{name, value, l.path([]string{key})})
		}
	}
	add("state", "State", l.page.State)
	add("source", "Source", l.page.Source)
	add("provider", "Provider", l.page.Provider)
	if l.page.Untold {
		add("untold", "People", "someone was not notified")
	}
	if l.page.Stuck {
		add("stuck", "Messages", "something is stuck")
	}
	if l.since != "" {
		add("since", "Sent", "in the last "+ageWords(l.since))
	}
	if l.until != "" {
		add("until", "Sent", "more than "+ageWords(l.until)+" ago")
	}
}

// wholeID returns the path of the document whose whole id was searched for. Results while typing never lead away from the page.
func wholeID(r *Request, l listing, page index.Page) string {
	if l.text == "" || r.JSON || r.Header.Get("HX-Request") != "" || len(page.Rows) != 1 || page.Newer || page.Older || page.Rows[0].ID != l.text {
		return ""
	}
	return pathFor(r, page.Rows[0].Key)
}

// pathFor returns the path of a document's page. Without the role private an id that may be personal is in its public form.
func pathFor(r *Request, k index.Key) string {
	id := k.ID
	if !r.Can(Private) {
		id = event.Public(id)
	}
	return DocumentPath(k.Provider, k.Source, id)
}

// withoutIndex returns the page while the index is away. A whole id still leads to its document, by the log.
func withoutIndex(r *Request, data *documentsData, l listing, err error) (View, error) {
	problem := new(Problem)
	if !errors.As(err, &problem) || problem.Status != http.StatusServiceUnavailable || r.JSON {
		return View{}, err
	}
	if l.text != "" && r.Header.Get("HX-Request") == "" {
		path, err := r.Console.findInLog(r, l.text)
		if err != nil {
			return View{}, err
		}
		if path != "" {
			return View{Next: path}, nil
		}
	}
	data.Away = problem
	return View{Template: "documents", Title: problem.Title, Status: problem.Status, Data: data}, nil
}

// findInLog returns the path of the document with this id, or nothing.
func (s *Server) findInLog(r *Request, id string) (string, error) {
	key, found, err := s.keyInLog(r.Context(), id)
	if err != nil || !found {
		return "", err
	}
	return pathFor(r, key), nil
}

// keyInLog returns the document with this id, or with this id in subjects. It reads no more than the first events.
func (s *Server) keyInLog(ctx context.Context, id string) (index.Key, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	log := event.Log{JS: s.env.JS, Stream: flow.Signing}
	subjects, err := log.Subjects(ctx, event.DocumentFilter(id))
	if err != nil {
		return index.Key{}, false, fmt.Errorf("find a document in the log: %w", err)
	}
	for _, subject := range slices.Sorted(maps.Keys(subjects)) {
		for m, err := range log.Few(ctx, subject, time.Time{}) {
			if err != nil {
				return index.Key{}, false, fmt.Errorf("find a document in the log: %w", err)
			}
			e, err := event.Decode(event.WithoutCallback(m.Data))
			if is := e.GetDocument().GetId(); err == nil && (is == id || event.DocumentToken(is) == id) {
				return index.Key{Source: e.GetSource(), Provider: e.GetProvider(), ID: is}, true, nil
			}
		}
	}
	return index.Key{}, false, nil
}

func (s *Server) sourceNames() (names []string) {
	for _, source := range s.sources.Now() {
		names = append(names, source.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// rowOf returns the row of a document as the reader may see it.
func rowOf(r *Request, f index.Found, text string) (DocumentRow, error) {
	d, err := index.DocumentOf(f)
	if err != nil {
		return DocumentRow{}, err
	}
	// An erased document has another id in its body than in the index.
	d.Source, d.Provider = cmp.Or(d.Source, f.Source), cmp.Or(d.Provider, f.Provider)
	id := f.ID
	if !r.Can(Private) {
		d, id = d.Masked(), event.Public(f.ID)
	}
	explained := document.Explain(d, nil, document.Facts{}, r.Now)
	row := DocumentRow{
		Path: pathFor(r, f.Key), Key: f.Provider + "/" + f.Source + "/" + id, ID: id, Source: f.Source, Provider: f.Provider, Title: d.Title, State: f.State,
		Badges: explained.Badges, People: []PersonRow{}, Signed: f.Signed, Untold: f.Untold, Stuck: f.Stuck, SentAt: f.SentAt, EndedAt: f.EndedAt, LastAt: f.LastAt,
	}
	row.Waits, row.WaitsAt = waits(d, explained)
	for i := range d.People {
		p := &d.People[i]
		one := PersonRow{Name: d.NameOf(i), State: p.State, Email: p.Email, Mobile: p.Mobile}
		row.People = append(row.People, one)
		if i < shownPeople || one.matches(text) {
			row.Shown = append(row.Shown, one)
		}
	}
	row.More = len(row.People) - len(row.Shown)
	return row, nil
}

// shownPeople is how many people of a document a row shows, besides those who match.
const shownPeople = 3

func (p PersonRow) matches(text string) bool {
	return len(index.Marks(p.Name, text, false))+len(index.Marks(p.Email, text, false))+len(index.Marks(p.Mobile, text, true)) > 0
}

// waits returns what a document waits for: what went wrong first, then what happens next.
func waits(d *document.Document, x document.Explanation) (string, time.Time) {
	for _, u := range x.Untold {
		if !u.Minor {
			return u.Name + ": " + u.Because, time.Time{}
		}
	}
	if d.State.Ended() || len(x.Next) == 0 {
		return "", time.Time{}
	}
	if next := x.Next[0]; next.When != "" {
		return next.Text + ", " + next.When, time.Time{}
	}
	return x.Next[0].Text, x.Next[0].At
}

// emptyList says what was asked, how many there would be without filters, and one next step.
func emptyList(r *Request, x *index.Index, l listing) (*Empty, error) {
	if l.text == "" && l.filtered() == 0 {
		if l.page.After > 0 || l.page.Before > 0 {
			return &Empty{Title: "No documents on this page", Text: "They were erased or the address is old.", Button: "To the newest", Path: documentsPath}, nil
		}
		return &Empty{Title: "No documents yet", Button: "Connect a source", Path: "/sources",
			Text: "Paste a source’s URL at its provider, or play a story in the sandbox. The first document is here a moment later."}, nil
	}
	empty := &Empty{Title: "No document " + asked(l)}
	if l.text != "" && l.filtered() > 0 {
		page, err := x.Search(r.Context(), index.Query{Text: l.text, Exact: !r.Can(Private), Limit: 1})
		if err != nil {
			return nil, err
		}
		filters := "the filter"
		if n := l.filtered(); n > 1 {
			filters = fmt.Sprintf("the %d filters", n)
		}
		if page.Total > 0 {
			count := totalWords(page.Total, page.About || page.Total > exactly)
			empty.Text, empty.Button = "Without "+filters+" there "+verb(uint64(page.Total), "is", "are")+" "+count+".", "Show "+count+" without "+filters
			empty.Path = l.path(listKeys)
			return empty, nil
		}
		empty.Text = "There is none without " + filters + " either. "
	}
	empty.Button, empty.Path = "Show all documents", documentsPath
	if l.text == "" {
		empty.Button, empty.Path = "Clear the filters", documentsPath
	}
	empty.Text += "Events are kept for 90 days by default; what is older is gone."
	switch {
	case !r.Can(Private):
		empty.Tip = "Without the role private a search finds a whole id, a whole e-mail address or a whole number."
	case l.text != "":
		empty.Tip = "A number is found in any form: 3175550199, (317) 555-0199, or its last 4 digits. A name or a title is found by any piece of 3 letters."
	}
	return empty, nil
}

// asked returns what a search asked for, as the end of "No document …". It does not repeat the text of an address or a number.
func asked(l listing) string {
	var parts []string
	switch {
	case l.text == "":
	case strings.Contains(l.text, "@"):
		parts = append(parts, "has this address")
	case mayBePersonal(l.text) && strings.Trim(l.text, "0123456789 +-()./") == "":
		parts = append(parts, "has this number")
	default:
		parts = append(parts, "has “"+shorten(l.text)+"”")
	}
	if l.page.State != "" {
		parts = append(parts, "is "+l.page.State)
	}
	if l.page.Untold {
		parts = append(parts, "has a person who was not notified")
	}
	if l.page.Stuck {
		parts = append(parts, "is stuck")
	}
	if l.since != "" {
		parts = append(parts, "was sent in the last "+ageWords(l.since))
	}
	if l.until != "" {
		parts = append(parts, "was sent more than "+ageWords(l.until)+" ago")
	}
	place := ""
	if l.page.Source != "" {
		place = " in " + shorten(l.page.Source)
	}
	if l.page.Provider != "" {
		place += " in " + shorten(l.page.Provider)
	}
	text := strings.Join(parts, " and ")
	if text == "" {
		return "is" + place
	}
	return text + place
}

// marked returns a text as HTML, with the parts that a search found.
func marked(text, query string, isNumber bool) template.HTML {
	var b strings.Builder
	at := 0
	for _, m := range index.Marks(text, query, isNumber) {
		b.WriteString(template.HTMLEscapeString(text[at:m[0]]) + "<mark>" + template.HTMLEscapeString(text[m[0]:m[1]]) + "</mark>")
		at = m[1]
	}
	b.WriteString(template.HTMLEscapeString(text[at:]))
	return template.HTML(b.String()) //nolint:gosec // each part is escaped
}

// foundIn returns a text as HTML if the search found a part of it.
func foundIn(text, query string, isNumber bool) template.HTML {
	if len(index.Marks(text, query, isNumber)) == 0 {
		return ""
	}
	return marked(text, query, isNumber)
}
