// Package smtp simulates a mail server.
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

func open(env party.Env) (party.Simulator, error) {
	listen := net.ListenConfig{} // a local address, so Listen does not block
	l, err := listen.Listen(context.Background(), "tcp", sandboxsettings.Section.Of(env.Config).SMTPAddr)
	if err != nil {
		return party.Simulator{}, fmt.Errorf("listen for the sandbox's SMTP: %w", err)
	}
	return party.Simulator{Listener: &server{newServer(env), listener{l}}}, nil
}

// server is a mail server with its listener.
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

// Shutdown implements party.Listener. It does not wait for idle connections beyond the deadline, because the server cannot distinguish them
// from busy ones.
func (s *server) Shutdown(ctx context.Context) error {
	if err := s.smtp.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("stop the sandbox's SMTP: %w", err)
	}
	return nil
}

// maxEmail is the maximum size of an e-mail, in bytes.
const maxEmail = 10 << 20

// newServer returns the mail server. It has no TLS: it listens on loopback and has no certificate.
func newServer(env party.Env) *smtp.Server {
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &session{env: env, conn: c}, nil
	}))
	s.Domain = "sandbox.invalid"
	s.MaxMessageBytes = maxEmail
	s.MaxRecipients = 50
	s.ReadTimeout = time.Minute // for a command and for an e-mail
	s.WriteTimeout = 30 * time.Second
	s.AllowInsecureAuth = true
	s.EnableSMTPUTF8 = true
	s.ErrorLog = slog.NewLogLogger(env.Log.Handler(), slog.LevelDebug)
	return s
}

// session is the session of one connection.
type session struct {
	env   party.Env
	conn  *smtp.Conn
	fault party.Fault // of the current transaction
	to    []string
}

// AuthMechanisms lists the mechanisms for a login, which is optional.
func (*session) AuthMechanisms() []string { return []string{sasl.Plain} }

// Auth accepts any name and password.
func (*session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, _, _ string) error { return nil }), nil
}

// Mail begins a transaction. A fault counts a transaction as one call.
func (m *session) Mail(string, *smtp.MailOptions) error {
	m.Reset()
	switch m.fault = m.env.Faults.Take(name); m.fault.Mode {
	case party.Refuse:
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Refused by a fault of the sandbox"}
	case party.Throttle:
		return &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: "Too many messages, try again later"}
	}
	if m.fault.Mode == "" && m.env.Odd.Pick(2) == 0 {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "Greylisted for a moment\nPlease try again"}
	}
	return nil
}

// Rcpt stores a recipient. A fault with a reply code is returned here, where servers report a full or unknown mailbox.
func (m *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if code := m.fault.Number(); code > 0 {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: "Refused by a fault of the sandbox"}
	}
	if party.Unreachable(to) {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "There is no such mailbox"}
	}
	m.to = append(m.to, to)
	return nil
}

// Data reads the e-mail and adds it to the inbox once for each recipient.
func (m *session) Data(r io.Reader) error {
	if m.fault.Mode == party.Cut {
		return m.conn.Conn().Close() // before the final dot, so the client does not treat this e-mail as sent
	}
	email, err := readEmail(r)
	if errors.Is(err, smtp.ErrDataTooLarge) {
		return smtp.ErrDataTooLarge
	}
	if err != nil { // its text may quote the e-mail, and the sender logs our reply
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "The message cannot be parsed"}
	}
	for _, to := range m.to {
		email.To = to
		m.env.Inbox.Receive(email)
	}
	switch m.fault.Mode {
	case party.Slow:
		m.env.Linger(m.fault.Delay())
	case party.Drop:
		return m.conn.Conn().Close() // the e-mail was accepted, and the client gets no reply
	}
	if m.env.Odd.Pick(1) == 0 {
		return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "Thank you\nIt is queued"} // in two lines
	}
	return nil
}

// Reset ends the current transaction.
func (m *session) Reset() { m.fault, m.to = party.Fault{}, nil }

// Logout has no effect.
func (*session) Logout() error { return nil }

// maxSession bounds a connection to the mail server, even a busy one.
const maxSession = 10 * time.Minute

// listener closes a connection that begins with an HTTP request. Otherwise a web page could use a browser to send commands to the mail
// server, as the lines of a form.
type listener struct{ net.Listener }

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &guarded{Conn: conn, ends: time.Now().Add(maxSession)}, nil
}

type guarded struct {
	net.Conn
	ends    time.Time
	first   []byte // the first bytes, until they cannot be the method of an HTTP request
	checked bool
}

// Read implements net.Conn. It returns the first bytes only when they cannot be the method of an HTTP request any more.
func (c *guarded) Read(p []byte) (int, error) {
	for !c.checked && len(p) >= longestMethod {
		n, err := c.Conn.Read(p[:longestMethod-len(c.first)])
		c.first = append(c.first, p[:n]...)
		if isHTTP(c.first) {
			return 0, errHTTP
		}
		if c.checked = err != nil || len(c.first) == longestMethod || bytes.ContainsAny(c.first, " \n"); c.checked {
			return copy(p, c.first), err
		}
	}
	return c.Conn.Read(p)
}

// SetReadDeadline implements net.Conn. No deadline is later than the session's end.
func (c *guarded) SetReadDeadline(t time.Time) error {
	if t.IsZero() || t.After(c.ends) {
		t = c.ends
	}
	return c.Conn.SetReadDeadline(t)
}

var errHTTP = errors.New("the mail server got an HTTP request")

// The methods of HTTP with the space after them, as browsers and proxies write them.
var httpMethods = []string{"GET ", "HEAD ", "POST ", "PUT ", "PATCH ", "DELETE ", "OPTIONS ", "TRACE ", "CONNECT ", "PRI "}

const longestMethod = len("OPTIONS ")

func isHTTP(first []byte) bool {
	return slices.ContainsFunc(httpMethods, func(method string) bool { return bytes.HasPrefix(bytes.ToUpper(first), []byte(method)) })
}
