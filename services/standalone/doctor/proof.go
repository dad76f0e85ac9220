package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// Proof contains the parameters of the no-loss proof.
type Proof struct {
	IngestURL string
	Callbacks int
	Every     time.Duration // between two callbacks
	// Kill is called Kills times, evenly spread, while the callbacks are in flight. It is nil if the operator kills by hand.
	Kill  func(context.Context) error
	Kills int
	// RetryFor is the time for which a callback is retried.
	RetryFor time.Duration
}

// Outcome has the numbers of callbacks by their result.
type Outcome struct {
	Sent          int `json:"sent"`       // callbacks, each a new event
	Attempts      int `json:"attempts"`   // to send them, including the repetition at the end
	Refused       int `json:"refused"`    // attempts with a response other than 2xx
	Unanswered    int `json:"unanswered"` // attempts without a response
	Kills         int `json:"kills"`      // times that the command was run
	Accepted      int `json:"accepted"`   // callbacks that finally got 2xx
	Stored        int `json:"stored_once"`
	Lost          int `json:"lost"`           // accepted, but not in the log
	Doubled       int `json:"doubled"`        // in the log more than once
	NeverAccepted int `json:"never_accepted"` // callbacks that never got 2xx
}

// Failed returns an error if a callback was lost, stored more than once, or never accepted.
func (o Outcome) Failed() error {
	var wrong []string
	for _, w := range []struct {
		n    int
		what string
	}{{o.Lost, "lost"}, {o.Doubled, "stored more than once"}, {o.NeverAccepted, "never accepted"}} {
		if w.n > 0 {
			wrong = append(wrong, fmt.Sprintf("%d %s", w.n, w.what))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return errors.New("of " + count(o.Sent, "callback") + " " + strings.Join(wrong, ", "))
}

// Interrupted reports whether an attempt failed. Without a failure, the proof shows little.
func (o Outcome) Interrupted() bool { return o.Refused+o.Unanswered > 0 }

// ErrNotATest means that the installation may be in real use, so the proof refuses to run.
var ErrNotATest = errors.New("this is not an installation for tests")

// Prove sends test events to ingest while parts are killed. Like a provider, it retries each one until it gets 2xx. Then it sends it once
// more. At the end it counts the events in the log.
func (p Proof) Prove(ctx context.Context, cfg config.Config, js jetstream.JetStream) (Outcome, error) {
	if err := checkTestSetup(ctx, cfg, js); err != nil {
		return Outcome{}, err
	}
	from := generators(cfg.Sources)
	if len(from) == 0 {
		return Outcome{}, errors.New("no source has a provider with a test event that the doctor can sign")
	}
	stream, err := js.Stream(ctx, flow.Signing)
	if err != nil {
		return Outcome{}, fmt.Errorf("request %s: %w", flow.Signing, err)
	}
	began := stream.CachedInfo().TimeStamp // by the broker's own clock

	r := &run{Proof: p, client: &http.Client{Timeout: requestTimeout}}
	for i := range p.Callbacks {
		t := from[i%len(from)]
		request, at, err := t.next()
		if err != nil {
			return Outcome{}, err
		}
		r.callbacks = append(r.callbacks, &callback{request: request, mark: at, address: p.IngestURL + "/webhooks/" + t.pack.Name + "/" + t.source.Name + request.Route})
	}
	if err := r.sendAll(ctx); err != nil {
		return Outcome{}, err
	}
	r.resend(ctx)
	return r.count(ctx, js, began)
}

// run is one proof under way.
type run struct {
	Proof

	client    *http.Client
	callbacks []*callback

	mu      sync.Mutex
	outcome Outcome
}

type callback struct {
	mark

	request  pack.Request
	address  string
	accepted bool
}

// requestTimeout bounds one request to ingest. A provider waits about as long.
const requestTimeout = 10 * time.Second

// sendAll sends each callback at its time and runs the kills between them. Each callback is retried independently, so a kill happens while
// some are in flight.
func (r *run) sendAll(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := time.NewTicker(max(r.Every, time.Millisecond))
	defer next.Stop()
	var all sync.WaitGroup
	for i, c := range r.callbacks {
		if r.Kill != nil && i > 0 && i*(r.Kills+1)/len(r.callbacks) > (i-1)*(r.Kills+1)/len(r.callbacks) {
			r.outcome.Kills++
			all.Go(func() {
				if err := r.Kill(ctx); err != nil {
					cancel(fmt.Errorf("the kill command failed: %w", err))
				}
			})
		}
		all.Go(func() { r.sendUntilAccepted(ctx, c) })
		select {
		case <-next.C:
		case <-ctx.Done():
		}
	}
	all.Wait()
	return context.Cause(ctx)
}

// retryDelay is the delay between two attempts at a callback. Providers wait for minutes; here an operator waits.
const retryDelay = time.Second

// sendUntilAccepted retries a callback until ingest accepts it, for at most RetryFor.
func (r *run) sendUntilAccepted(ctx context.Context, c *callback) {
	ctx, cancel := context.WithTimeout(ctx, r.RetryFor)
	defer cancel()
	for {
		status, after := r.try(ctx, c)
		if isSuccess(status) {
			c.accepted = true
			return
		}
		select {
		case <-time.After(cmp.Or(after, retryDelay)):
		case <-ctx.Done():
			return
		}
	}
}

func isSuccess(status int) bool { return status >= 200 && status < 300 }

// resend sends each accepted callback once more, like a provider that did not get the response. The result does not matter, because the log
// shows whether it was stored as a second event.
func (r *run) resend(ctx context.Context) {
	for _, c := range r.callbacks {
		if c.accepted {
			r.try(ctx, c)
		}
	}
}

// try sends a callback once. The status is 0 if there was no response.
func (r *run) try(ctx context.Context, c *callback) (status int, after time.Duration) {
	status, after = r.send(ctx, c)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcome.Attempts++
	switch {
	case status == 0:
		r.outcome.Unanswered++
	case !isSuccess(status):
		r.outcome.Refused++
	}
	return status, after
}

func (r *run) send(ctx context.Context, c *callback) (status int, after time.Duration) {
	request, err := c.request.To(ctx, c.address)
	if err != nil {
		return 0, 0
	}
	response, err := r.client.Do(request)
	if err != nil {
		return 0, 0
	}
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	_ = response.Body.Close()
	if err != nil { // only the status arrived; a provider treats this as no response
		return 0, 0
	}
	seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
	return response.StatusCode, time.Duration(seconds) * time.Second
}

// count compares the accepted callbacks with the events in the log.
func (r *run) count(ctx context.Context, js jetstream.JetStream, began time.Time) (Outcome, error) {
	stored, err := r.stored(ctx, js, began)
	if err != nil {
		return Outcome{}, err
	}
	o := r.outcome
	o.Sent = len(r.callbacks)
	for _, c := range r.callbacks {
		n := stored[c.mark]
		switch {
		case !c.accepted:
			o.NeverAccepted++
		case n == 0:
			o.Lost++
		case n == 1:
			o.Stored++
		}
		if c.accepted {
			o.Accepted++
		}
		if n > 1 {
			o.Doubled++
		}
	}
	return o, nil
}

// stored counts how often each event is in the log since the proof began. It retries while the broker restarts.
func (r *run) stored(ctx context.Context, js jetstream.JetStream, began time.Time) (map[mark]int, error) {
	ctx, cancel := context.WithTimeout(ctx, r.RetryFor)
	defer cancel()
	subjects := map[string]bool{}
	for _, c := range r.callbacks {
		subjects[c.subject] = true
	}
	for {
		found, err := countIn(ctx, js, subjects, began)
		if err == nil {
			return found, nil
		}
		select {
		case <-time.After(retryDelay):
		case <-ctx.Done():
			return nil, fmt.Errorf("count in the log: %w", err)
		}
	}
}

func countIn(ctx context.Context, js jetstream.JetStream, subjects map[string]bool, began time.Time) (map[mark]int, error) {
	found := map[mark]int{}
	log := event.Log{JS: js, Stream: flow.Signing}
	for subject := range subjects {
		for m, err := range log.Messages(ctx, subject, began) {
			if err != nil {
				return nil, err
			}
			found[mark{subject, m.Header.Get("Nats-Msg-Id")}]++
		}
	}
	return found, nil
}
