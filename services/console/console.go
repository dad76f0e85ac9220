// Package console is the operator's console: it shows the flow, the documents, what is stuck, the sources and the subscribers in a browser, and the
// same as JSON. It also runs the jobs of operators.
package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/service"
	messages "github.com/signrelay/signrelay/libs/templates"
	consolesettings "github.com/signrelay/signrelay/services/console/settings"
)

// Service is the console as a separate program.
var Service = service.Service{
	Name:              flow.Console,
	Run:               Run,
	Check:             check,
	Sections:          []config.Declared{consolesettings.Section, consolesettings.PricesSection},
	Listeners:         []service.Listener{{Name: "http", Key: "console.addr", Port: 8081}},
	Calls:             []service.Party{service.NATS, service.Web}, // Web: the identity provider
	Reads:             []string{"sources", "api", "archive", "console", "index", "ingest", "opt_out", "prices", "templates", "nats", "master_key", "log"},
	WorksWithoutRedis: true,
	Singleton:         true, // sessions and the last hour are in memory
}

// check returns the mistakes that Run would refuse, and each source whose locale has no texts: a plan counts the parts of texts.
func check(c config.Config) error {
	return errors.Join(consolesettings.Section.Of(c).CheckAccess(), messages.Check(c))
}

// Run serves the console until ctx ends.
func Run(ctx context.Context, env service.Env) error {
	s, err := New(env)
	if err != nil {
		return err
	}
	defer s.index.close()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.settings.Now().Addr)
	if err != nil {
		return fmt.Errorf("listen for the console: %w", err)
	}
	work, stop := context.WithCancel(ctx)
	defer stop()
	var background sync.WaitGroup
	background.Go(func() { s.sampler.run(work) })
	background.Go(func() { s.followJobs(work) })
	background.Go(func() { s.operator.Follow(work, sampleEvery) })
	background.Go(func() { _ = s.runJobs(work) }) // it returns nil when work ends
	defer func() { stop(); background.Wait() }()
	web := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second, // the stream of live updates extends it
		IdleTimeout:       75 * time.Second,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(env.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return work },
	}
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	env.Log.InfoContext(ctx, "console is open", "addr", listener.Addr().String())
	env.Up()
	select {
	case err := <-failed:
		return fmt.Errorf("serve the console: %w", err)
	case <-ctx.Done():
	}
	stop() // ends the streams of live updates
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := web.Shutdown(limit); err != nil {
		return errors.Join(fmt.Errorf("stop the console: %w", err), web.Close())
	}
	return nil
}
