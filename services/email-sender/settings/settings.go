// Package emailsettings contains the settings of the e-mail sender.
package emailsettings

import (
	"net"
	"net/mail"
	"strings"
	"time"
	"unicode"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/mailbox"
)

// Email configures the sending of e-mails.
type Email struct {
	From string `yaml:"from"` // "Acme <no-reply@acme.example>"
	SMTP SMTP   `yaml:"smtp"`
}

// Section is the key email.
var Section = &config.Section[Email]{
	Key: "email",
	Default: Email{SMTP: SMTP{
		Port:    587,
		TLS:     "mandatory",
		Timeout: 30 * time.Second,

		EndTimeout:  10 * time.Minute,
		Connections: 4,
	}},
	Check: check,
}

// SMTP is the operator's mail server.
type SMTP struct {
	Host     string        `yaml:"host"`
	Port     int           `yaml:"port"` // default 587
	Username string        `yaml:"username"`
	Password string        `yaml:"password" secret:"true"`
	TLS      string        `yaml:"tls"`                         // mandatory (default), opportunistic, none
	CA       string        `yaml:"ca" file:"true" lines:"true"` // PEM of the CA that signed the server's certificate; empty: the system's CAs
	Timeout  time.Duration `yaml:"timeout"`                     // of each SMTP command; default 30s
	// EndTimeout limits the time for the server's reply to the end of a message, when it scans, stores or relays the message: at most 10m
	// (RFC 5321), the default. A message whose reply times out may have been sent.
	EndTimeout time.Duration `yaml:"end_timeout"`
	// Connections is the number of connections to the server that one replica keeps open; default 4.
	Connections int `yaml:"connections"`
}

func check(c *config.Checker, e Email, _ config.Config) {
	switch {
	case e.SMTP.Host != "" && e.From == "":
		c.Mistake("email.from", `smtp.host is set: set the sender too, as "Acme <no-reply@acme.example>"`)
	case e.From != "":
		from, err := mail.ParseAddress(e.From)
		switch {
		case err != nil:
			c.Mistake("email.from", `want an address such as "Acme <no-reply@acme.example>"`)
		case strings.ContainsFunc(from.Address, func(r rune) bool { return r > unicode.MaxASCII }):
			c.Mistake("email.from", "want an address in ASCII, which every mail server accepts; a domain in its xn-- form")
		case !mailbox.PublicAddress(from.Address):
			c.Mistake("email.from", "want an address at a domain of the internet: mail servers refuse senders at localhost, an IP address or a host without a dot")
		}
	}
	if strings.ContainsAny(e.SMTP.Host, ":/") && net.ParseIP(e.SMTP.Host) == nil {
		c.Mistake("email.smtp.host", "want a name or an IP address alone; the port is smtp.port")
	}
	if e.SMTP.Port < 1 || e.SMTP.Port > 65535 {
		c.Mistake("email.smtp.port", "want a port from 1 to 65535, not %d", e.SMTP.Port)
	}
	switch {
	case e.SMTP.Password != "" && e.SMTP.Username == "":
		c.Mistake("email.smtp.username", "password is set: set the user's name too")
	case e.SMTP.Username != "" && e.SMTP.TLS == "none" && !config.Loopback(e.SMTP.Host):
		c.Mistake("email.smtp.tls", "username is set, and no password is sent without TLS: want mandatory, or no username")
	}
	c.OneOf("email.smtp.tls", e.SMTP.TLS, "mandatory", "opportunistic", "none")
	c.TLS("email.smtp", config.TLS{CA: e.SMTP.CA})
	c.Positive("email.smtp.timeout", int64(e.SMTP.Timeout))
	if d := e.SMTP.EndTimeout; d < e.SMTP.Timeout || d > 10*time.Minute {
		c.Mistake("email.smtp.end_timeout", "want at least email.smtp.timeout (%v) and at most 10m, not %v", e.SMTP.Timeout, d)
	}
	c.Positive("email.smtp.connections", int64(e.SMTP.Connections))
}
