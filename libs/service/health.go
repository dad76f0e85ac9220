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
	// checkBound is the maximum time of a check.
	checkBound = 2 * time.Second
	// checkEvery is the time for which the results of the checks stay valid. If ten probers each probe once a second, each dependency still
	// gets one check a second.
	checkEvery = time.Second
)

// Health reports a program's state to probes. Its zero value is a program that is starting.
//
// A program is ready when its services are up and all its checks pass. Once it drains, it is never ready again.
type Health struct {
	mu       sync.Mutex // guards up, draining and checks
	up       bool
	draining bool
	checks   []*check

	round   sync.Mutex // held while the checks run, so that concurrent probes share the round
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
	Degrades bool   `json:"degrades,omitempty"` // the program stays ready if the check fails
	TookMS   int64  `json:"took_ms"`
	Error    string `json:"error,omitempty"`
}

// Add adds a check: the program is ready only if it passes. name is the checked dependency, such as "vonage", and unique in
// the process: a second check with the same name is a programming error and panics.
func (h *Health) Add(name string, run func(context.Context) error) { h.add(name, run, false) }

// AddSoft adds a check whose failure shows only in /readyz?verbose: the program works without the dependency.
func (h *Health) AddSoft(name string, run func(context.Context) error) { h.add(name, run, true) }

func (h *Health) add(name string, run func(context.Context) error, soft bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.checks {
		if c.name == name {
			panic("service: two health checks are named " + name)
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

// live serves /livez: it checks only the process.
func (h *Health) live(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "alive\n") }

// ready serves /readyz; with ?verbose it adds the result of each check.
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

// status returns draining, starting, failing or ready, and results of the checks that are at most checkEvery old.
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

// lastResults returns the results of the last round, or none while a round runs: a load balancer must get the state draining without waiting
// for the round.
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

// check runs all checks concurrently, unless the last results are still valid.
func (h *Health) check() (results map[string]result, failing bool) {
	h.round.Lock()
	defer h.round.Unlock()

	h.mu.Lock()
	checks, draining := h.checks, h.draining
	h.mu.Unlock()
	// Dependencies that are being stopped are no longer checked: the last results remain.
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
	// The probe's context is not used, because probes share the round.
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

// once runs the check and waits for it until ctx ends. A check that ignores ctx continues in the background and is not started again until it
// returns, so that it needs only one goroutine, and not one more each second.
func (c *check) once(ctx context.Context) result {
	start := time.Now()
	err := errors.New("an earlier run of this check still hangs")
	select {
	case c.busy <- struct{}{}:
		finished := make(chan error, 1)
		go func() {
			err := c.run(ctx)
			<-c.busy
			finished <- err
		}()
		select {
		case err = <-finished:
		case <-ctx.Done():
			err = errors.New("no result within " + checkBound.String())
		}
	default:
	}
	r := result{OK: err == nil, Degrades: c.soft, TookMS: time.Since(start).Milliseconds()}
	if err != nil {
		r.Error = telemetry.Mask(err.Error())
	}
	return r
}
