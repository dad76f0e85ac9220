package sandbox

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// maxLetter is the largest letter taken, in bytes.
const maxLetter = 10 << 20

// postOffice is the mail server. It speaks without TLS: it is on loopback, and has no certificate to show.
func (s *Server) postOffice() *smtp.Server {
	post := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &mailSession{sandbox: s, conn: c}, nil
	}))
	post.Domain = "sandbox.invalid"
	post.MaxMessageBytes = maxLetter
	post.MaxRecipients = 50
	post.ReadTimeout = time.Minute // of a command, and of a letter
	post.WriteTimeout = 30 * time.Second
	post.AllowInsecureAuth = true
	post.EnableSMTPUTF8 = true
	post.ErrorLog = slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)
	return post
}

// mailSession is one connection's dialogue.
type mailSession struct {
	sandbox *Server
	conn    *smtp.Conn
	fault   fault // of the transaction in hand
	to      []string
}

// AuthMechanisms tells what may be used to log in, for those who want to.
func (*mailSession) AuthMechanisms() []string { return []string{sasl.Plain} }

// Auth takes any name and password.
func (*mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, _, _ string) error { return nil }), nil
}

// Mail begins a transaction, which is what a fault counts as one call.
func (m *mailSession) Mail(string, *smtp.MailOptions) error {
	m.Reset()
	switch m.fault = m.sandbox.faults.take("smtp"); m.fault.Mode {
	case refuse:
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "The sandbox was told to refuse this letter"}
	case throttle:
		return &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: "Too many letters, come back later"}
	}
	return nil
}

// Rcpt notes whom the letter is for. A fault that is a reply code is given here, where servers say that a mailbox is full
// or unknown.
func (m *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if code := m.fault.number(); code > 0 {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: "The sandbox was told to say so"}
	}
	m.to = append(m.to, to)
	return nil
}

// Data takes the letter, and puts one into the inbox for each recipient.
func (m *mailSession) Data(r io.Reader) error {
	if m.fault.Mode == cut {
		return m.conn.Conn().Close() // before the final dot: nobody takes this letter for sent
	}
	letter, err := readLetter(r)
	if errors.Is(err, smtp.ErrDataTooLarge) {
		return smtp.ErrDataTooLarge
	}
	if err != nil { // its text may quote the letter, and the sender logs our answer
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "This letter cannot be read"}
	}
	for _, to := range m.to {
		letter.To = to
		m.sandbox.inbox.receive(letter)
	}
	switch m.fault.Mode {
	case slow:
		m.sandbox.linger(m.fault.delay())
	case drop:
		return m.conn.Conn().Close() // the letter is here, and its sender will never know
	}
	return nil
}

// Reset forgets the transaction in hand.
func (m *mailSession) Reset() { m.fault, m.to = fault{}, nil }

// Logout has nothing to end.
func (*mailSession) Logout() error { return nil }

// longestSession is how long a connection to the mail server may last, however busy it is.
const longestSession = 10 * time.Minute

// mailListener closes a connection that begins with an HTTP request, so that no web page can talk to the mail server through a browser:
// lines of a form would be commands.
type mailListener struct{ net.Listener }

// Accept implements net.Listener.
func (l mailListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &mailConn{Conn: conn, ends: time.Now().Add(longestSession)}, nil
}

type mailConn struct {
	net.Conn
	ends  time.Time
	first []byte // of what came first, until it is known not to be an HTTP request
	knows bool
}

// Read implements net.Conn. It withholds what comes first while that may still become the method of an HTTP request.
func (c *mailConn) Read(p []byte) (int, error) {
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
func (c *mailConn) SetReadDeadline(t time.Time) error {
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
