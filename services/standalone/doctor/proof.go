package doctor

import (
	"bytes"
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

// Proof is how the no-loss proof is made.
type Proof struct {
	IngestURL string
	Callbacks int
	Every     time.Duration // between two callbacks
	// Kill is called so often while the callbacks are on their way, evenly spread; nil where the operator kills by hand.
	Kill  func(context.Context) error
	Kills int
	// Patience is how long a callback is tried again.
	Patience time.Duration
}

// Outcome is what became of the callbacks.
type Outcome struct {
	Sent      int `json:"sent"`       // callbacks, each another event
	Attempts  int `json:"attempts"`   // to bring them in, the repetitions at the end included
	Refused   int `json:"refused"`    // attempts that were answered other than 2xx
	Unheard   int `json:"unanswered"` // attempts without an answer
	Kills     int `json:"kills"`      // times that the command was run
	Accepted  int `json:"accepted"`   // callbacks that were answered 2xx in the end
	Stored    int `json:"stored_once"`
	Lost      int `json:"lost"`           // accepted, and not in the log
	Doubled   int `json:"doubled"`        // in the log more than once
	Unsettled int `json:"never_accepted"` // never answered 2xx
}

// Failed says what the proof found against the set-up, or nil.
func (o Outcome) Failed() error {
	var wrong []string
	for _, w := range []struct {
		n    int
		what string
	}{{o.Lost, "lost"}, {o.Doubled, "stored more than once"}, {o.Unsettled, "never accepted"}} {
		if w.n > 0 {
			wrong = append(wrong, fmt.Sprintf("%d %s", w.n, w.what))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return errors.New("of " + count(o.Sent, "callback") + " " + strings.Join(wrong, ", "))
}

// Interrupted tells whether anything failed meanwhile; a proof without has proved little.
func (o Outcome) Interrupted() bool { return o.Refused+o.Unheard > 0 }

// ErrNotATest means that the set-up may be in use: the proof is not made there.
var ErrNotATest = errors.New("this is no set-up for tests")

// Prove sends test events to ingest while its parts are killed, as a provider sends them: again and again until each is
// answered 2xx, and once more after that. Then it counts what the log holds of them.
func (p Proof) Prove(ctx context.Context, cfg config.Config, js jetstream.JetStream) (Outcome, error) {
	if err := onlyTests(ctx, cfg, js); err != nil {
		return Outcome{}, err
	}
	from := testers(cfg.Sources)
	if len(from) == 0 {
		return Outcome{}, errors.New("no source's provider has a test event that can be signed here")
	}
	stream, err := js.Stream(ctx, flow.Signing)
	if err != nil {
		return Outcome{}, fmt.Errorf("ask for %s: %w", flow.Signing, err)
	}
	began := stream.CachedInfo().TimeStamp // by the broker's own clock

	r := &run{Proof: p, client: &http.Client{Timeout: answerWithin}}
	for i := range p.Callbacks {
		t := from[i%len(from)]
		request, at, err := t.next()
		if err != nil {
			return Outcome{}, err
		}
		r.callbacks = append(r.callbacks, &callback{request: request, mark: at, address: p.IngestURL + "/webhooks/" + t.pack.Name + "/" + t.source.Name + request.Route})
	}
	if err := r.bring(ctx); err != nil {
		return Outcome{}, err
	}
	r.repeat(ctx)
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

// answerWithin is how long ingest may take; a provider waits about as long.
const answerWithin = 10 * time.Second

// bring sends each callback at its time, and the kills between them. Each is tried again on its own, so that a kill meets
// some of them on their way.
func (r *run) bring(ctx context.Context) error {
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
					cancel(fmt.Errorf("the command that kills failed: %w", err))
				}
			})
		}
		all.Go(func() { r.insist(ctx, c) })
		select {
		case <-next.C:
		case <-ctx.Done():
		}
	}
	all.Wait()
	return context.Cause(ctx)
}

// again is when a callback is tried again that ingest did not take. Providers wait for minutes; nobody waits for them here.
const again = time.Second

// insist tries until ingest takes the callback, for as long as the proof's patience.
func (r *run) insist(ctx context.Context, c *callback) {
	ctx, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	for {
		status, after := r.try(ctx, c)
		if taken(status) {
			c.accepted = true
			return
		}
		select {
		case <-time.After(cmp.Or(after, again)):
		case <-ctx.Done():
			return
		}
	}
}

func taken(status int) bool { return status >= 200 && status < 300 }

// repeat sends everything that was accepted once more, as a provider does that did not hear the answer. What it is told
// does not matter: the log shows whether it was taken for another event.
func (r *run) repeat(ctx context.Context) {
	for _, c := range r.callbacks {
		if c.accepted {
			r.try(ctx, c)
		}
	}
}

// try sends a callback once. A status of 0 means that no answer came.
func (r *run) try(ctx context.Context, c *callback) (status int, after time.Duration) {
	status, after = r.send(ctx, c)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcome.Attempts++
	switch {
	case status == 0:
		r.outcome.Unheard++
	case !taken(status):
		r.outcome.Refused++
	}
	return status, after
}

func (r *run) send(ctx context.Context, c *callback) (status int, after time.Duration) {
	address := c.address
	if len(c.request.Query) > 0 {
		address += "?" + c.request.Query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, c.request.Method, address, bytes.NewReader(c.request.Body))
	if err != nil {
		return 0, 0
	}
	for name, values := range c.request.Header {
		if name != "Host" && name != "Content-Length" && name != "Connection" && name != "Accept-Encoding" {
			request.Header[name] = values
		}
	}
	answer, err := r.client.Do(request)
	if err != nil {
		return 0, 0
	}
	_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10))
	_ = answer.Body.Close()
	if err != nil { // the status came, and the rest did not: a provider counts that as no answer
		return 0, 0
	}
	seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
	return answer.StatusCode, time.Duration(seconds) * time.Second
}

// count compares what was accepted with what the log holds.
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
			o.Unsettled++
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

// stored is how often each event of the log's last part stands there. It waits for a broker that is coming back.
func (r *run) stored(ctx context.Context, js jetstream.JetStream, began time.Time) (map[mark]int, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Patience)
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
		case <-time.After(again):
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
