package smssender

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nyaruka/phonenumbers"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/crash"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/optout"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/sms-sender/gateway"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

// replies handles the texts that people send. Each text has an event, and STOP, START and HELP have a response.
//
// The steps of a text are: store the wish, so that no more texts leave; store the event; store the response; record that the text is done. A
// text that is repeated after a crash continues with the same ids. A text that is done changes nothing.
type replies struct {
	texts    inboundTexts
	optOuts  optout.Store
	last     lastTexts
	js       jetstream.JetStream
	log      event.Log // SIGNING
	sources  []config.Source
	settings *config.Current[smssettings.OptOut]
	vendor   string
	metrics  metrics
	now      func() time.Time
}

// reply is a text on its way through the steps.
type reply struct {
	gateway.InboundText
	inboundRecord
	number  string // in E.164 format
	source  config.Source
	meaning smssettings.Meaning
	word    string
	late    bool // the text is older than the time for which the vendor repeats texts, so another party sends it
}

// handle returns the result when everything that follows from the text is stored.
func (p replies) handle(ctx context.Context, source string, t gateway.InboundText) (result string, err error) {
	number, ok := e164(t.From)
	if !ok {
		return inboundIgnored, nil
	}
	if t.Parts > 1 {
		whole, complete, err := p.texts.join(ctx, number, t)
		if err != nil || !complete {
			return inboundPart, err
		}
		t = whole
	}
	r := reply{InboundText: t, number: number, late: p.now().Sub(t.At) > flow.RememberInbound}
	r.meaning, r.word = p.settings.Now().Meaning(t.Text)
	if r.late && r.meaning != smssettings.Stop {
		return inboundOutdated, nil
	}
	about, err := p.about(ctx, number, source)
	if err != nil {
		return "", err
	}
	if r.inboundRecord, err = p.texts.begin(ctx, t.ID, about); err != nil {
		return "", err
	}
	if r.Done {
		return inboundRepeated, nil
	}
	r.source = p.settingsOf(r.lastText)
	if result, err = p.follow(ctx, r); err != nil {
		return "", err
	}
	crash.Point("replied")
	return result, p.texts.done(ctx, r.inboundRecord)
}

// about returns the last text to the number, or else the source in the path.
func (p replies) about(ctx context.Context, number, source string) (lastText, error) {
	last, found, err := p.last.to(ctx, number)
	if err != nil || found {
		return last, err
	}
	for _, s := range p.sources {
		if s.Name == source {
			return lastText{Source: s.Name, Provider: s.Provider}, nil
		}
	}
	return lastText{}, errors.New("the settings have no source for the path of a text")
}

// settingsOf returns the source of a text. The settings may not have it any more.
func (p replies) settingsOf(about lastText) config.Source {
	for _, s := range p.sources {
		if s.Name == about.Source && s.Provider == about.Provider {
			return s
		}
	}
	return config.Source{Name: about.Source, Provider: about.Provider}
}

// follow stores everything that follows from a text.
func (p replies) follow(ctx context.Context, r reply) (result string, err error) {
	if r.meaning == smssettings.Help || r.meaning == smssettings.Other {
		e := p.event(r, event.RecipientReplied)
		if r.meaning == smssettings.Other && p.settings.Now().KeepReplies {
			e.Attributes["text"] = r.Text
		}
		if err := p.publish(ctx, r, e); err != nil || r.meaning == smssettings.Other {
			return inboundRecorded, err
		}
		return inboundRecorded, p.respond(ctx, r, e, notifyv1.Kind_KIND_HELP)
	}
	typ, kind := event.RecipientOptedOut, notifyv1.Kind_KIND_STOPPED
	if r.meaning == smssettings.Start {
		typ, kind = event.RecipientOptedIn, notifyv1.Kind_KIND_STARTED
	}
	scope := p.settings.Now().Scope
	here, also := optout.Number(r.number, r.Source), optout.Number(r.number, "")
	if scope == smssettings.OfInstallation {
		here, also = also, here
	}
	changed, err := p.optOuts.Change(ctx, optout.State{Out: r.meaning == smssettings.Stop, At: r.At.UTC(), Message: r.ID}, here, also)
	if err != nil {
		return "", err
	}
	if changed == optout.Outdated {
		return inboundOutdated, nil
	}
	crash.Point("opted")
	e := p.event(r, typ)
	e.Attributes["scope"] = scope
	if err := p.publish(ctx, r, e); err != nil || changed != optout.Changed || r.late {
		return inboundRecorded, err
	}
	return inboundRecorded, p.respond(ctx, r, e, kind)
}

// event returns the event of a text. Its id depends on the vendor's id of the text.
func (p replies) event(r reply, typ string) *signingv1.SigningEvent {
	e := &signingv1.SigningEvent{
		Source: r.Source, Provider: r.Provider, Type: typ, OccurredAt: timestamppb.New(r.At), Verification: signingv1.Verification_VERIFICATION_INTERNAL,
		Recipient:  &signingv1.Recipient{Id: r.Recipient, Mobile: r.number, Method: "sms"},
		Attributes: map[string]string{"channel": event.ChannelName(event.SMS), "message": r.ID},
	}
	if r.Document != "" {
		e.Document = &signingv1.Document{Id: r.Document}
	}
	if r.word != "" {
		e.Attributes["word"] = r.word
	}
	e.Id = event.OccurrenceID(e, "inbound", p.vendor, r.ID)
	return e
}

// clockSkew is the largest expected difference between the vendor's clock and the broker's.
const clockSkew = time.Hour

// publish stores an event, once. For a text that is repeated, the stream may have forgotten the event's id, so the log is asked.
func (p replies) publish(ctx context.Context, r reply, e *signingv1.SigningEvent) error {
	since := r.begun.Add(-clockSkew)
	if r.late { // the record of the first request may have expired
		since = r.At.Add(-clockSkew)
	}
	if r.repeated || r.late {
		stored, err := p.log.Which(ctx, event.Subject(e), event.Span{Since: since}, e.GetId())
		if err != nil || stored[e.GetId()] {
			return err
		}
	}
	m, err := event.Message(ctx, e)
	if err != nil {
		return err
	}
	ack, err := p.js.PublishMsg(ctx, m)
	if err != nil {
		return fmt.Errorf("store the event of a text: %w", err)
	}
	if !ack.Duplicate {
		p.count(r, e)
	}
	return nil
}

func (p replies) count(r reply, e *signingv1.SigningEvent) {
	switch {
	case e.GetType() == event.RecipientOptedOut, e.GetType() == event.RecipientOptedIn:
		p.metrics.wishes.Count(e.GetType() == event.RecipientOptedOut, e.GetSource(), e.GetProvider())
	case r.meaning == smssettings.Other:
		p.metrics.replies.WithLabelValues(e.GetSource(), e.GetProvider(), strconv.FormatBool(p.settings.Now().AlertReplies)).Inc()
	}
}

// respond stores the response to a text, for the sender of texts: at most one of a kind to a number within 10 minutes.
func (p replies) respond(ctx context.Context, r reply, cause *signingv1.SigningEvent, kind notifyv1.Kind) error {
	name := event.KindName(kind)
	may, err := p.texts.mayRespond(ctx, name, r.number, r.ID, p.now())
	if err != nil || !may {
		return err
	}
	n := &notifyv1.Notification{
		Id: event.DerivedID(cause.GetId(), flow.SMSSender, "reply/"+name), EventId: cause.GetId(), Source: r.Source, Provider: r.Provider, DocumentId: r.Document,
		Kind: kind, Channel: event.SMS, To: &notifyv1.Person{RecipientId: r.Recipient, Mobile: r.number},
		SenderName: r.source.SenderName, Locale: localeOf(r.lastText, r.source.Locale), OccurredAt: timestamppb.New(r.At),
		RecordedAt: timestamppb.New(r.begun), EventSubject: event.Subject(cause), EventStoredAt: timestamppb.New(r.begun),
		KeepText: r.source.Keeps(config.KeepTexts),
	}
	requested := notification.Requested(n, flow.SMSSender, p.now())
	request, err := event.Message(ctx, requested)
	if err != nil {
		return err
	}
	m, err := notification.Message(ctx, notification.SendSubject(n), n.GetId(), n)
	if err != nil {
		return err
	}
	if r.repeated {
		stored, err := p.log.Which(ctx, request.Subject, event.Span{Since: r.begun.Add(-clockSkew)}, requested.GetId())
		if err != nil {
			return err
		}
		if stored[requested.GetId()] { // it is published after the message, so the message is stored too
			return nil
		}
	}
	if _, err := p.js.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("store the response to a text: %w", err)
	}
	if _, err := p.js.PublishMsg(ctx, request); err != nil {
		return fmt.Errorf("store the event of a response: %w", err)
	}
	return nil
}

// digits matches a number with its country code, as vendors write it. A sender with a name, or a short code, is no person.
var digits = regexp.MustCompile(`^\+?[1-9][0-9]{6,14}$`)

// e164 returns a number in E.164 format. The parser's error would quote the number.
func e164(text string) (string, bool) {
	if !digits.MatchString(text) {
		return "", false
	}
	if text[0] != '+' {
		text = "+" + text
	}
	number, err := phonenumbers.Parse(text, "")
	if err != nil {
		return "", false
	}
	return phonenumbers.Format(number, phonenumbers.E164), true
}
