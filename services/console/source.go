package console

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/operate"
	ingestsettings "github.com/signrelay/signrelay/services/ingest/settings"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

var sourcePages = []Page{
	{"GET", "/sources", Look, "sources", nil, sourcesPage},
	{"GET", "/sources/{provider}/{name}", Look, "sources", nil, sourcePage},
	{"POST", "/sources/{provider}/{name}", Operate, "sources", nil, askReconciliation},
}

// SourceRow is one source in a list.
type SourceRow struct {
	Name         string          `json:"name"`
	Provider     string          `json:"provider"`
	LastCallback time.Time       `json:"last_callback,omitzero"` // authentic, at most a minute before the newest
	Keys         []flow.KeyUse   `json:"keys"`
	Reconciled   *Reconciliation `json:"last_reconciliation,omitempty"`
	// LastHour are the authentic callbacks of the last whole hour and of this one so far.
	LastHour int `json:"callbacks_1h"`
	// Refused are the refused callbacks by reason, the most frequent first.
	Refused []Refused `json:"refused"`
	Silent  *Silence  `json:"silent,omitempty"`
}

// Refused counts the callbacks of a source that were refused for one reason.
type Refused struct {
	Reason string `json:"reason"`
	flow.Refusal
	Means string `json:"means"`
}

// Silence says that a source does not call although it usually does at this hour of the week. The alert SignrelaySourceSilent has the same rule.
type Silence struct {
	Since time.Time `json:"since,omitzero"`   // the last callback
	Usual int       `json:"usual_in_2_hours"` // in the same two hours of the last week
}

// The rule of a silent source: no callback in the last two whole hours and since, and at least this many in the same two hours a week ago.
const (
	silentHours = 2
	silentLeast = 10
)

// silence returns whether a source is silent; nil if it is not, or if too little is known.
func silence(a flow.Arrivals, now time.Time) *Silence {
	until := now.UTC().Truncate(time.Hour)
	from := until.Add(-silentHours * time.Hour)
	if n, _ := a.Between(from, until.Add(time.Hour)); n > 0 {
		return nil
	}
	const week = 7 * 24 * time.Hour
	usual, _ := a.Between(from.Add(-week), until.Add(-week))
	if usual < silentLeast {
		return nil
	}
	return &Silence{Since: a.Last, Usual: usual}
}

// refusedMeans says what a refusal means, in words.
func refusedMeans(reason string) string {
	if text := map[string]string{
		"unauthentic":        "The signature or token is wrong or missing: the secret differs from the provider's, or a stranger calls.",
		"too-large":          "The body is larger than 1 MiB.",
		"content-type":       "The provider does not send this type of content: the address may belong to another provider.",
		"method":             "The address does not accept this HTTP method.",
		"log-away":           "NATS did not accept it. The provider sends it again.",
		"too-many-in-flight": "Too many callbacks came in at once. The provider sends it again.",
		"incomplete":         "The body did not arrive as a whole.",
	}[reason]; text != "" {
		return text
	}
	return "The log of ingest has the details."
}

// arrived adds the counts of ingest to a row.
func (s *SourceRow) arrived(a flow.Arrivals, now time.Time) {
	hour := now.UTC().Truncate(time.Hour)
	s.LastHour, _ = a.Between(hour.Add(-time.Hour), hour.Add(time.Hour))
	if a.Last.After(s.LastCallback) {
		s.LastCallback = a.Last
	}
	for reason, r := range a.Refused {
		s.Refused = append(s.Refused, Refused{reason, r, refusedMeans(reason)})
	}
	slices.SortFunc(s.Refused, func(a, b Refused) int { return cmp.Or(b.Count-a.Count, strings.Compare(a.Reason, b.Reason)) })
	s.Silent = silence(a, now)
}

// Path returns the path of the source's page.
func (s SourceRow) Path() string { return "/sources/" + s.Provider + "/" + s.Name }

// Reconciliation is the last result of comparing the log with a provider.
type Reconciliation struct {
	Began         time.Time `json:"began"`
	Ended         time.Time `json:"ended,omitzero"`
	LookedAt      int       `json:"looked_at"`
	Found         int       `json:"found"`
	Published     int       `json:"published"`
	Contradicting int       `json:"contradicting"`
	Error         string    `json:"error,omitempty"`
	Running       bool      `json:"running,omitempty"`
}

// sourceRows returns all sources of the settings.
func (s *Server) sourceRows(ctx context.Context) ([]SourceRow, error) {
	rows := []SourceRow{}
	state, err := s.state(ctx)
	if err != nil {
		return nil, err
	}
	for _, src := range s.env.Config.Sources {
		row, err := s.sourceRow(ctx, state, src)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// state opens the bucket STATE.
func (s *Server) state(ctx context.Context) (jetstream.KeyValue, error) {
	state, err := s.env.JS.KeyValue(ctx, flow.State)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", flow.State, err)
	}
	return state, nil
}

func (s *Server) sourceRow(ctx context.Context, state jetstream.KeyValue, src config.Source) (row SourceRow, err error) {
	row = SourceRow{Name: src.Name, Provider: src.Provider, Keys: []flow.KeyUse{}, Refused: []Refused{}}
	if row.Keys, err = flow.KeyUses(ctx, s.env.JS, src.Provider, src.Name); err != nil {
		return row, err
	}
	for _, k := range row.Keys {
		if k.At.After(row.LastCallback) {
			row.LastCallback = k.At
		}
	}
	counted, err := flow.ReadArrivals(ctx, state, src.Provider, src.Name)
	if err != nil {
		return row, err
	}
	row.arrived(counted, s.env.Now())
	row.Reconciled, err = reconciliation(ctx, state, src)
	return row, err
}

// reconciliation returns the last result of a source, or nil if there is none.
func reconciliation(ctx context.Context, state jetstream.KeyValue, src config.Source) (*Reconciliation, error) {
	stored, err := state.Get(ctx, flow.ReconcileRun(src.Provider, src.Name))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of a reconciliation: %w", err)
	}
	var record struct{ Run, Last *Reconciliation }
	if err := json.Unmarshal(stored.Value(), &record); err != nil {
		return nil, fmt.Errorf("read the state of a reconciliation: %w", err)
	}
	if record.Run != nil {
		record.Run.Running = true
		return record.Run, nil
	}
	return record.Last, nil
}

type sourcesData struct {
	Findings []Finding   `json:"findings"`
	Sources  []SourceRow `json:"sources"`
}

func sourcesPage(r *Request) (View, error) {
	rows, err := r.Console.sourceRows(r.Context())
	if err != nil {
		return View{}, err
	}
	title := sourcesHeadline(rows, r.Now)
	return View{Template: "sources", Title: title, Live: true, Data: sourcesData{sourceFindings(rows, r.Now), rows}}, nil
}

// A finding needs more refusals than refusedLeast, the last one within recently: one wrong signature may be a stranger's.
const (
	recently     = time.Hour
	refusedLeast = 5
)

// sourceFindings returns what is wrong with the sources.
func sourceFindings(rows []SourceRow, now time.Time) []Finding {
	all := []Finding{}
	for _, row := range rows {
		if q := row.Silent; q != nil {
			all = append(all, Finding{Level: "warn", Title: "Source " + row.Name + " is silent", Since: q.Since, Runbook: "SignrelaySourceSilent", Source: row.Path(),
				Text: fmt.Sprintf("It calls about every %s at this hour of the week: %s in the same two hours a week ago.", every(q.Usual), counted(q.Usual, "callback")),
				Do:   "Look at the provider's own page of webhooks. Was ours switched off? Is today a holiday?"})
		}
		for _, r := range row.Refused {
			if r.Reason == "unauthentic" && r.Count > refusedLeast && now.Sub(r.Last) <= recently {
				all = append(all, Finding{Level: "warn", Title: "Source " + row.Name + " refuses callbacks", Since: r.First, Runbook: "SignrelayCallbacksUnauthentic", Source: row.Path(),
					Text: fmt.Sprintf("%s had a wrong signature or token, the last one %s.", counted(r.Count, "callback"), minutesAgo(now.Sub(r.Last))),
					Do:   "Compare the secret in the settings with the one at the provider. Then the provider sends them again."})
			}
		}
		if row.Reconciled != nil && row.Reconciled.Error != "" {
			all = append(all, Finding{Level: "warn", Title: "The reconciliation of source " + row.Name + " failed", Since: row.Reconciled.Ended, Runbook: "SignrelayReconciliationFailed", Source: row.Path(),
				Text: "Facts that no callback brought are not known since then.", Do: "Read the log of the reconciler."})
		}
	}
	return all
}

func minutesAgo(d time.Duration) string {
	if d < time.Minute {
		return "less than a minute ago"
	}
	return fmt.Sprintf("%d min ago", int(d/time.Minute))
}

// every returns the time between two of n callbacks in two hours.
func every(n int) string {
	minutes := max(1, silentHours*60/max(n, 1))
	return fmt.Sprintf("%d min", minutes)
}

// sourcesHeadline returns the heading of the list: what was found.
func sourcesHeadline(rows []SourceRow, now time.Time) string {
	findings := sourceFindings(rows, now)
	called := slices.ContainsFunc(rows, func(r SourceRow) bool { return !r.LastCallback.IsZero() })
	switch {
	case len(rows) == 0:
		return "No sources yet"
	case len(findings) > 0:
		return headline(findings)
	case !called:
		return "No source has called yet"
	case len(rows) == 1:
		return "The source calls as usual"
	default:
		quiet := 0
		for _, r := range rows {
			if r.LastCallback.IsZero() {
				quiet++
			}
		}
		if quiet > 0 {
			return fmt.Sprintf("%d of %s %s never called", quiet, counted(len(rows), "source"), verb(uint64(quiet), "has", "have"))
		}
		return "All " + counted(len(rows), "source") + " call as usual"
	}
}

// TypeCount is the number of a source's events of one type.
type TypeCount struct {
	Type string    `json:"type"`
	Hour int       `json:"1h"`
	Day  int       `json:"24h"`
	Last time.Time `json:"last"`
}

// sourceHeadline returns the heading of a source's page: what was found.
func sourceHeadline(row SourceRow, now time.Time) string {
	findings := sourceFindings([]SourceRow{row}, now)
	switch {
	case len(findings) > 0:
		return headline(findings)
	case row.LastCallback.IsZero():
		return "Source " + row.Name + " has never called"
	default:
		return "Source " + row.Name + " calls as usual"
	}
}

type sourceData struct {
	SourceRow
	Findings []Finding   `json:"findings"`
	URL      string      `json:"callback_path"`
	Public   string      `json:"-"` // the beginning of public addresses; empty if it is not known
	Types    []TypeCount `json:"events"`
	Access   *Access     `json:"access,omitempty"` // of the source's application
	Counted  bool        `json:"counts_complete"`  // false: the newest events of the day are still being counted
}

// publicURL returns the beginning of the addresses at which providers call. In one process it is that of short links.
func publicURL(c config.Config) string {
	return cmp.Or(ingestsettings.Section.Of(c).PublicURL, strings.TrimSuffix(shortenersettings.Section.Of(c).PublicURL, "/"))
}

// Reconciles says what a reconciliation does.
func (sourceData) Reconciles() string { return operate.Reconcile.Consequence() }

// source returns the source that the path names.
func (r *Request) source() (config.Source, error) {
	all := r.Console.env.Config.Sources
	i := slices.IndexFunc(all, func(src config.Source) bool {
		return src.Provider == r.PathValue("provider") && src.Name == r.PathValue("name")
	})
	if i < 0 {
		return config.Source{}, &Problem{Status: http.StatusNotFound, Title: "No source has this name",
			Detail: "The settings have no such source. It may have another provider, or it was removed.", Back: "/sources"}
	}
	return all[i], nil
}

// askReconciliation asks the reconciler to reconcile the source. It begins within seconds.
func askReconciliation(r *Request) (View, error) {
	s := r.Console
	src, err := r.source()
	if err != nil {
		return View{}, err
	}
	page := "/sources/" + src.Provider + "/" + src.Name
	order := operate.Order{By: r.user(), Reason: strings.TrimSpace(r.PostForm.Get("why"))}
	asked, err := s.operator.AskReconciliation(r.Context(), src.Provider, src.Name, time.Time{}, order)
	if err != nil {
		return View{}, explained(err, page)
	}
	return View{Next: page, Data: asked}, nil
}

func sourcePage(r *Request) (View, error) {
	s := r.Console
	src, err := r.source()
	if err != nil {
		return View{}, err
	}
	state, err := s.state(r.Context())
	if err != nil {
		return View{}, err
	}
	row, err := s.sourceRow(r.Context(), state, src)
	if err != nil {
		return View{}, err
	}
	data := sourceData{SourceRow: row, Findings: sourceFindings([]SourceRow{row}, r.Now), URL: "/webhooks/" + src.Provider + "/" + src.Name, Public: publicURL(s.env.Config)}
	if data.Access, err = s.accessOf(r.Context(), src); err != nil {
		return View{}, err
	}
	if data.Types, data.Counted, err = s.countTypes(r.Context(), src, r.Now); err != nil {
		return View{}, err
	}
	return View{Template: "source", Title: sourceHeadline(row, r.Now), Live: true, Data: data}, nil
}
