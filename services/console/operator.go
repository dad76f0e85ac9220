package console

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/service"
	messages "github.com/signrelay/signrelay/libs/templates"
	consolesettings "github.com/signrelay/signrelay/services/console/settings"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

// NewOperator returns the operator's part of the console, of the command line and of the MCP server. It cannot read callbacks and may not erase.
func NewOperator(env service.Env) (*operate.Operator, error) {
	texts, err := messages.Open(env.Config.Templates.Dir)
	if err != nil {
		return nil, err
	}
	c := env.Config
	vonage := smssettings.VonageSection.Of(c)
	from := messages.TextSender{NoReplies: vonage.From != "" && !vonage.Replies(), Contact: smssettings.OptOutSection.Of(c).Contact}
	return &operate.Operator{
		JS: env.JS, Ring: keyring.New(c.MasterKeys()), Now: env.Now, Log: env.Log, Parts: operate.TextParts(texts, from, sampleLink(c)),
		Remember: true, Prices: consolesettings.PricesSection.Of(c).Known(),
	}, nil
}

// sampleLink returns a link of about the length that texts have. Domains of Bitly and Rebrandly have about 10 characters.
func sampleLink(c config.Config) string {
	host := "https://sign.example.com"
	s := shortenersettings.Section.Of(c)
	switch {
	case s.Kind == "bitly":
		host = "https://" + s.Bitly.Domain
	case s.Kind == "rebrandly":
		host = "https://" + s.Rebrandly.Domain
	case s.PublicURL != "":
		host = strings.TrimSuffix(s.PublicURL, "/") + "/l"
	}
	return host + "/" + strings.Repeat("x", 10)
}

// runJobs runs the jobs of operators until ctx ends. Each replica of the console does that; a job has one runner at a time.
func (s *Server) runJobs(ctx context.Context) error {
	return operate.Runner{Operator: s.operator, Actions: operate.ConsoleActions}.Run(ctx)
}

// explained turns a failure of libs/operate that the reader can understand into a problem.
func explained(err error, back string) error {
	selection, refused, changed := new(operate.SelectionError), new(operate.RefusedError), new(operate.ChangedError)
	p := &Problem{Status: http.StatusConflict, Title: "Nothing was done", Back: back}
	switch {
	case errors.As(err, &selection):
		p.Status, p.Title, p.Detail = http.StatusUnprocessableEntity, "This cannot be planned", sentence(selection.Error())
	case errors.As(err, &refused):
		p.Detail = sentence(refused.Error())
	case errors.As(err, &changed):
		p.Title, p.Detail = "The plan does not hold any more", changed.Error()+" Make the plan again."
	case errors.Is(err, operate.ErrNoPlan):
		p.Status, p.Title, p.Detail = http.StatusGone, "There is no such plan", "A plan holds for 10 minutes. Make it again. Nothing was done."
	case errors.Is(err, operate.ErrOthersPlan):
		p.Status, p.Title, p.Detail = http.StatusForbidden, "Another user made this plan", "Make your own. Nothing was done."
	case errors.Is(err, operate.ErrPlanStarted):
		p.Title, p.Detail, p.Back = "This plan was started before", "Its job is in the list of jobs. Nothing was done now.", "/jobs"
	case errors.Is(err, operate.ErrNoJob):
		p.Status, p.Title, p.Detail, p.Back = http.StatusNotFound, "No job has this id", "Jobs are kept for 90 days.", "/jobs"
	case errors.Is(err, operate.ErrNoItem):
		p.Status, p.Title, p.Detail, p.Back = http.StatusNotFound, "This is not stuck any more", "It was replayed, dropped, released or erased.", "/stuck"
	default:
		return err
	}
	return p
}

// sentence begins a text with a capital and ends it with a full stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}

// mayAct returns the problem of a reader who may not start actions, or nil.
func (r *Request) mayAct() error {
	switch {
	case !r.Can(Operate):
		return &Problem{Status: http.StatusForbidden, Title: notAllowed,
			Detail: "It needs the role operate. You have " + cmp.Or(r.Reader.Roles.String(), "no role") + ". Nothing was done.", Back: "/stuck"}
	case r.Console.settings.Now().ReadOnly:
		return &Problem{Status: http.StatusForbidden, Title: "The console is read-only", Detail: "The setting console.read_only is true. Nothing was done.", Back: "/stuck"}
	default:
		return nil
	}
}

// lookAtHeld adds the held messages to a snapshot. Only the records of all messages know them, so they are read with every third sample.
func (s *sampler) lookAtHeld(ctx context.Context, next *Snapshot) error {
	before := s.snapshot()
	next.Held, next.heldAt = before.Held, before.heldAt
	if age := next.At.Sub(before.heldAt); age >= 0 && age < 3*sampleEvery-sampleEvery/2 {
		return nil
	}
	held, err := s.operator.Stuck(ctx, operate.Filter{What: operate.Held})
	if err != nil {
		return err
	}
	next.Held, next.heldAt = held.Groups, next.At
	return nil
}

// followJobs keeps the record of whether a job runs, also in another replica, until ctx ends.
func (s *Server) followJobs(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		if jobs, err := s.operator.Jobs(ctx); err == nil {
			s.jobs.Store(slices.ContainsFunc(jobs, func(j operate.Job) bool { return j.State == operate.Running }))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// jobTick is the time between two events of a live page while a job runs.
const jobTick = time.Second
