package emailsender

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/wneessen/go-mail"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/servicetest"
	"github.com/signrelay/signrelay/libs/templates"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	emailsettings "github.com/signrelay/signrelay/services/email-sender/settings"
)

func newMessage(t *testing.T) *mail.Msg {
	t.Helper()
	texts, err := templates.Open("")
	if err != nil {
		t.Fatal(err)
	}
	message, _, err := compose(texts, "no-reply@acme.example", &notifyv1.Notification{
		Id: "n1", Kind: notifyv1.Kind_KIND_VOIDED, To: &notifyv1.Person{Email: "eric@reader.example"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return message
}

// fixed returns a server whose settings do not change.
func fixed(settings emailsettings.SMTP) *config.Current[server] {
	return config.Fixed(newServer(settings))
}

func listen(t *testing.T) (net.Listener, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	_, text, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return l, port
}

// The server greets and then stays silent. The library would wait for its own timeout, half a minute here.
func TestADialogueEndsWithItsAttempt(t *testing.T) {
	t.Parallel()
	l, port := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = conn.Write([]byte("220 mail.example ESMTP\r\n"))
		_, _ = conn.Read(make([]byte, 1)) // the EHLO
		cancel()
		_, _ = io.Copy(io.Discard, conn) // until the sender closes
	}()
	ended := make(chan error, 1)
	message := newMessage(t)
	go func() {
		p := newPool(fixed(emailsettings.SMTP{Host: "127.0.0.1", Port: port, TLS: "none", Timeout: 30 * time.Second}))
		_, err := p.send(ctx, message)
		ended <- err
	}()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a message to a silent server was sent")
		}
	case <-time.After(10 * time.Second):
		t.Error("the dialogue continued after the attempt's end")
	}
}

// secure is a mail server that requires TLS and a password.
type secure struct {
	open     bool // it accepts messages without a login and without TLS
	taken    chan string
	password atomic.Pointer[string] // nil is "right"
	logins   atomic.Int64
}

func (s *secure) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &session{server: s, conn: c}, nil
}

type session struct {
	server *secure
	conn   *smtp.Conn
	user   string
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }
func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		s.server.logins.Add(1)
		wanted := "right"
		if now := s.server.password.Load(); now != nil {
			wanted = *now
		}
		if user != "acme" || password != wanted {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "no, acme"}
		}
		s.user = user
		return nil
	}), nil
}

func (s *session) Mail(string, *smtp.MailOptions) error {
	if s.server.open {
		return nil
	}
	if _, encrypted := s.conn.TLSConnectionState(); !encrypted || s.user == "" {
		return &smtp.SMTPError{Code: 530, Message: "TLS and a password first"}
	}
	return nil
}
func (s *session) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (s *session) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	s.server.taken <- s.user
	return err
}

func TestTLSAndPassword(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name              string
		implicit, trusted bool
		password, outcome string
	}{
		{name: "STARTTLS", trusted: true, password: "right", outcome: ""},
		{name: "TLS at once", implicit: true, trusted: true, password: "right", outcome: ""},
		{name: "STARTTLS, an untrusted certificate", password: "right", outcome: "certificate"},
		{name: "TLS at once, an untrusted certificate", implicit: true, password: "right", outcome: "certificate"},
		{name: "STARTTLS, wrong password", trusted: true, password: "wrong", outcome: "smtp-535"},
		{name: "TLS at once, wrong password", implicit: true, trusted: true, password: "wrong", outcome: "smtp-535"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l, port := listen(t)
			authority := realtest.NewAuthority(t)
			server := &secure{taken: make(chan string, 1)}
			backend := smtp.NewServer(server)
			backend.TLSConfig = authority.Server(false)
			if test.implicit {
				l = tls.NewListener(l, backend.TLSConfig)
			}
			go func() { _ = backend.Serve(l) }()
			t.Cleanup(func() { _ = backend.Close() })

			settings := emailsettings.SMTP{Host: "127.0.0.1", Port: port, TLS: "mandatory", Timeout: 10 * time.Second, Username: "acme", Password: test.password}
			if test.trusted {
				settings.CA = authority.PEM
			}
			s := newServer(settings)
			s.implicit = test.implicit // a test cannot listen on port 465
			p := newPool(config.Fixed(s))
			defer p.close()
			_, err := p.send(t.Context(), newMessage(t))
			if test.outcome == "certificate" && !strings.Contains(err.Error(), "email.smtp.ca lacks the authority") {
				t.Errorf("the error does not name the wrong setting: %v", err)
			}
			if got := reason(err); got != test.outcome {
				t.Fatalf("ended %q, want %q: %v", got, test.outcome, err)
			}
			if test.outcome == "" && <-server.taken != "acme" {
				t.Error("the message was accepted without a login")
			}
		})
	}
}

// The policy opportunistic uses TLS with a verified certificate if the server offers TLS, otherwise no encryption. A password is never sent
// without encryption, not even to a server that would accept it.
func TestOpportunisticTLS(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name                   string
		offers, trusted, login bool
		outcome                string
		logins                 int64
	}{
		{name: "none offered", outcome: ""},
		{name: "none offered, a password set", login: true, outcome: "smtp-settings"},
		{name: "offered", offers: true, trusted: true, login: true, outcome: "", logins: 1},
		{name: "offered, an untrusted certificate", offers: true, login: true, outcome: "certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l, port := listen(t)
			authority := realtest.NewAuthority(t)
			// If TLS is offered and trusted, the server requires it. Otherwise the server accepts everything without encryption.
			server := &secure{taken: make(chan string, 1), open: !test.trusted}
			backend := smtp.NewServer(server)
			backend.AllowInsecureAuth = true
			if test.offers {
				backend.TLSConfig = authority.Server(false)
			}
			go func() { _ = backend.Serve(l) }()
			t.Cleanup(func() { _ = backend.Close() })

			settings := emailsettings.SMTP{Host: "127.0.0.1", Port: port, TLS: "opportunistic", Timeout: 10 * time.Second}
			if test.login {
				settings.Username, settings.Password = "acme", "right"
			}
			if test.trusted {
				settings.CA = authority.PEM
			}
			p := newPool(fixed(settings))
			defer p.close()
			_, err := p.send(t.Context(), newMessage(t))
			if got := reason(err); got != test.outcome || (err == nil) != (test.outcome == "") {
				t.Errorf("ended %q, want %q: %v", got, test.outcome, err)
			}
			if n := server.logins.Load(); n != test.logins {
				t.Errorf("the password was sent %d times, want %d", n, test.logins)
			}
			if taken := len(server.taken); (taken == 1) != (test.outcome == "") {
				t.Errorf("%d messages were accepted", taken)
			}
		})
	}
}

// The server gets another authority's certificate and another password. After a refusal, the sender waits until the settings have changed.
func TestTheServerIsRotated(t *testing.T) {
	t.Parallel()
	old, next := realtest.NewAuthority(t), realtest.NewAuthority(t)
	l, port := listen(t)
	server := &secure{taken: make(chan string, 1)}
	var tlsNow atomic.Pointer[tls.Config]
	tlsNow.Store(old.Server(false))
	backend := smtp.NewServer(server)
	backend.TLSConfig = &tls.Config{
		MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return tlsNow.Load(), nil },
	}
	go func() { _ = backend.Serve(l) }()
	t.Cleanup(func() { _ = backend.Close() })

	cfg, files := servicetest.Load(t, "", map[string]string{"EMAIL_SMTP_CA": old.PEM, "EMAIL_SMTP_PASSWORD": "right"},
		"SIGNRELAY_EMAIL_SMTP_HOST=127.0.0.1", "SIGNRELAY_EMAIL_SMTP_PORT="+strconv.Itoa(port), "SIGNRELAY_EMAIL_SMTP_USERNAME=acme",
		"SIGNRELAY_EMAIL_FROM=no-reply@acme.example")
	live := config.NewLive(cfg)
	send := func() string {
		p := newPool(currentServer(live))
		defer p.close()
		_, err := p.send(t.Context(), newMessage(t))
		if err == nil {
			<-server.taken
		}
		return reason(err)
	}
	if got := send(); got != "" {
		t.Fatal(got)
	}
	tlsNow.Store(next.Server(false))
	if got := send(); got != "certificate" {
		t.Errorf("%q with another's certificate", got)
	}
	files.Replace(live, "EMAIL_SMTP_CA", next.PEM)
	if got := send(); got != "" {
		t.Error(got)
	}

	left := "left"
	server.password.Store(&left)
	p := newPool(currentServer(live))
	defer p.close()
	for range 2 {
		if _, err := p.send(t.Context(), newMessage(t)); reason(err) != "smtp-535" {
			t.Errorf("%v with the old password", err)
		}
	}
	if n := server.logins.Load(); n != 3 {
		t.Errorf("%d logins: a wrong password was sent again at once", n)
	}
	files.Replace(live, "EMAIL_SMTP_PASSWORD", "left")
	if _, err := p.send(t.Context(), newMessage(t)); err != nil {
		t.Error(err)
	}
}

// reason returns the reason that notification.failed would have.
func reason(err error) string {
	return outcome.Of(err).Cause()
}
