package bench

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
)

// row is one figure of the table that `make bench` prints.
type row struct {
	key, what string
	format    string  // of the value
	target    float64 // 0: no target
	minimum   bool    // whether the target is a minimum; otherwise it is a maximum
}

// table has the rows in the order in which they are printed. A target holds for two cores that also generate the load. Ratios may be compared
// between machines, all other figures only between runs on one machine.
var table = []row{
	{"accepted-64", "callbacks/s, 64 connections", "%.0f", 0, false},
	{"accepted-64-of-bare", "  ratio to a bare net/http handler", "%.2f", 0.42, true},
	{"accepted-64-p50", "  p50, ms", "%.1f", 0, false},
	{"accepted-64-p99", "  p99, ms", "%.1f", 0, false},
	{"accepted-256-of-bare", "256 connections: ratio to a bare handler", "%.2f", 0.5, true},
	{"fsync-64", "callbacks/s with fsync before the response, 64 connections", "%.0f", 0, false},
	{"fsync-64-of-bare", "  ratio to a bare handler", "%.2f", 0.16, true},
	{"fsync-64-p50", "  p50, ms", "%.1f", 0, false},
	{"fsync-64-p99", "  p99, ms", "%.1f", 0, false},
	{"fsync-256-of-bare", "256 connections with fsync: ratio to a bare handler", "%.2f", 0.28, true},
	{"run-64", "callbacks/s of `signrelay run` without Redis, with fsync", "%.0f", 0, false},
	{"run-64-of-bare", "  ratio to a bare handler", "%.2f", 0.12, true},
	{"own-cpu", "ingest's own CPU a callback, µs", "%.0f", 0, false},
	{"own-cpu-of-bare", "  ratio to the bare handler's CPU a request", "%.1f", 2.5, false},
	{"own-cpu-floor", "  the same exchanges without ingest's own work: ratio to the bare handler's CPU", "%.1f", 0, false},
	{"accepted-floor", "  its callbacks/s, 64 connections: ratio to a bare handler", "%.2f", 0, false},
	{"notification-cpu", "CPU of all processes a notification (one text, one e-mail), µs", "%.0f", 960, false},
	{"notification-of-callback", "  ratio to ingest's own CPU a callback", "%.1f", 8, false},
	{"notification-cpu-floor", "  the same exchanges without the services' own work, µs", "%.0f", 0, false},
	{"notifications", "notifications/s", "%.0f", 1800, true},
	{"notifications-floor", "  the same exchanges without the services' own work", "%.0f", 0, false},
	{"handover-run-p50", "callback accepted → SMS accepted, idle, one process: p50, ms", "%.1f", 8, false},
	{"handover-run-p99", "  p99, ms", "%.1f", 25, false},
	{"handover-apart-p50", "  a process for each service: p50, ms", "%.1f", 8, false},
	{"handover-apart-p99", "  p99, ms", "%.1f", 25, false},
	{"enricher-2", "enricher: 2 replicas, ratio to one", "%.2f", 1.9, true},
	{"enricher-4", "  4 replicas", "%.2f", 3.8, true},
	{"sms-sender-2", "sms-sender: 2 replicas, ratio to one", "%.2f", 1.9, true},
	{"sms-sender-4", "  4 replicas", "%.2f", 3.8, true},
	{"long-log-callback", "CPU a callback with 10⁶ events in the log, ratio to 10⁴", "%.2f", 1.1, false},
	{"long-log-notification", "CPU a notification with 10⁶ events in the log, ratio to 10⁴", "%.2f", 1.1, false},
	{"start", "`signrelay run`: start until ready, ms", "%.0f", 0, false},
	{"start-long-log", "  with 10⁶ events in the log", "%.0f", 500, false},
	{"memory", "`signrelay run`: resident memory, idle, MB", "%.0f", 60, false},
	{"memory-own", "  of this, without the pages of the program's file", "%.0f", 0, false},
	{"memory-long-log", "  with 10⁶ events in the log", "%.0f", 250, false},
	{"memory-own-long-log", "  of this, without the pages of the program's file", "%.0f", 0, false},
	{"schedule-cpu", "CPU of all processes to schedule a reminder, µs", "%.0f", 150, false},
	{"schedule-memory", "  NATS memory of each of 10⁶ scheduled reminders, bytes", "%.0f", 0, false},
	{"schedule-disk", "  NATS disk space of each, bytes", "%.0f", 0, false},
	{"redis-callback", "Redis memory a callback, bytes", "%.0f", 110, false},
	{"redis-message", "Redis memory a sent message, bytes", "%.0f", 200, false},
	{"with-indexer", "notifications/s with an indexer, ratio to without", "%.2f", 0.95, true},
	{"index-rebuild", "the search index: events/s of a rebuild", "%.0f", 11_000, true},
	{"index-rebuild-memory", "  resident memory of it, MB", "%.0f", 300, false},
	{"index-lag", "  event stored → in the index, 200 events/s: p95, ms", "%.0f", 1000, false},
	{"index-search", "  the slowest kind of search, in the console: p95, ms", "%.0f", 300, false},
	{"index-document", "  the page of a document: p95, ms", "%.0f", 200, false},
	{"index-console-memory", "  resident memory of the console, MB", "%.0f", 300, false},
	{"takeover", "work of a killed replica taken over, p95, s", "%.1f", 5, false},
}

var measured = struct {
	sync.Mutex
	values                 map[string]float64
	callback, notification cost
}{values: map[string]float64{}}

// figure records one value of the table.
func figure(b *testing.B, key string, value float64) {
	b.Helper()
	for _, r := range table {
		if r.key == key {
			measured.Lock()
			defer measured.Unlock()
			measured.values[key] = value
			return
		}
	}
	b.Fatalf("report.go has no row %q", key)
}

var update = flag.Bool("update", false, "write the measured figures to baseline.json")

const baselineFile = "baseline.json"

// baseline has the figures of an earlier run, with which the next runs are compared.
type baseline struct {
	Machine      string             `json:"machine"`
	Figures      map[string]float64 `json:"figures"`
	Callback     cost               `json:"callback"`     // what a million callbacks cost that are only stored
	Notification cost               `json:"notification"` // and those that cause a text and an e-mail
}

// report prints the measured rows with the change against the baseline, and stores them with -update.
func report() error {
	if len(measured.values) == 0 {
		return nil
	}
	before, err := readBaseline()
	if err != nil {
		return err
	}
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nfigure\tnow\tbaseline\tratio\ttarget\t\n")
	for _, r := range table {
		now, ok := measured.values[r.key]
		if !ok {
			continue
		}
		was, change := "-", "-"
		if old, ok := before.Figures[r.key]; ok {
			was = fmt.Sprintf(r.format, old)
			if old != 0 {
				change = fmt.Sprintf("%.2f", now/old)
			}
		}
		fmt.Fprintf(w, "%s\t"+r.format+"\t%s\t%s\t%s\t%s\n", r.what, now, was, change, r.wanted(), r.verdict(now))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(&out, "\nbaseline: %s. Compare ratios only: other figures depend on the machine and its load.\n", before.Machine)
	if _, err := os.Stdout.WriteString(out.String()); err != nil {
		return err
	}
	if *update {
		return before.write()
	}
	return nil
}

// performanceTable prints the baseline as a table in Markdown.
func performanceTable(b baseline) string {
	var out strings.Builder
	fmt.Fprintf(&out, "| measured on %s | | target |\n|---|---|---|\n", b.Machine)
	for _, r := range table {
		value, ok := b.Figures[r.key]
		if !ok {
			continue
		}
		what := strings.TrimPrefix(r.what, "  ")
		if what != r.what {
			what = "– " + what
		}
		fmt.Fprintf(&out, "| %s | "+r.format+" | %s |\n", what, value, strings.TrimSpace(r.wanted()+" "+r.verdict(value)))
	}
	return out.String()
}

func (r row) wanted() string {
	switch {
	case r.target == 0:
		return ""
	case r.minimum:
		return fmt.Sprintf("≥ "+r.format, r.target)
	default:
		return fmt.Sprintf("≤ "+r.format, r.target)
	}
}

func (r row) verdict(value float64) string {
	switch {
	case r.target == 0:
		return ""
	case r.minimum == (value >= r.target) || value == r.target:
		return "met"
	default:
		return "missed"
	}
}

func readBaseline() (baseline, error) {
	b := baseline{Machine: "none", Figures: map[string]float64{}}
	data, err := os.ReadFile(baselineFile)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(data, &b); err != nil {
		return b, fmt.Errorf("%s: %w", baselineFile, err)
	}
	return b, nil
}

// write replaces the figures that were measured, and keeps the others.
func (b baseline) write() error {
	b.Machine = fmt.Sprintf("%d cores, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	for key, value := range measured.values {
		b.Figures[key] = value
	}
	if measured.callback != nil {
		b.Callback, b.Notification = measured.callback, measured.notification
	}
	data, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(baselineFile, append(data, '\n'), 0o600)
}
