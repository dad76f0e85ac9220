// Package smtp stands in for a mail server.
package smtp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/signrelay/signrelay/services/sandbox/party"
	sandboxsettings "github.com/signrelay/signrelay/services/sandbox/settings"
)

const name = "smtp"

// Party is the mail server.
var Party = party.Party{Name: name, Title: "the mail server", Targets: []party.Target{{
	Name: name, Modes: []string{party.Slow, party.Refuse, party.Drop, party.Cut, party.Throttle}, Numbers: "a reply code, 400 to 599",
	Numbered: func(n int) bool { return n >= 400 && n <= 599 },
}}, New: open}

func open(env party.Env) (party.StandIn, error) {
	listen := net.ListenConfig{} // of an address at hand: there is nothing to wait for
	l, err := listen.Listen(context.Background(), "tcp", sandboxsettings.Section.Of(env.Config).SMTPAddr)
	if err != nil {
		return party.StandIn{}, fmt.Errorf("listen for the sandbox's SMTP: %w", err)
	}
	return party.StandIn{Listener: &server{newServer(env), listener{l}}}, nil
}

// server is a mail server on its listener.
type server struct {
	smtp     *smtp.Server
	listener net.Listener
}

// Addr implements party.Listener.
func (s *server) Addr() net.Addr { return s.listener.Addr() }

// Serve implements party.Listener.
func (s *server) Serve() error { return s.smtp.Serve(s.listener) }

// Close implements party.Listener.
func (s *server) Close() error { return s.listener.Close() }

// Shutdown implements party.Listener. Who stays connected without a word is left behind: the server cannot tell idle from busy.
func (s *server) Shutdown(ctx context.Context) error {
	if err := s.smtp.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("end the sandbox's SMTP: %w", err)
	}
	return nil
}

// maxEmail is the largest e-mail taken, in bytes.
const maxEmail = 10 << 20

// newServer is the mail server. It speaks without TLS: it is on loopback, and has no certificate to show.
func newServer(env party.Env) *smtp.Server {
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &session{env: env, conn: c}, nil
	}))
	s.Domain = "sandbox.invalid"
	s.MaxMessageBytes = maxEmail
	s.MaxRecipients = 50
	s.ReadTimeout = time.Minute // of a command, and of an e-mail
	s.WriteTimeout = 30 * time.Second
	s.AllowInsecureAuth = true
	s.EnableSMTPUTF8 = true
	s.ErrorLog = slog.NewLogLogger(env.Log.Handler(), slog.LevelDebug)
	return s
}

// session is one connection's dialogue.
type session struct {
	env   party.Env
	conn  *smtp.Conn
	fault party.Fault // of the transaction in hand
	to    []string
}

// AuthMechanisms tells what may be used to log in, for those who want to.
func (*session) AuthMechanisms() []string { return []string{sasl.Plain} }

// Auth takes any name and password.
func (*session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, _, _ string) error { return nil }), nil
}

// Mail begins a transaction, which is what a fault counts as one call.
func (m *session) Mail(string, *smtp.MailOptions) error {
	m.Reset()
	switch m.fault = m.env.Faults.Take(name); m.fault.Mode {
	case party.Refuse:
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "The sandbox was told to refuse this letter"}
	case party.Throttle:
		return &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: "Too many letters, come back later"}
	}
	if m.fault.Mode == "" && m.env.Odd.Pick(2) == 0 {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "Greylisted for a moment\nPlease try again"}
	}
	return nil
}

// Rcpt notes whom the e-mail is for. A fault that is a reply code is given here, where servers say that a mailbox is full
// or unknown.
func (m *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if code := m.fault.Number(); code > 0 {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: "The sandbox was told to say so"}
	}
	m.to = append(m.to, to)
	return nil
}

// Data takes the e-mail, and puts one into the inbox for each recipient.
func (m *session) Data(r io.Reader) error {
	if m.fault.Mode == party.Cut {
		return m.conn.Conn().Close() // before the final dot: nobody takes this e-mail for sent
	}
	email, err := readEmail(r)
	if errors.Is(err, smtp.ErrDataTooLarge) {
		return smtp.ErrDataTooLarge
	}
	if err != nil { // its text may quote the e-mail, and the sender logs our reply
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "This letter cannot be read"}
	}
	for _, to := range m.to {
		email.To = to
		m.env.Inbox.Receive(email)
	}
	switch m.fault.Mode {
	case party.Slow:
		m.env.Linger(m.fault.Delay())
	case party.Drop:
		return m.conn.Conn().Close() // the e-mail is here, and its sender will never know
	}
	if m.env.Odd.Pick(1) == 0 {
		return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "Thank you\nIt is queued"} // in two lines
	}
	return nil
}

// Reset forgets the transaction in hand.
func (m *session) Reset() { m.fault, m.to = party.Fault{}, nil }

// Logout has nothing to end.
func (*session) Logout() error { return nil }

// longestSession is how long a connection to the mail server may last, however busy it is.
const longestSession = 10 * time.Minute

// listener closes a connection that begins with an HTTP request, so that no web page can talk to the mail server through a browser:
// lines of a form would be commands.
type listener struct{ net.Listener }

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &guarded{Conn: conn, ends: time.Now().Add(longestSession)}, nil
}

type guarded struct {
	net.Conn
	ends  time.Time
	first []byte // of what came first, until it is known not to be an HTTP request
	knows bool
}

// Read implements net.Conn. It withholds what comes first while that may still become the method of an HTTP request.
func (c *guarded) Read(p []byte) (int, error) {
	for !c.knows && len(p) >= longestMethod {
		n, err := c.Conn.Read(p[:longestMethod-len(c.first)])
		c.first = append(c.first, p[:n]...)
		if speaksHTTP(c.first) {
			return 0, errHTTP
		}
		if c.knows = err != nil || len(c.first) == longestMethod || bytes.ContainsAny(c.first, " \n"); c.knows {
			return copy(p, c.first), err
		}
	}
	return c.Conn.Read(p)
}

// SetReadDeadline implements net.Conn; no deadline is later than the session's end.
func (c *guarded) SetReadDeadline(t time.Time) error {
	if t.IsZero() || t.After(c.ends) {
		t = c.ends
	}
	return c.Conn.SetReadDeadline(t)
}

var errHTTP = errors.New("an HTTP request came to the mail server")

// The methods of HTTP with the blank behind them, as browsers and proxies write them.
var httpMethods = []string{"GET ", "HEAD ", "POST ", "PUT ", "PATCH ", "DELETE ", "OPTIONS ", "TRACE ", "CONNECT ", "PRI "}

const longestMethod = len("OPTIONS ")

func speaksHTTP(first []byte) bool {
	return slices.ContainsFunc(httpMethods, func(method string) bool { return bytes.HasPrefix(bytes.ToUpper(first), []byte(method)) })
}
