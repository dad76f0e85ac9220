// Package smssender is the stage that sends one SMS for one notification, through Vonage.
package smssender

import (
	"context"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/templates"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// Run works until ctx ends.
func Run(ctx context.Context, env service.Env) error {
	place := flow.StageNamed(flow.SMSSender)
	texts, err := templates.Open(env.Config.Templates.Dir)
	if err != nil {
		return err
	}
	s := sender{texts: texts, vonage: newVonage(env.Config.SMS.Vonage, place.Workers)}
	return notification.Deliver(ctx, env, place, s.hand)
}

type sender struct {
	texts  *templates.Set
	vonage *vonage
}

// hand sends one notification as one SMS.
func (s sender) hand(ctx context.Context, n *notifyv1.Notification) (notification.Receipt, error) {
	text, err := s.texts.SMS(n)
	if err != nil {
		return notification.Receipt{}, notification.Refused("not-renderable", err)
	}
	a, err := s.vonage.send(ctx, sms{to: n.GetTo().GetMobile(), text: text, reference: n.GetId()})
	if err != nil {
		return notification.Receipt{}, err
	}
	return a.verdict()
}
