package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/smtp"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

// stages makes the exchanges of the service of that name for each input, with the same clients, and does nothing else: it decodes, checks, decides and
// renders nothing. So it shows the least that a notification costs in processes that exchange what ours do.
type stages struct {
	minimum
	js                        jetstream.JetStream
	signing, optOuts, reminds event.Log
	links                     jetstream.KeyValue
	client                    *http.Client
	web, mail                 string // the addresses of the provider and Vonage, and of the mail server
}

const (
	stageWorkers = 16
	payload      = 500 // bytes of an output, as the services' outputs have
)

// runStage works until the program is killed.
func runStage(name, natsURL, redisURL, web, mail string) error {
	ctx := context.Background()
	m, err := newMinimum(natsURL, redisURL)
	if err != nil {
		return err
	}
	js, err := jetstream.New(m.conn)
	if err != nil {
		return err
	}
	s := &stages{
		minimum: *m, js: js, signing: event.Log{JS: js, Stream: flow.Signing}, optOuts: event.Log{JS: js, Stream: "KV_" + flow.OptOuts},
		reminds: event.Log{JS: js, Stream: flow.Remind}, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: stageWorkers}}, web: web, mail: mail,
	}
	if s.links, err = js.KeyValue(ctx, flow.Links); err != nil {
		return err
	}
	consumer, err := js.Consumer(ctx, flow.StageNamed(name).Stream, name)
	if err != nil {
		return err
	}
	inputs := make(chan jetstream.Msg)
	var workers sync.WaitGroup
	for range stageWorkers {
		workers.Go(func() { s.work(ctx, name, inputs) })
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(stageWorkers / 2))
	if err != nil {
		return err
	}
	for {
		msg, err := messages.Next()
		if err != nil {
			return err
		}
		inputs <- msg
	}
}

func (s *stages) work(ctx context.Context, name string, inputs <-chan jetstream.Msg) {
	var mailbox *smtp.Client
	for msg := range inputs {
		document := msg.Subject()[strings.LastIndexByte(msg.Subject(), '.')+1:]
		var err error
		switch name {
		case flow.Enricher:
			err = s.enrich(ctx, document)
		case flow.Shortener:
			err = s.shorten(ctx, document)
		case flow.SMSSender:
			err = s.send(ctx, name, document, func() error { return s.text(ctx, document) })
		case flow.EmailSender:
			err = s.send(ctx, name, document, func() (err error) {
				if mailbox == nil {
					if mailbox, err = smtp.Dial(s.mail); err != nil {
						return err
					}
				}
				return letter(mailbox, document)
			})
		case flow.Reminder:
			err = s.remind(ctx, msg, document)
		}
		if err == nil {
			_ = msg.Ack()
		}
	}
}

func (s *stages) enrich(ctx context.Context, document string) error {
	if err := s.past(ctx, document); err != nil {
		return err
	}
	response, err := s.get(ctx, s.web+"/v1.1/requests/"+document)
	if err != nil {
		return err
	}
	return s.publish(ctx, response,
		signing(event.NotificationRequested, document), signing(event.NotificationRequested, document), flow.LinkSubject("demo", "clickwrap", document))
}

func (s *stages) shorten(ctx context.Context, document string) error {
	code := hex.EncodeToString(fnv.New64a().Sum([]byte(document)))
	if _, err := s.links.Get(ctx, "person."+code); err == nil {
		return nil
	}
	for _, key := range []string{"link." + code, "person." + code} {
		if _, err := s.links.Create(ctx, key, make([]byte, payload)); err != nil {
			return err
		}
	}
	return s.publish(ctx, []byte(document), flow.SendSubject("sms", "demo", "clickwrap", document), flow.SendSubject("email", "demo", "clickwrap", document))
}

func (s *stages) send(ctx context.Context, name, document string, send func() error) error {
	claim := &command{id: name + document}
	if _, err := s.batches.Do(ctx, claim); err != nil {
		return err
	}
	for _, read := range []struct {
		log     event.Log
		subject string
	}{{s.signing, signing(event.DocumentSent, document)}, {s.optOuts, "$KV." + flow.OptOuts + ".person." + document}} {
		if _, err := read.log.Present(ctx, read.subject); err != nil {
			return err
		}
	}
	if _, err := s.batches.Do(ctx, &command{id: "count" + name + document}); err != nil { // a limit
		return err
	}
	if err := send(); err != nil {
		return err
	}
	if _, err := s.batches.Do(ctx, &command{id: claim.id, confirm: true}); err != nil {
		return err
	}
	return s.publish(ctx, []byte(document), signing(event.NotificationSent, document))
}

func (s *stages) text(ctx context.Context, document string) error {
	form := url.Values{"to": {"13175550123"}, "from": {"13175550100"}, "text": {`You've been sent "` + document + `" by PactSafe.`}, "client-ref": {document}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.web+"/sms/json", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	_, err = s.do(request)
	return err
}

func letter(mailbox *smtp.Client, document string) error {
	if err := mailbox.Mail("no-reply@signrelay.example"); err != nil {
		return err
	}
	if err := mailbox.Rcpt(document + "@signer.example"); err != nil {
		return err
	}
	body, err := mailbox.Data()
	if err != nil {
		return err
	}
	if _, err := body.Write(bytes.Repeat([]byte("a line of a letter\r\n"), 100)); err != nil {
		return err
	}
	return body.Close()
}

// remind schedules a reminder for the first message of a person.
func (s *stages) remind(ctx context.Context, msg jetstream.Msg, document string) error {
	if !strings.Contains(msg.Subject(), event.NotificationSent) {
		return nil
	}
	if err := s.past(ctx, document); err != nil {
		return err
	}
	reminder := flow.ReminderSubject("demo", "clickwrap", document, document)
	present, err := s.reminds.Present(ctx, reminder)
	if err != nil || len(present) > 0 {
		return err
	}
	m := &nats.Msg{Subject: reminder, Header: nats.Header{}, Data: make([]byte, payload)}
	flow.Schedule(m, time.Now().Add(time.Hour), flow.DueSubject("demo", "clickwrap", document, document))
	if _, err := s.js.PublishMsg(ctx, m); err != nil {
		return err
	}
	return s.publish(ctx, []byte(document), signing(event.ReminderScheduled, document))
}

// past reads what the log has of a document: which types there are, and the events of the only one.
func (s *stages) past(ctx context.Context, document string) error {
	subjects := make([]string, len(event.PastTypes))
	for i, typ := range event.PastTypes {
		subjects[i] = signing(typ, document)
	}
	if _, err := s.signing.Present(ctx, subjects...); err != nil {
		return err
	}
	for _, err := range s.signing.Messages(ctx, signing(event.DocumentSent, document), time.Time{}) {
		if err != nil {
			return err
		}
	}
	return nil
}

// publish publishes outputs at the same time, and waits until they are stored.
func (s *stages) publish(ctx context.Context, data []byte, subjects ...string) error {
	errs := make(chan error, len(subjects))
	for i, subject := range subjects {
		m := &nats.Msg{Subject: subject, Header: nats.Header{"Nats-Msg-Id": {fmt.Sprint(i, subject)}, "ce-type": {"x"}, "ce-id": {subject}, "ce-source": {"demo"}}}
		m.Data = append(make([]byte, 0, payload+len(data)), make([]byte, payload)...)
		go func() {
			_, err := s.js.PublishMsg(ctx, m)
			errs <- err
		}()
	}
	var err error
	for range subjects {
		if one := <-errs; one != nil {
			err = one
		}
	}
	return err
}

func (s *stages) get(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return s.do(request)
}

func (s *stages) do(request *http.Request) ([]byte, error) {
	response, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	return io.ReadAll(response.Body)
}

func signing(typ, document string) string { return event.SubjectOf("demo", "clickwrap", typ, document) }
