package emailsender

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"

	"github.com/wneessen/go-mail"

	"github.com/signrelay/signrelay/libs/config"
	emailsettings "github.com/signrelay/signrelay/services/email-sender/settings"
)

// server is the operator's mail server.
type server struct {
	settings emailsettings.SMTP
	policy   mail.TLSPolicy
	implicit bool // TLS begins with the first byte
}

// submissions is the port where TLS begins with the first byte (RFC 8314).
const submissions = 465

// policies are the values of the setting "tls".
var policies = map[string]mail.TLSPolicy{"mandatory": mail.TLSMandatory, "opportunistic": mail.TLSOpportunistic, "none": mail.NoTLS}

func newServer(settings emailsettings.SMTP) server {
	policy := policies[settings.TLS] // mandatory if nothing is set
	return server{
		settings: settings, policy: policy,
		implicit: settings.Port == submissions && policy != mail.NoTLS,
	}
}

// currentServer returns the server of the settings.
func currentServer(live *config.Live) *config.Current[server] {
	return config.Pick(live, func(c config.Config) server { return newServer(emailsettings.Section.Of(c).SMTP) })
}

// dial opens a connection that is ready for a message: greeted, encrypted if the settings require it, and logged in.
func (s server) dial(ctx context.Context) (*connection, error) {
	wire, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(s.settings.Host, strconv.Itoa(s.settings.Port)))
	if err != nil {
		return nil, err
	}
	c := &connection{wire: wire}
	defer c.closeWith(ctx)()
	if err := s.begin(ctx, c); err != nil {
		_ = wire.Close() // the library does not close it
		return nil, err
	}
	return c, nil
}

// begin makes the dialogue up to the first message.
func (s server) begin(ctx context.Context, c *connection) error {
	secure, err := config.TLS{CA: s.settings.CA}.Client(s.settings.Host)
	if err != nil {
		return fmt.Errorf("email.smtp.%w", err)
	}
	conn := c.wire
	if s.implicit {
		secured := tls.Client(c.wire, secure)
		if err := secured.HandshakeContext(ctx); err != nil {
			return err
		}
		conn = secured
	}
	client, err := mail.NewClient(s.settings.Host, s.options(conn, secure)...)
	if err != nil {
		return err
	}
	c.client = client
	c.dialogue, err = client.DialToSMTPClientWithContext(ctx)
	return err
}

// options returns the options of one connection. The library's NOOP before a message and RSET after it are switched off. One RSET before the
// next message replaces both. It cannot fail between the server's acceptance of a message and the reading of the reply.
func (s server) options(conn net.Conn, secure *tls.Config) []mail.Option {
	options := []mail.Option{
		mail.WithPort(s.settings.Port), mail.WithTimeout(s.settings.Timeout), mail.WithoutRset(), mail.WithoutNoop(),
		mail.WithDialContextFunc(func(context.Context, string, string) (net.Conn, error) { return conn, nil }),
	}
	auth := mail.SMTPAuthAutoDiscover
	if s.implicit {
		// The library treats a connection that it did not open as unencrypted, and would find no mechanism. PLAIN checks the connection
		// itself.
		auth = mail.SMTPAuthPlain
		options = append(options, mail.WithSSL())
	} else {
		options = append(options, mail.WithTLSPolicy(s.policy), mail.WithTLSConfig(secure))
	}
	if s.settings.Username != "" {
		options = append(options, mail.WithSMTPAuth(auth), mail.WithUsername(s.settings.Username), mail.WithPassword(s.settings.Password))
	}
	return options
}
