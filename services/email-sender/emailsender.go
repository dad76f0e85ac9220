// Package emailsender is the stage that sends one e-mail for one notification, over SMTP.
package emailsender

import (
	"context"
	"errors"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/templates"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	emailsettings "github.com/signrelay/signrelay/services/email-sender/settings"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// Service is the e-mail sender as a separate program.
var Service = service.Service{
	Name:     flow.EmailSender,
	Run:      Run,
	Check:    check,
	Calls:    []service.Party{service.NATS, service.Redis, service.SMTP},
	Sections: []config.Declared{emailsettings.Section},
	Reads:    []string{"email", "limits", "short-links", "templates", "nats", "redis", "master_key", "log"},
	Secrets:  []string{"email.smtp.password"},
}

// check returns the mistakes that Run would refuse, each source whose locale has no texts, and a missing password. Only this program checks
// the password, because the others may read the file without it.
func check(c config.Config) error {
	unrendered := templates.Check(c)
	_, unlinked := newLinks(c)
	err := errors.Join(unrendered, unlinked)
	if smtp := emailsettings.Section.Of(c).SMTP; smtp.Username != "" && smtp.Password == "" {
		err = errors.Join(err, errors.New("email.smtp.password: username is set: set the password too"))
	}
	return err
}

// newLinks returns the links that a message may contain.
func newLinks(c config.Config) (notification.Links, error) {
	s := shortenersettings.Section.Of(c)
	return notification.NewLinks(s.PublicURL, s.Domain())
}

// Run works until ctx ends.
func Run(ctx context.Context, env service.Env) error {
	return run(ctx, env, flow.StageNamed(flow.EmailSender))
}

func run(ctx context.Context, env service.Env, place flow.Stage) error {
	texts, err := templates.Open(env.Config.Templates.Dir)
	if err != nil {
		return err
	}
	links, err := newLinks(env.Config)
	if err != nil {
		return err
	}
	connections := newPool(currentServer(env.Live))
	defer connections.close()
	s := sender{texts: texts, from: emailsettings.Section.Of(env.Config).From, pool: connections}
	deliver := notification.Sender{Send: s.send, Compose: s.composed, Links: links, Vendor: "smtp", Settings: func() any { return connections.server.Now().settings }}
	return deliver.Deliver(ctx, env, place)
}

type sender struct {
	texts *templates.Set
	from  string
	pool  *pool
}

// send sends one notification as one message to one recipient.
func (s sender) send(ctx context.Context, n *notifyv1.Notification) (notification.Receipt, error) {
	message, composed, err := compose(s.texts, s.from, n)
	if err != nil {
		return notification.Receipt{}, err
	}
	receipt, err := s.pool.send(ctx, message)
	receipt.Composed = composed
	return receipt, err
}

// composed composes the message for the log once more.
func (s sender) composed(n *notifyv1.Notification) (notification.Composed, error) {
	subject, text, _, err := s.texts.Email(n)
	return notification.Composed{Text: text, Subject: subject, Template: s.texts.Version(n)}, err
}
