package service

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
)

// present says that the services work until ctx ends, so that the console counts the replicas: one small write every 20 s for each process. A failure
// changes nothing else.
func (h Host) present(ctx context.Context, p *parts) {
	var services []string
	for _, s := range h.Services {
		if s.connects() && flow.PurposeOf(s.Name) != "" { // others have no user in NATS
			services = append(services, s.Name)
		}
	}
	if len(services) == 0 || p.js == nil {
		return
	}
	program, id := services[0], strings.ToLower(rand.Text())
	within := func(do func(context.Context) error) {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := do(limit); err != nil {
			h.Log.Debug("the replica cannot say that it works", "error", err)
		}
	}
	tick := time.NewTicker(flow.PresentEvery)
	defer tick.Stop()
	for {
		within(func(ctx context.Context) error { return flow.Present(ctx, p.js, program, id, services...) })
		select {
		case <-ctx.Done():
			if p.nats.IsConnected() {
				within(func(ctx context.Context) error { return flow.Absent(ctx, p.js, program, id) })
			}
			return
		case <-tick.C:
		}
	}
}
