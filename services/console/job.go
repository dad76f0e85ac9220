package console

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/operate"
)

var jobPages = []Page{
	{"GET", "/jobs", Look, "stuck", nil, jobsPage},
	{"GET", "/jobs/{id}", Look, "stuck", nil, jobPage},
	{"POST", "/jobs/{id}", Operate, "stuck", []string{"do"}, changeJob},
}

// JobView is a job with its words.
type JobView struct {
	operate.Job
	Seconds int    `json:"seconds_left,omitempty"` // at its rate
	Title   string `json:"title"`
	Result  string `json:"result"`
	Level   string `json:"-"`
	Word    string `json:"-"`
	IsOpen  bool   `json:"-"`
}

func jobOf(j operate.Job) JobView {
	v := JobView{Job: j, Title: jobTitle(j), Result: jobResult(j), IsOpen: j.State.Open()}
	if j.State == operate.Running {
		v.Seconds = int(j.Left() / time.Second)
	}
	switch j.State {
	case operate.Running:
		v.Level, v.Word = "run", "Running"
	case operate.Paused:
		v.Level, v.Word = "warn", "Paused"
	case operate.Stopped:
		v.Level, v.Word = "warn", "Stopped"
	case operate.Failed:
		v.Level, v.Word = "bad", "Failed"
	default:
		v.Level, v.Word = "ok", "Done"
		if j.Failed > 0 {
			v.Level, v.Word = "warn", "Done, with failures"
		}
	}
	return v
}

// jobTitle names a job: "Replay of 32 dead letters".
func jobTitle(j operate.Job) string {
	verb, noun := j.Action.Words()
	return fmt.Sprintf("%s of %s", map[string]string{"Repair and replay": "Repair", "Try now": "Retry"}[verb]+map[bool]string{true: verb}[verb != "Repair and replay" && verb != "Try now"],
		counted(j.All, noun))
}

// jobResult says what a job has done.
func jobResult(j operate.Job) string {
	parts := []string{number(j.Done) + " " + doneWord(j.Action)}
	if j.Skipped > 0 {
		parts = append(parts, number(j.Skipped)+" not there any more")
	}
	if j.Failed > 0 {
		parts = append(parts, number(j.Failed)+" failed")
	}
	if !j.State.Open() && j.Next < j.All {
		parts = append(parts, number(j.All-j.Next)+" left as they were")
	}
	return strings.Join(parts, ", ")
}

func doneWord(a operate.Action) string {
	switch a {
	case operate.Replay, operate.ReplayCallbacks:
		return "replayed"
	case operate.Drop, operate.DropCallbacks:
		return "dropped"
	case operate.Repair, operate.RepairCallback:
		return "repaired and replayed"
	case operate.Release:
		return "released"
	default:
		return "done"
	}
}

type jobsData struct {
	Jobs []JobView `json:"jobs"`
}

func jobsPage(r *Request) (View, error) {
	all, err := r.Console.operator.Jobs(r.Context())
	if err != nil {
		return View{}, err
	}
	data, open := jobsData{Jobs: []JobView{}}, 0
	for _, j := range all {
		if j.State.Open() {
			open++
		}
		data.Jobs = append(data.Jobs, jobOf(j))
	}
	title := counted(open, "job") + " " + verb(uint64(open), "is", "are") + " open"
	switch {
	case len(all) == 0:
		title = "No job was started in the last 90 days"
	case open == 0:
		title = "No job is open"
	}
	return View{Template: "jobs", Title: title, Live: true, Data: data}, nil
}

// Failure counts the failed items of a job with one reason.
type Failure struct {
	Reason string `json:"reason"`
	Count  int    `json:"count"`
	Means  string `json:"means"`
}

// Step is a step of a job's history.
type Step struct {
	At   time.Time `json:"at"`
	By   string    `json:"by"`
	What string    `json:"what"`
}

type jobData struct {
	JobView
	Reasons []Failure `json:"failures_by_reason"`
	Steps   []Step    `json:"history"`
}

func jobPage(r *Request) (View, error) {
	o := r.Console.operator
	j, err := o.Job(r.Context(), r.PathValue("id"))
	if err != nil {
		return View{}, explained(err, "/jobs")
	}
	data := jobData{JobView: jobOf(j), Reasons: []Failure{}, Steps: []Step{}}
	for reason, n := range j.Failures {
		data.Reasons = append(data.Reasons, Failure{reason, n, failureMeans(reason)})
	}
	slices.SortFunc(data.Reasons, func(a, b Failure) int { return strings.Compare(a.Reason, b.Reason) })
	history, err := o.History(r.Context(), j)
	if err != nil {
		return View{}, err
	}
	for _, c := range history {
		data.Steps = append(data.Steps, Step{c.At, c.By, stepWord(c.Action)})
	}
	if !j.Finished.IsZero() && j.State != operate.Stopped {
		data.Steps = append(data.Steps, Step{j.Finished, "", data.Word})
	}
	return View{Template: "job", Title: data.Title + ": " + strings.ToLower(data.Word), Live: true, Data: data}, nil
}

func stepWord(a operate.Action) string {
	switch a {
	case "pause-job":
		return "Paused"
	case "resume-job":
		return "Resumed"
	case "stop-job":
		return "Stopped"
	default:
		return "Started"
	}
}

func failureMeans(reason string) string {
	return map[string]string{
		"changed":     "Its content is not the one that the plan saw. It stays where it is.",
		"unreadable":  "It still cannot be read, and stays in quarantine.",
		"refused":     "The action is not allowed any more.",
		"erased":      "An erasure removed what the job had to do.",
		"unavailable": "A part of Signrelay did not respond. The log of the program has the reason.",
	}[reason]
}

// changeJob pauses, resumes or stops a job.
func changeJob(r *Request) (View, error) {
	o, id := r.Console.operator, r.PathValue("id")
	change := map[string]func() (operate.Job, error){
		"pause":  func() (operate.Job, error) { return o.Pause(r.Context(), id, r.user()) },
		"resume": func() (operate.Job, error) { return o.Resume(r.Context(), id, r.user()) },
		"stop":   func() (operate.Job, error) { return o.Stop(r.Context(), id, r.user()) },
	}[r.URL.Query().Get("do")]
	if change == nil {
		return View{}, &Problem{Status: http.StatusBadRequest, Title: unknownValue, Detail: "The key do accepts pause, resume and stop.", Back: "/jobs"}
	}
	j, err := change()
	if err != nil {
		return View{}, explained(err, "/jobs")
	}
	r.Console.jobs.Store(true)
	return View{Next: "/jobs/" + j.ID, Data: jobOf(j)}, nil
}
