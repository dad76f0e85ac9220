package console

import (
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
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
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
	row = SourceRow{Name: src.Name, Provider: src.Provider, Keys: []flow.KeyUse{}}
	if row.Keys, err = flow.KeyUses(ctx, s.env.JS, src.Provider, src.Name); err != nil {
		return row, err
	}
	for _, k := range row.Keys {
		if k.At.After(row.LastCallback) {
			row.LastCallback = k.At
		}
	}
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
	Sources []SourceRow `json:"sources"`
}

func sourcesPage(r *Request) (View, error) {
	rows, err := r.Console.sourceRows(r.Context())
	if err != nil {
		return View{}, err
	}
	title := counted(len(rows), "source")
	if len(rows) == 0 {
		title = "No sources yet"
	}
	return View{Template: "sources", Title: title, Live: true, Data: sourcesData{rows}}, nil
}

// TypeCount is the number of a source's events of one type.
type TypeCount struct {
	Type string    `json:"type"`
	Hour int       `json:"1h"`
	Day  int       `json:"24h"`
	Last time.Time `json:"last"`
}

type sourceData struct {
	SourceRow
	URL     string      `json:"callback_path"`
	Public  string      `json:"-"` // the beginning of public addresses; empty if it is not known
	Types   []TypeCount `json:"events"`
	Counted bool        `json:"counts_complete"` // false: only the oldest events of the day were counted
}

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
	state, err := s.state(r.Context())
	if err != nil {
		return View{}, err
	}
	asked := flow.ReconcileRequest{ID: dedupe.NewOwner()}
	data, err := json.Marshal(asked)
	if err != nil {
		return View{}, fmt.Errorf("encode a request: %w", err)
	}
	if _, err := state.Put(r.Context(), flow.ReconcileAsked(src.Provider, src.Name), data); err != nil {
		return View{}, fmt.Errorf("store the request: %w", err)
	}
	return View{Next: "/sources/" + src.Provider + "/" + src.Name, Data: asked}, nil
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
	data := sourceData{SourceRow: row, URL: "/webhooks/" + src.Provider + "/" + src.Name, Public: publicURL(s.env.Config)}
	if data.Types, data.Counted, err = s.countTypes(r.Context(), src, r.Now); err != nil {
		return View{}, err
	}
	return View{Template: "source", Title: src.Name, Live: true, Data: data}, nil
}

// mostCountedEvents limits the events that are read to count them: about 1 s.
const mostCountedEvents = 20_000

// countTypes counts the events of the last day from a source, by type. Types that Signrelay itself makes are left out.
func (s *Server) countTypes(ctx context.Context, src config.Source, now time.Time) (counts []TypeCount, complete bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	counts, read := []TypeCount{}, 0
	log := event.Log{JS: s.env.JS, Stream: flow.Signing}
	for m, err := range log.Messages(ctx, event.SourceFilter(src.Name, src.Provider), now.Add(-24*time.Hour)) {
		if err != nil {
			return nil, false, fmt.Errorf("count events: %w", err)
		}
		address, ok := event.ParseSubject(m.Subject)
		if read++; read > mostCountedEvents {
			return sorted(counts), false, nil
		}
		if !ok {
			continue
		}
		i := slices.IndexFunc(counts, func(c TypeCount) bool { return c.Type == address.Type })
		if i < 0 {
			i, counts = len(counts), append(counts, TypeCount{Type: address.Type})
		}
		counts[i].Day++
		if now.Sub(m.Time) <= time.Hour {
			counts[i].Hour++
		}
		counts[i].Last = m.Time.UTC()
	}
	return sorted(counts), true, nil
}

func sorted(counts []TypeCount) []TypeCount {
	slices.SortFunc(counts, func(a, b TypeCount) int { return strings.Compare(a.Type, b.Type) })
	return counts
}
