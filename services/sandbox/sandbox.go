// Package sandbox simulates the outside parties that parties.go lists. It plays stories as real callbacks, and stores the messages that
// signers received. On request it delays, refuses, drops or throttles calls.
//
// It uses the parties' own formats over real HTTP and SMTP, and neither NATS nor Redis.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sandbox/party"
	sandboxsettings "github.com/signrelay/signrelay/services/sandbox/settings"
)

// Service is the sandbox as a separate program.
var Service = service.Service{
	Name:    "sandbox",
	Summary: "simulates the providers, Vonage and a mail server, for trials",
	Run:     Run,
	Check:   check,
	Listeners: []service.Listener{
		{Name: "http", Key: "sandbox.addr", Port: 8082},
		{Name: "smtp", Key: "sandbox.smtp_addr", Port: 2525},
	},
	Sections: []config.Declared{sandboxsettings.Section},
	Reads:    []string{"sources", "api", "sms", "shortener", "sandbox", "log"},
	DemoOnly: true,
}

// check returns the mistakes that Run would refuse.
func check(c config.Config) error {
	_, err := party.NewCallbacks(sandboxsettings.Section.Of(c), nil)
	return err
}

// Run runs the sandbox until ctx ends. It listens on separate addresses, because servers of other parties do not share a listener with
// Signrelay.
func Run(ctx context.Context, env service.Env) error {
	server, err := New(env.Config, env.Log, Clock{env.Now, env.Jump})
	if err != nil {
		return err
	}
	env.Up()
	return server.Serve(ctx)
}

// Server is a running sandbox: one HTTP listener, and the other listeners of the parties.
type Server struct {
	party.Env
	parties []simulator // in the order of the list
	jump    func(context.Context, time.Duration) error

	listener net.Listener
	handler  http.Handler
	stopping chan struct{} // closed when Serve ends, so that slow responses stop waiting
}

// simulator is a running party.
type simulator struct {
	party.Party
	party.Simulator
}

// Clock is the clock of the stories.
type Clock struct {
	Now func() time.Time
	// Jump moves the clock forward, and with it that of all services; nil if they are other processes.
	Jump func(context.Context, time.Duration) error
}

// New opens all listeners, so that their addresses are known even for port 0. Serve serves them.
func New(cfg config.Config, log *slog.Logger, clock Clock) (*Server, error) {
	odd := party.NewOdd(sandboxsettings.Section.Of(cfg), log)
	callbacks, err := party.NewCallbacks(sandboxsettings.Section.Of(cfg), odd)
	if err != nil {
		return nil, err
	}
	s := &Server{jump: clock.Jump, stopping: make(chan struct{})}
	s.Env = party.Env{
		Config: cfg, Log: log, Inbox: party.NewInbox(), Faults: party.NewFaults(targets()), Tickets: party.NewTickets(clock.Now), Callbacks: callbacks, Odd: odd, Now: clock.Now,
		BaseURL: s.baseURL, Linger: s.linger,
	}
	listen := net.ListenConfig{} // a local address, so Listen does not block
	if s.listener, err = listen.Listen(context.Background(), "tcp", sandboxsettings.Section.Of(cfg).Addr); err != nil {
		return nil, fmt.Errorf("listen for the sandbox's HTTP: %w", err)
	}
	for _, p := range parties {
		one, err := p.New(s.Env)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.parties = append(s.parties, simulator{p, one})
	}
	s.handler = s.routes()
	return s, nil
}

// close closes the listeners of a server that was never served.
func (s *Server) close() error {
	err := s.listener.Close()
	for _, p := range s.parties {
		if p.Listener != nil {
			err = errors.Join(err, p.Listener.Close())
		}
	}
	return err
}

// HTTPAddr returns the address of the HTTP listener, host:port.
func (s *Server) HTTPAddr() string { return s.listener.Addr().String() }

// Addr returns the address of a party's own listener, host:port, or empty if it has none.
func (s *Server) Addr(name string) string {
	for _, p := range s.parties {
		if p.Name == name && p.Listener != nil {
			return p.Listener.Addr().String()
		}
	}
	return ""
}

// Handler returns the handler of all the sandbox's HTTP requests.
func (s *Server) Handler() http.Handler { return s.handler }

// shutdownTimeout bounds the calls in flight when the sandbox stops.
const shutdownTimeout = 5 * time.Second

// Serve serves all listeners until ctx ends, then finishes the calls in flight within five seconds. Call it once.
func (s *Server) Serve(ctx context.Context) error {
	web := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      2 * time.Minute, // a slow response may take one minute; see maxDelay
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1+len(s.parties))
	go func() { failed <- web.Serve(s.listener) }()
	addresses := []any{"http", s.HTTPAddr()}
	for _, p := range s.parties {
		if p.Listener != nil {
			go func() { failed <- p.Listener.Serve() }()
			addresses = append(addresses, p.Name, p.Listener.Addr().String())
		}
	}
	s.Log.Info("sandbox is open", addresses...)

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("serve the sandbox: %w", err)
	}
	close(s.stopping)
	err = errors.Join(err, s.shutdown(web))
	for _, p := range s.parties {
		if p.Close != nil {
			p.Close()
		}
	}
	return err
}

// shutdown closes the listeners and waits for the calls in flight.
func (s *Server) shutdown(web *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	var err error
	if stuck := web.Shutdown(ctx); stuck != nil {
		err = errors.Join(fmt.Errorf("stop the sandbox's HTTP: %w", stuck), web.Close())
	}
	for _, p := range s.parties {
		if p.Listener != nil {
			err = errors.Join(err, p.Listener.Shutdown(ctx))
		}
	}
	return err
}

// linger waits for d, at most until the sandbox stops.
func (s *Server) linger(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.stopping:
	}
}

// baseURL returns the beginning of addresses in callbacks, because a callback has no incoming request with a host name.
func (s *Server) baseURL() string {
	host, port, err := net.SplitHostPort(s.HTTPAddr())
	if ip := net.ParseIP(host); err == nil && ip.IsUnspecified() {
		return "http://" + net.JoinHostPort("127.0.0.1", port)
	}
	return "http://" + s.HTTPAddr()
}
