package console

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
)

var flowPages = []Page{
	{"GET", "/{$}", Look, "flow", nil, flowPage},
}

// Finding is something that is wrong, in words.
type Finding struct {
	Level   string    `json:"level"` // "bad": act now; "warn": when you have time
	Title   string    `json:"title"`
	Text    string    `json:"text"`
	Do      string    `json:"do"`
	Runbook string    `json:"runbook"` // the alert with an entry in docs/operate.md
	Since   time.Time `json:"since,omitzero"`
	Stuck   string    `json:"stuck,omitempty"`  // the address of the items on the page Stuck
	Source  string    `json:"source,omitempty"` // the address of the source
}

// StageView is one stage on the page.
type StageView struct {
	StageState
	State string `json:"state"` // "flows", "retries", "waits", "stopped", "off", "missing"
	Noun  string `json:"noun"`
	Level string `json:"level"` // the class of its badge: ok, warn, bad or empty
	Word  string `json:"-"`
}

type flowData struct {
	Headline string        `json:"headline"`
	Findings []Finding     `json:"findings"`
	Columns  [][]StageView `json:"main_stages"` // from callback to signer, in order; the stages of a column work side by side
	Pipes    []StreamState `json:"-"`           // before each column
	Others   []StageView   `json:"other_stages"`
	Streams  []StreamState `json:"streams"`
	Sources  []SourceRow   `json:"sources"`
	Ingest   IngestView    `json:"ingest"`
	Teams    []Team        `json:"teams"`
	Used     uint64        `json:"used_bytes,string"`
	Limit    uint64        `json:"limit_bytes,string,omitempty"`
	At       time.Time     `json:"at"`
	Since    time.Time     `json:"since"`
}

func flowPage(r *Request) (View, error) {
	snapshot := r.Console.sampler.snapshot()
	if snapshot.At.IsZero() && snapshot.Error == "" { // the first sample is on its way
		r.Console.sampler.take(r.Context())
		snapshot = r.Console.sampler.snapshot()
	}
	data := flowData{
		Findings: findings(snapshot, r.Now), Streams: snapshot.Streams, Used: snapshot.Used, Limit: snapshot.Limit, At: snapshot.At, Since: snapshot.Since,
		Others: []StageView{},
	}
	if data.Streams == nil {
		data.Streams = []StreamState{} // in JSON an empty list, not null
	}
	data.Columns = [][]StageView{{}, {}, {}}
	for i, state := range snapshot.Stages {
		stage := viewOf(state, r.Now)
		if column := columnOf(flow.Stages[i]); column >= 0 {
			data.Columns[column] = append(data.Columns[column], stage)
			continue
		}
		data.Others = append(data.Others, stage)
	}
	for _, column := range data.Columns {
		for _, stream := range snapshot.Streams {
			if len(column) > 0 && stream.Name == column[0].Stream {
				data.Pipes = append(data.Pipes, stream)
			}
		}
	}
	sources, err := r.Console.sourceRows(r.Context())
	if err != nil {
		return View{}, err
	}
	data.Sources, data.Ingest = sources, ingestOf(sources)
	data.Findings = append(data.Findings, sourceFindings(sources, r.Now)...)
	slices.SortStableFunc(data.Findings, func(a, b Finding) int { return strings.Compare(a.Level, b.Level) })
	if data.Teams, err = r.Console.teams(r.Context()); err != nil {
		return View{}, err
	}
	data.Headline = headline(data.Findings)
	return View{Template: "flow", Title: data.Headline, Live: true, Data: data}, nil
}

// IngestView sums up the callbacks of all sources. Ingest has no stream before it, so it has no work that waits.
type IngestView struct {
	LastHour     int       `json:"callbacks_1h"` // authentic ones of the last whole hour and of this one so far
	LastCallback time.Time `json:"last_callback,omitzero"`
	Refused      int       `json:"refused"` // in the last 7 days or longer, until a week without one
}

func ingestOf(sources []SourceRow) (v IngestView) {
	for _, s := range sources {
		v.LastHour += s.LastHour
		if s.LastCallback.After(v.LastCallback) {
			v.LastCallback = s.LastCallback
		}
		for _, r := range s.Refused {
			v.Refused += r.Count
		}
	}
	return v
}

// columnOf returns the place of a stage on the way from the callback to the signer: 0 makes messages of events, 1 prepares them, 2 sends them. It is -1 for a
// stage beside that way.
func columnOf(s flow.Stage) int {
	notifies := slices.ContainsFunc(s.Publishes, func(subject string) bool {
		return strings.HasPrefix(subject, strings.TrimSuffix(flow.Notifications, ">"))
	})
	switch {
	case s.Stream == flow.Signing && notifies:
		return 0
	case s.Stream == flow.Notify && s.Effect:
		return 2
	case s.Stream == flow.Notify:
		return 1
	default:
		return -1
	}
}

// lateAfter is the age of the oldest input from which a stage is behind. The alert SignrelayStageBehind has the same limit.
const lateAfter = 5 * time.Minute

// viewOf decides the state of a stage in one word.
func viewOf(s StageState, now time.Time) StageView {
	v := StageView{StageState: s, Noun: noun(s.Name)}
	late := !s.Oldest.IsZero() && now.Sub(s.Oldest) > lateAfter
	switch {
	case s.Missing:
		v.State, v.Level, v.Word = "missing", "bad", "Consumer missing"
	case s.Optional && !s.Active:
		v.State, v.Word = "off", "Off"
	case !s.Active:
		v.State, v.Level, v.Word = "stopped", "bad", "Stopped"
	case late && s.Retrying > 0:
		v.State, v.Level, v.Word = "retries", "warn", "Retries"
	case late:
		v.State, v.Level, v.Word = "waits", "warn", "Behind"
	default:
		v.State, v.Level, v.Word = "flows", "ok", "Flows"
	}
	return v
}

// findings returns what is wrong, the worst first.
func findings(s Snapshot, now time.Time) []Finding {
	all := []Finding{}
	if s.Error != "" {
		all = append(all, Finding{Level: "bad", Title: "NATS does not respond", Since: s.At, Runbook: "SignrelayPartAway",
			Text: "These numbers are old. While NATS is away, ingest refuses callbacks and the providers send them again.",
			Do:   "Check the NATS server and the network between it and the console."})
	}
	all = append(all, heldFindings(s.Held)...)
	dead, fresh := uint64(0), uint64(0)
	for _, state := range s.Stages {
		dead, fresh = dead+state.Dead, fresh+state.NewDead
		waiting := counted(state.Waiting, noun(state.Name))
		switch viewOf(state, now).State {
		case "missing":
			all = append(all, Finding{Level: "bad", Title: "The consumer of " + state.Name + " is missing", Runbook: "a-consumer-is-lost",
				Text: "The stage gets no work. The stream keeps it.", Do: "Run signrelay provision. It creates the consumer after the stage's last stored place."})
		case "stopped":
			all = append(all, Finding{Level: "bad", Title: "No replica of " + state.Program + " asks for work", Since: state.LastDone, Runbook: "SignrelayServiceGone",
				Text: waiting + " of " + state.Name + " " + verb(state.Waiting, "waits", "wait") + ". None is lost.", Do: "Start " + state.Program + ", or read its log."})
		case "retries":
			all = append(all, Finding{Level: "warn", Title: counted(state.Retrying, noun(state.Name)) + " of " + state.Name + " " + verb(uint64(state.Retrying), "is", "are") + " tried again and again",
				Since: state.Oldest, Runbook: "SignrelayStageFails", Text: waiting + " " + verb(state.Waiting, "is", "are") + " not done. Each is tried for a day.",
				Stuck: stuckPath(url.Values{"what": {"held"}, "stage": {state.Name}}),
				Do:    "The page Stuck names the cause if only you can fix it. Otherwise read the log of " + state.Program + "."})
		case "waits":
			all = append(all, Finding{Level: "warn", Title: state.Name + " is behind", Since: state.Oldest, Runbook: "SignrelayStageBehind",
				Text: waiting + " " + verb(state.Waiting, "waits", "wait") + ". In the last minute it took " + rated(state.PerMinute) + ".", Do: "Add replicas of " + state.Program + ", or check what it calls."})
		}
	}
	if dead > 0 {
		level := "warn"
		if fresh > 0 {
			level = "bad"
		}
		all = append(all, Finding{Level: level, Title: counted(dead, "dead letter") + " " + verb(dead, "waits", "wait") + " for you", Runbook: "SignrelayDeadLetters",
			Text: fmt.Sprintf("A stage gave up on %s; %s in the last hour.", verb(dead, "it", "them"), number(fresh)), Stuck: deadPath(s.Stages),
			Do: "Look at the reasons. Fix the cause, then replay them."})
	}
	for _, stream := range s.Streams {
		if stream.Name == flow.Quarantine && stream.Messages > 0 {
			all = append(all, Finding{Level: "warn", Title: counted(stream.Messages, "callback") + " cannot be read", Since: stream.Newest, Runbook: "SignrelayCallbacksUnreadable",
				Text: verb(stream.Messages, "It is", "They are") + " authentic and stored byte for byte.", Stuck: "/stuck?what=quarantined",
				Do: "Look at their reasons. Repair them, or wait for a version that can read them. Then replay."})
		}
	}
	if s.Limit > 0 && s.Used*10 > s.Limit*9 {
		all = append(all, Finding{Level: "bad", Title: "The streams are almost full", Runbook: "when-the-log-is-full",
			Text: sized(s.Used) + " of " + sized(s.Limit) + " are used. A full NATS accepts no callback.", Do: "Give the account more space."})
	}
	slices.SortStableFunc(all, func(a, b Finding) int { return strings.Compare(a.Level, b.Level) })
	return all
}

func verb(n uint64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// headline returns the heading of the page: what was found.
func headline(all []Finding) string {
	switch {
	case len(all) == 0:
		return "No action needed"
	case len(all) == 1:
		return all[0].Title
	default:
		return fmt.Sprintf("%s, and %s", all[0].Title, counted(len(all)-1, "further problem"))
	}
}
