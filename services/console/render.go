package console

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/prices"
	"github.com/signrelay/signrelay/libs/service"
)

//go:embed templates
var templateFiles embed.FS

// Layout is the dot of each template: what all pages show, and the page's own data.
type Layout struct {
	Title   string
	Place   string
	Reader  Reader
	Roles   []string
	SignIn  bool // readers must sign in
	Page    bool // the reader may see pages: the header has the places
	Token   string
	Path    string // of this page, with its query
	UTC     bool
	Live    bool
	Now     time.Time
	Version string
	Stuck   uint64
	Data    any

	ReadOnly bool
}

// Can reports whether the reader has a role, by its name.
func (l *Layout) Can(role string) bool { return l.Reader.Roles.Has(roleNames[role]) }

// At returns the address of this page with another value of the key time.
func (l *Layout) At(zone string) string {
	path, query, _ := strings.Cut(l.Path, "?")
	var keep []string
	for part := range strings.SplitSeq(query, "&") {
		if part != "" && !strings.HasPrefix(part, "time=") {
			keep = append(keep, part)
		}
	}
	return path + "?" + strings.Join(append(keep, "time="+zone), "&")
}

// Lists reports whether the page is the list of documents, which has a search field of its own.
func (l *Layout) Lists() bool {
	path, _, _ := strings.Cut(l.Path, "?")
	return path == documentsPath
}

// functions are the helpers of templates.
var functions = template.FuncMap{
	"asset":   assetPath,
	"when":    when,
	"number":  number,
	"count":   counted,
	"bytes":   sized,
	"rate":    rated,
	"percent": func(part float64) string { return strconv.FormatFloat(100*part, 'f', 1, 64) + " %" },
	"ago":     func(now, t time.Time) string { return words(now.Sub(t)) },
	"spark":   spark,
	"lower":   strings.ToLower,
	"runbook": runbook,
	"marked":  marked,
	"foundIn": foundIn,
	"share":   share,
	"hours":   hoursWords,
	"stored":  stored,
	"places":  func() []Place { return places },
	"has":     hasPlace,
	"lag":     lag,
	"link":    link,
	"channel": document.ChannelWord,
	"hop":     hopClass,
	"place":   ordinal,
	"proof":   proof,
	"people":  numberOfPeople,
	"price":   price,
	"cost":    func(c *prices.Cost) string { return operate.Price(*c) },
	"capital": func(text string) string { return strings.ToUpper(text[:1]) + text[1:] },
	"full":    fullSentence,
	"phone":   phone,
	"message": document.MessageWord,
	"hides":   func(text string) bool { return strings.Contains(text, "/…") }, // of a message whose link has no code
	"entry":   func(l *Layout, e document.Entry) map[string]any { return map[string]any{"Layout": l, "E": e} },
	"stage":   func(l *Layout, v StageView) map[string]any { return map[string]any{"Layout": l, "V": v} },
	"job":     func(l *Layout, j operate.Job) map[string]any { return map[string]any{"Layout": l, "Job": jobOf(j)} },
	"reconciled": func(l *Layout, result *Reconciliation) map[string]any {
		return map[string]any{"Layout": l, "Result": result}
	},
}

// Place is an entry of the header.
type Place struct{ Name, Title, Path, Key string }

// places are the entries of the header, in order. The key goes there after g.
var places = []Place{
	{"flow", "Flow", "/", "f"},
	{"documents", "Documents", "/documents", "d"},
	{"stuck", "Stuck", "/stuck", "s"},
	{"sources", "Sources", "/sources", "o"},
	{"insight", "Insight", "/insight", "i"},
}

func hasPlace(name string) bool {
	return slices.ContainsFunc(places, func(p Place) bool { return p.Name == name })
}

// stored returns what a stream stores, for people.
func stored(stream string) string {
	switch stream {
	case flow.Signing, flow.Hold:
		return "event"
	case flow.DLQ:
		return deadLetter
	case flow.Quarantine:
		return "callback"
	case flow.Archive:
		return "document"
	default:
		return "message"
	}
}

// templates are the pages by name. Each has the layout.
var templates = parseTemplates()

func parseTemplates() map[string]*template.Template {
	layout := template.Must(template.New("layout.html").Funcs(functions).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html"))
	files, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		panic(err) // the pattern is wrong
	}
	all := map[string]*template.Template{}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "templates/"), ".html")
		if name != "layout" && name != "parts" {
			all[name] = template.Must(template.Must(layout.Clone()).ParseFS(templateFiles, file))
		}
	}
	return all
}

// render writes a page.
func (s *Server) render(w http.ResponseWriter, r *Request, p Page, v View) {
	settings := s.settings.Now()
	l := &Layout{
		Title: v.Title, Place: p.Place, Reader: r.Reader, Roles: r.Reader.Roles.Names(), SignIn: settings.SignIn(), Page: r.Can(Look),
		Token: s.token(r.id), Path: r.URL.RequestURI(), UTC: r.URL.Query().Get("time") == "utc", Live: v.Live, Now: r.Now.UTC(),
		Version: service.Version(), Data: v.Data, ReadOnly: settings.ReadOnly,
	}
	if l.Page {
		l.Stuck = s.sampler.stuck()
	}
	var page bytes.Buffer // so that a failure does not leave half a page
	t := templates[v.Template]
	if t == nil {
		s.env.Log.ErrorContext(r.Context(), "no template", "name", v.Template)
		http.Error(w, "This page has no template.", http.StatusInternalServerError)
		return
	}
	if err := t.ExecuteTemplate(&page, "layout.html", l); err != nil {
		s.env.Log.ErrorContext(r.Context(), "a template failed", "name", v.Template, "error", err)
		http.Error(w, "The page cannot be shown. The log of the console has the reason.", http.StatusInternalServerError)
		return
	}
	sendWhole(w, r.Request, cmp.Or(v.Status, http.StatusOK), "text/html; charset=utf-8", page.Bytes())
}

// when returns a time as HTML: relative, with UTC in its title, or in UTC if the page shows all times so. The script rewrites both in the
// reader's zone. The zero time is "never".
func when(l *Layout, t time.Time) template.HTML {
	if t.IsZero() {
		return "never"
	}
	t = t.UTC()
	clock := t.Format("2 Jan 2006, 15:04:05") + " UTC"
	text := clock
	if !l.UTC {
		text = relative(t, l.Now)
	}
	// All parts are made of digits and our own words.
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, t.Format("2006-01-02T15:04:05.999Z"), clock, text)) //nolint:gosec // see above
}

func relative(t, now time.Time) string {
	if t.After(now.Add(time.Second)) {
		return "in " + words(t.Sub(now))
	}
	return words(now.Sub(t)) + " ago"
}

// words returns a duration in its largest unit: "43 min".
func words(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < 100*time.Second:
		return fmt.Sprintf("%d s", int(math.Ceil(d.Seconds())))
	case d < 100*time.Minute:
		return fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Round(time.Hour).Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}

// lag returns a duration between two steps: "9 ms", "3.1 s", "43 min".
func lag(d time.Duration) string {
	switch {
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	default:
		return words(d)
	}
}

// hopClass returns the classes of a step in a lane.
func hopClass(h document.Hop) string {
	class := string(h.Is)
	if h.Robot {
		class += " robot"
	}
	return strings.TrimSpace(class)
}

// numberOfPeople returns a number of people in words.
func numberOfPeople(n int) string {
	if n == 1 {
		return "1 person"
	}
	return number(n) + " people"
}

// price returns a price as the vendor told it, without zeros at its end; empty for nothing.
func price(text string) string {
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	if text == "0" {
		return ""
	}
	return text
}

// phone returns a number with its plus. Providers write numbers in many forms; one of digits only is international.
func phone(text string) string {
	if strings.Trim(text, "0123456789") == "" {
		return "+" + text
	}
	return text
}

// ordinal returns the place in an order: "first".
func ordinal(n int) string {
	if all := []string{"", "first", "second", "third", "fourth", "fifth"}; n > 0 && n < len(all) {
		return all[n]
	}
	return "as number " + strconv.Itoa(n)
}

// proof says in a few words how events were verified.
func proof(badge string) string {
	switch badge {
	case "HMAC", "RSA":
		return badge + " over the callback"
	case "token":
		return "Shared token"
	case "API":
		return "The provider’s API"
	case "receipt":
		return "Receipt"
	case "":
		return "Made by us"
	default:
		return "Not verified"
	}
}

// link returns the address of a page with one parameter.
func link(path, key string, value any) string {
	return path + "?" + key + "=" + queryEscape(fmt.Sprint(value))
}

// number returns a whole number with separators of thousands.
func number(n any) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// counted returns a number and its noun in the right form: "1 event", "2 events".
func counted(n any, noun string) string {
	if text := number(n); text != "1" {
		return text + " " + plural(noun)
	}
	return "1 " + noun
}

func plural(noun string) string {
	if noun == "person" {
		return "people"
	}
	if strings.HasSuffix(noun, "y") && !strings.HasSuffix(noun, "ay") {
		return noun[:len(noun)-1] + "ies"
	}
	return noun + "s"
}

// sized returns a number of bytes in its largest unit.
func sized(n uint64) string {
	size, unit := float64(n), "B"
	for _, larger := range []string{"kB", "MB", "GB", "TB"} {
		if size < 1000 {
			break
		}
		size, unit = size/1000, larger
	}
	if unit == "B" || size >= 100 {
		return fmt.Sprintf("%.0f %s", size, unit)
	}
	return fmt.Sprintf("%.1f %s", size, unit)
}

// rated returns a rate a minute with at most one decimal.
func rated(perMinute float64) string {
	if perMinute >= 100 || perMinute == 0 {
		return number(int64(math.Round(perMinute)))
	}
	return strconv.FormatFloat(perMinute, 'f', 1, 64)
}

// spark returns the picture of a rate in the last hour. Its label says the range in words.
func spark(values []float64, label string) template.HTML {
	if len(values) < 2 {
		return ""
	}
	low, high := values[0], values[0]
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	var path strings.Builder
	for i, v := range values {
		command := "L"
		if i == 0 {
			command = "M"
		}
		y := 27.0
		if high > 0 {
			y = 27 - 25*v/high
		}
		fmt.Fprintf(&path, "%s%.0f %.1f", command, 100*float64(i)/float64(len(values)-1), y)
	}
	//nolint:gosec // the label is escaped, and the rest is digits
	return template.HTML(fmt.Sprintf(`<svg class="spark" viewBox="0 0 100 28" preserveAspectRatio="none" role="img" aria-label="%s in the last hour: between %s and %s"><path d="%s"/></svg>`,
		template.HTMLEscapeString(label), rated(low), rated(high), path.String()))
}

// runbook returns the address of an alert's entry in the documentation.
func runbook(alert string) string {
	return "https://github.com/signrelay/signrelay/blob/main/docs/operate.md#" + strings.ToLower(alert)
}
