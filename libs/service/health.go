package service

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/telemetry"
)

const (
	// checkBound is how long a check may take.
	checkBound = 2 * time.Second
	// checkEvery is how long what the checks said is believed: a probe a second from each of ten probers costs the parts
	// one check a second.
	checkEvery = time.Second
)

// Health tells probes how a program is. Its zero value is a program that is starting.
//
// A program is ready when its services are up and all its checks pass; it is never ready again once it drains.
type Health struct {
	mu       sync.Mutex // guards what follows
	up       bool
	draining bool
	checks   []*check

	round   sync.Mutex // held while the checks run, so that probes that come meanwhile share the round
	at      time.Time
	results map[string]result
}

type check struct {
	name string
	soft bool
	run  func(context.Context) error
	busy chan struct{} // holds one token while the check runs
}

type result struct {
	OK       bool   `json:"ok"`
	Degrades bool   `json:"degrades,omitempty"` // failing does not make the program unready
	TookMS   int64  `json:"took_ms"`
	Error    string `json:"error,omitempty"`
}

// Add adds a check without which the program is not ready. Its name is the name of the checked part, such as "vonage", and unique in
// the process: two checks of one name are a mistake in the program, and panic.
func (h *Health) Add(name string, run func(context.Context) error) { h.add(name, run, false) }

// AddSoft adds a check whose failure only shows in /readyz?verbose: the program does its work without.
func (h *Health) AddSoft(name string, run func(context.Context) error) { h.add(name, run, true) }

func (h *Health) add(name string, run func(context.Context) error, soft bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.checks {
		if c.name == name {
			panic("service: two health checks are called " + name)
		}
	}
	h.checks = append(h.checks, &check{name: name, soft: soft, run: run, busy: make(chan struct{}, 1)})
}

func (h *Health) setUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.up = true
}

// leaving reports whether the program drains.
func (h *Health) leaving() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.draining
}

func (h *Health) drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// live answers /livez: the process alone.
func (h *Health) live(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "alive\n") }

// ready answers /readyz, with each check's result when asked ?verbose.
func (h *Health) ready(w http.ResponseWriter, r *http.Request) {
	status, results := h.status()
	code := http.StatusServiceUnavailable
	if status == "ready" {
		code = http.StatusOK
	}
	w.Header().Set("Cache-Control", "no-store")
	if !r.URL.Query().Has("verbose") {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, status+"\n")
		return
	}
	body, err := json.Marshal(struct {
		Status string            `json:"status"`
		Checks map[string]result `json:"checks"`
	}{status, results})
	if err != nil {
		http.Error(w, status, code)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n'))
}

// status is draining, starting, failing or ready, and what the checks said at most checkEvery ago.
func (h *Health) status() (string, map[string]result) {
	if h.leaving() {
		return "draining", h.lastResults()
	}
	results, failing := h.check()
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.draining:
		return "draining", results
	case !h.up:
		return "starting", results
	case failing:
		return "failing", results
	default:
		return "ready", results
	}
}

// lastResults are those of the last round. While one runs there are none: a balancer must not wait for it to hear that the
// program drains.
func (h *Health) lastResults() map[string]result {
	if !h.round.TryLock() {
		return map[string]result{}
	}
	defer h.round.Unlock()
	if h.results == nil {
		return map[string]result{}
	}
	return h.results
}

// check runs all checks at once, unless that was done a moment ago.
func (h *Health) check() (results map[string]result, failing bool) {
	h.round.Lock()
	defer h.round.Unlock()

	h.mu.Lock()
	checks, draining := h.checks, h.draining
	h.mu.Unlock()
	// Parts that are being stopped are no longer checked: the last results remain.
	if !draining && (len(h.results) != len(checks) || time.Since(h.at) >= checkEvery) {
		h.results = runChecks(checks)
		h.at = time.Now()
	}
	if h.results == nil {
		h.results = map[string]result{}
	}
	for _, r := range h.results {
		failing = failing || !r.OK && !r.Degrades
	}
	return h.results, failing
}

func runChecks(checks []*check) map[string]result {
	// Not the probe's context: the round is shared.
	ctx, cancel := context.WithTimeout(context.Background(), checkBound)
	defer cancel()
	done := make([]result, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() { done[i] = c.once(ctx) })
	}
	wg.Wait()
	results := make(map[string]result, len(checks))
	for i, c := range checks {
		results[c.name] = done[i]
	}
	return results
}

// once runs the check and waits for it until ctx ends. A check that ignores ctx is left behind, and not started
// again until it returns, so that it costs one goroutine and not one a second.
func (c *check) once(ctx context.Context) result {
	start := time.Now()
	err := errors.New("still hangs from an earlier time")
	select {
	case c.busy <- struct{}{}:
		answer := make(chan error, 1)
		go func() {
			err := c.run(ctx)
			<-c.busy
			answer <- err
		}()
		select {
		case err = <-answer:
		case <-ctx.Done():
			err = errors.New("no answer within " + checkBound.String())
		}
	default:
	}
	r := result{OK: err == nil, Degrades: c.soft, TookMS: time.Since(start).Milliseconds()}
	if err != nil {
		r.Error = telemetry.Mask(err.Error())
	}
	return r
}
