package console

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/signrelay/signrelay/libs/operate"
)

var jobTool = &mcp.Tool{
	Name: "show_job", Annotations: readOnly("Show jobs"), InputSchema: argumentsOf[jobArguments](nil),
	Description: "Shows the progress, the result and the failures of a job; without an id, the latest 20 jobs. A job is a plan that was started.",
}

type jobArguments struct {
	ID string `json:"job_id,omitempty" jsonschema:"of start_plan or of list_stuck; without it, the latest jobs"`
}

type shownJobs struct {
	Jobs []toolJob `json:"jobs"`
}

type toolJob struct {
	ID       string        `json:"job_id"`
	Title    string        `json:"title"`
	State    operate.State `json:"state"`
	Result   string        `json:"result"`
	By       string        `json:"by"`
	Reason   string        `json:"reason" jsonschema:"as the user gave it"`
	Items    int           `json:"items"`
	Done     int           `json:"done"`
	Skipped  int           `json:"skipped" jsonschema:"they were gone, or the same work was done already"`
	Failed   int           `json:"failed"`
	Failures []toolFailure `json:"failures,omitempty"`
	Seconds  int           `json:"seconds_left,omitempty" jsonschema:"at least, at its rate"`
	Started  time.Time     `json:"started"`
	Finished time.Time     `json:"finished,omitzero"`
	Page     string        `json:"page" jsonschema:"where a person can pause or stop it"`
}

type toolFailure struct {
	Reason string `json:"reason"`
	Count  int    `json:"count"`
	Means  string `json:"means,omitempty"`
}

func (s *Server) toolJob(j operate.Job) toolJob {
	v := jobOf(j)
	t := toolJob{
		ID: j.ID, Title: v.Title, State: j.State, Result: v.Result, By: plainText(j.By, longestToolText), Reason: plainText(j.Reason, longestToolText), Items: j.All, Done: j.Done,
		Skipped: j.Skipped, Failed: j.Failed, Seconds: v.Seconds, Started: j.Started, Finished: j.Finished, Page: s.pageAt("/jobs/" + j.ID),
	}
	for reason, n := range j.Failures {
		t.Failures = append(t.Failures, toolFailure{reason, n, failureMeans(reason)})
	}
	slices.SortFunc(t.Failures, func(a, b toolFailure) int { return b.Count - a.Count })
	return t
}

// mostToolJobs is the number of jobs of a list.
const mostToolJobs = 20

func showJob(r *Request, in jobArguments) (out shownJobs, err error) {
	out.Jobs = []toolJob{}
	if in.ID == "" {
		jobs, err := r.Console.operator.Jobs(r.Context())
		if err != nil {
			return out, err
		}
		for _, j := range jobs[:min(len(jobs), mostToolJobs)] {
			out.Jobs = append(out.Jobs, r.Console.toolJob(j))
		}
		return out, nil
	}
	j, err := r.Console.operator.Job(r.Context(), in.ID)
	if errors.Is(err, operate.ErrNoJob) {
		return out, &Problem{Status: http.StatusNotFound, Title: "No job has this id", Detail: fmt.Sprintf("Jobs are kept for 90 days. %s without an id lists the latest.", jobTool.Name)}
	}
	if err != nil {
		return out, err
	}
	out.Jobs = append(out.Jobs, r.Console.toolJob(j))
	return out, nil
}
