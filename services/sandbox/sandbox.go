// Package sandbox stands in for the outside world: the providers' REST APIs and signing pages, Vonage, Bitly, Rebrandly, and a mail
// server. It plays stories as real callbacks, keeps what signers received, and can be told to be slow, to refuse, to drop and to
// throttle.
//
// Nothing in it is ours: it speaks the providers' own formats over real HTTP and SMTP, and uses neither NATS nor Redis.
package sandbox

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/service"
)

// Service is the sandbox as a program of its own.
var Service = service.Service{
	Name:    "sandbox",
	Summary: "stands in for the outside world, for trials",
	Run:     Run,
	Check:   check,
	Listeners: []service.Listener{
		{Name: "http", Key: "sandbox.addr", Port: 8082},
		{Name: "smtp", Key: "sandbox.smtp_addr", Port: 2525},
	},
	Reads:    []string{"sources", "api", "sms", "shortener", "sandbox", "log"},
	DemoOnly: true,
}

// check says what Run refuses.
func check(c config.Config) error {
	_, err := readKey(c.Sandbox.Key)
	return err
}

// Run stands in for the outside world until ctx ends. It listens itself, on the sandbox's own two addresses: what stands
// for other people's servers does not share a door with ours.
func Run(ctx context.Context, env service.Env) error {
	server, err := New(env.Config, env.Log)
	if err != nil {
		return err
	}
	env.Up()
	return server.Serve(ctx)
}

// Server is the outside world, on one HTTP and one SMTP listener.
type Server struct {
	cfg config.Config
	log *slog.Logger

	inbox  *inbox
	faults *faults

	clickwrap, pleasesign, esign *provider
	tickets                      *tickets // in the addresses that they give out
	key                          *rsa.PrivateKey
	callbacks                    *http.Client

	bitly, rebrandly *shortLinks
	receipts         *receipts

	httpListener, smtpListener net.Listener
	handler                    http.Handler

	stopping chan struct{} // closed when Serve is told to end: nobody lingers any longer
}

// New opens both listeners, so that their addresses are known even where the settings say port 0. Serve answers them.
func New(cfg config.Config, log *slog.Logger) (*Server, error) {
	key, err := readKey(cfg.Sandbox.Key)
	if err != nil {
		return nil, err
	}
	words := newTickets()
	s := &Server{
		cfg:        cfg,
		log:        log,
		inbox:      newInbox(inboxBytes),
		faults:     newFaults(),
		clickwrap:  newClickwrap(cfg),
		pleasesign: newPleasesign(words),
		esign:      newEsign(),
		tickets:    words,
		key:        key,
		callbacks:  newCallbackClient(),
		bitly:      newShortLinks(),
		rebrandly:  newShortLinks(),
		receipts:   newReceipts(cfg.SMS.Vonage, log),
		stopping:   make(chan struct{}),
	}
	s.handler = s.routes()

	ctx, listen := context.Background(), net.ListenConfig{} // of addresses at hand: there is nothing to wait for
	if s.httpListener, err = listen.Listen(ctx, "tcp", cfg.Sandbox.Addr); err != nil {
		return nil, fmt.Errorf("listen for the sandbox's HTTP: %w", err)
	}
	if s.smtpListener, err = listen.Listen(ctx, "tcp", cfg.Sandbox.SMTPAddr); err != nil {
		return nil, errors.Join(fmt.Errorf("listen for the sandbox's SMTP: %w", err), s.httpListener.Close())
	}
	return s, nil
}

// HTTPAddr is where HTTP is served, host:port.
func (s *Server) HTTPAddr() string { return s.httpListener.Addr().String() }

// SMTPAddr is where mail is taken, host:port.
func (s *Server) SMTPAddr() string { return s.smtpListener.Addr().String() }

// Handler is all of the sandbox's HTTP.
func (s *Server) Handler() http.Handler { return s.handler }

// leaveWithin is how long calls in hand may take when the sandbox ends.
const leaveWithin = 5 * time.Second

// Serve answers both listeners until ctx ends, then finishes the calls in hand within five seconds. Call it once.
func (s *Server) Serve(ctx context.Context) error {
	web := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      2 * time.Minute, // a slow answer may take one minute; see maxDelay
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	post := s.postOffice()

	failed := make(chan error, 2)
	go func() { failed <- web.Serve(s.httpListener) }()
	go func() { failed <- post.Serve(mailListener{s.smtpListener}) }()
	s.log.Info("sandbox is open", "http", s.HTTPAddr(), "smtp", s.SMTPAddr())

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("serve the sandbox: %w", err)
	}
	close(s.stopping)
	err = errors.Join(err, leave(web, post))
	s.receipts.end()
	return err
}

// leave closes the doors and waits for the calls in hand.
func leave(web *http.Server, post *smtp.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), leaveWithin)
	defer cancel()
	var err error
	if stuck := web.Shutdown(ctx); stuck != nil {
		err = errors.Join(fmt.Errorf("end the sandbox's HTTP: %w", stuck), web.Close())
	}
	// Who stays connected to the mail server without a word is left behind: it cannot tell idle from busy.
	if stuck := post.Shutdown(ctx); stuck != nil && !errors.Is(stuck, context.DeadlineExceeded) && !errors.Is(stuck, net.ErrClosed) {
		err = errors.Join(err, fmt.Errorf("end the sandbox's SMTP: %w", stuck))
	}
	return err
}

// linger waits, but not beyond the sandbox's end.
func (s *Server) linger(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.stopping:
	}
}

// provider is the stand-in of that name; every provider that stories know has one.
func (s *Server) provider(name string) *provider {
	switch name {
	case clickwrapName:
		return s.clickwrap
	case pleasesignName:
		return s.pleasesign
	default:
		return s.esign
	}
}

// knows tells whether a source of that provider has these credentials.
func (s *Server) knows(provider string, fits func(config.API) bool) bool {
	return slices.ContainsFunc(s.cfg.Sources, func(source config.Source) bool {
		return source.Provider == provider && fits(source.API)
	})
}

// world is what addresses in callbacks begin with, which nobody asked for under a name of his own.
func (s *Server) world() string {
	host, port, err := net.SplitHostPort(s.HTTPAddr())
	if ip := net.ParseIP(host); err == nil && ip.IsUnspecified() {
		return "http://" + net.JoinHostPort("127.0.0.1", port)
	}
	return "http://" + s.HTTPAddr()
}
