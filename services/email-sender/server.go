package emailsender

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"github.com/wneessen/go-mail"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/notification"
)

// server is the operator's mail server.
type server struct {
	settings config.SMTP
	policy   mail.TLSPolicy
	atOnce   bool // TLS begins with the first byte
	tls      *tls.Config
}

// submissions is the port where TLS begins with the first byte (RFC 8314).
const submissions = 465

// policies is what the setting "tls" means.
var policies = map[string]mail.TLSPolicy{"mandatory": mail.TLSMandatory, "opportunistic": mail.TLSOpportunistic, "none": mail.NoTLS}

func newServer(settings config.SMTP) server {
	policy := policies[settings.TLS] // mandatory, where nothing is set
	return server{
		settings: settings, policy: policy,
		atOnce: settings.Port == submissions && policy != mail.NoTLS,
		tls:    &tls.Config{ServerName: settings.Host, MinVersion: tls.VersionTLS12},
	}
}

// send holds one dialogue of one letter.
func (s server) send(ctx context.Context, letter *mail.Msg) (notification.Receipt, error) {
	if s.settings.Host == "" {
		return notification.Receipt{}, notification.OperatorMustAct("not-configured", errors.New("email.smtp.host is empty"))
	}
	// The end of ctx closes the connection: the library watches ctx only while it dials.
	ctx, cancel := context.WithTimeout(ctx, s.settings.Timeout)
	defer cancel()
	client, err := mail.NewClient(s.settings.Host, s.options(ctx)...)
	if err != nil {
		return notification.Receipt{}, notification.OperatorMustAct("smtp-settings", err)
	}
	err = client.DialAndSendWithContext(ctx, letter)
	return verdict(letter, err)
}

// options of one dialogue. RSET and NOOP are of use on kept connections only, and each could fail after the letter was
// taken.
func (s server) options(ctx context.Context) []mail.Option {
	options := []mail.Option{
		mail.WithPort(s.settings.Port), mail.WithTimeout(s.settings.Timeout), mail.WithoutRset(), mail.WithoutNoop(),
	}
	auth := mail.SMTPAuthAutoDiscover
	if s.atOnce {
		// The library believes a connection that it did not dial to be in the clear, and would discover no mechanism; PLAIN
		// looks at the connection itself.
		auth = mail.SMTPAuthPlain
		options = append(options, mail.WithSSL(), mail.WithDialContextFunc(s.dialTLS(ctx)))
	} else {
		options = append(options, mail.WithTLSPolicy(s.policy), mail.WithTLSConfig(s.tls), mail.WithDialContextFunc(s.dial(ctx)))
	}
	if s.settings.Username != "" {
		options = append(options, mail.WithSMTPAuth(auth), mail.WithUsername(s.settings.Username), mail.WithPassword(s.settings.Password))
	}
	return options
}

// dial returns a dialler whose connections close with the send's ctx. The ctx it is called with ends with the dialling.
func (s server) dial(sending context.Context) mail.DialContextFunc {
	return func(dialling context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(dialling, network, address)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(sending, func() { _ = conn.Close() })
		return conn, nil
	}
}

func (s server) dialTLS(sending context.Context) mail.DialContextFunc {
	dial := s.dial(sending)
	return func(dialling context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(dialling, network, address)
		if err != nil {
			return nil, err
		}
		secured := tls.Client(conn, s.tls)
		if err := secured.HandshakeContext(dialling); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return secured, nil
	}
}
