package emailsender

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/servicetest"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	emailsettings "github.com/signrelay/signrelay/services/email-sender/settings"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

const (
	// ample is longer than any of these dialogues. brief is the timeout of dialogues that hang.
	ample = 10 * time.Second
	brief = 300 * time.Millisecond
)

func TestMessagesShareConnections(t *testing.T) {
	t.Parallel()
	r := newRobot(t, nil)
	p := r.pool(t, ample)
	const messages = 40
	var all sync.WaitGroup
	for range messages {
		message := newMessage(t)
		all.Go(func() {
			if receipt, err := p.send(t.Context(), message); err != nil || receipt.Reference != "robot" {
				t.Errorf("%v, %v", receipt, err)
			}
		})
	}
	all.Wait()
	if r.messages() != messages || r.most > 2 || r.connections() > 2 {
		t.Errorf("%d messages over %d connections, %d at once", r.messages(), r.connections(), r.most)
	}
	p.close()
	r.await(t, "1 QUIT")
	until(t, "all connections are closed", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.open == 0
	})
}

// When the service ends, it closes its idle connections with QUIT.
func TestTheEndOfTheServiceClosesIdleConnections(t *testing.T) {
	t.Parallel()
	r := newRobot(t, nil)
	cfg := config.Config{}
	*emailsettings.Section.In(&cfg) = emailsettings.Email{From: "no-reply@acme.example", SMTP: r.pool(t, ample).server.Now().settings}
	shortenersettings.Section.In(&cfg).PublicURL = "https://sign.acme.example"
	b := servicetest.New(t, cfg)
	t.Cleanup(func() { // after the service has ended
		r.mu.Lock()
		defer r.mu.Unlock()
		if !slices.Contains(r.received, "1 QUIT") || !slices.Contains(r.received, "1 .") {
			t.Errorf("received %v", r.received)
		}
	})
	b.Start(RunSoon)
	n := &notifyv1.Notification{
		Id: "n1", EventId: "e1", Source: "acme", Provider: "clickwrap", DocumentId: "doc1", Kind: notifyv1.Kind_KIND_VOIDED,
		Channel: notifyv1.Channel_CHANNEL_EMAIL, To: &notifyv1.Person{Email: "eric@reader.example"},
	}
	b.Publish(notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n))
	b.Await(flow.Signing, "signing.v1.*.*.notification.sent.>", 1)
}

func TestMessagesInTurnNeedOneConnection(t *testing.T) {
	t.Parallel()
	r := newRobot(t, nil)
	p := r.pool(t, ample)
	for range 5 {
		if _, err := p.send(t.Context(), newMessage(t)); err != nil {
			t.Fatal(err)
		}
	}
	if r.messages() != 5 || r.connections() != 1 {
		t.Errorf("%d messages over %d connections", r.messages(), r.connections())
	}
}

// The last message's deadline passes while its connection is idle. It does not apply to the next message.
func TestAnIdleConnectionOutlivesItsDeadline(t *testing.T) {
	t.Parallel()
	r := newRobot(t, nil)
	p := r.pool(t, ample)
	if _, err := p.send(t.Context(), newMessage(t)); err != nil {
		t.Fatal(err)
	}
	if err := p.idle[0].dialogue.UpdateDeadline(-time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := p.send(t.Context(), newMessage(t)); err != nil || r.connections() != 1 {
		t.Errorf("%d connections, %v", r.connections(), err)
	}
}

func TestAnIdleConnectionIsClosed(t *testing.T) {
	t.Parallel()
	r := newRobot(t, nil)
	p := r.pool(t, ample)
	p.idleFor = time.Millisecond
	if _, err := p.send(t.Context(), newMessage(t)); err != nil {
		t.Fatal(err)
	}
	r.await(t, "1 QUIT")
	if _, err := p.send(t.Context(), newMessage(t)); err != nil {
		t.Fatal(err)
	}
	if r.messages() != 2 || r.connections() != 2 {
		t.Errorf("%d messages over %d connections", r.messages(), r.connections())
	}
}

// If the server has ended a kept connection, no attempt is lost: the message is sent once, over another connection.
func TestAnEndedConnectionIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]map[string]string{
		"closed while idle":          {"1 .": "250 queued as robot" + thenHangUp},
		"ended at the reset":         {"1 RSET": "421 too many messages" + thenHangUp},
		"refuses the reset":          {"1 RSET": "500 what?"},
		"silent at the reset":        {"1 RSET": noReply},
		"closed at the reset":        {"1 RSET": hangUp},
		"full at the next message":   {},
		"closed at the next message": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRobot(t, script)
			p := r.pool(t, 3*time.Second) // so that a third of the timeout is short
			if _, err := p.send(t.Context(), newMessage(t)); err != nil {
				t.Fatal(err)
			}
			r.mu.Lock()
			switch name {
			case "full at the next message":
				r.script["1 MAIL"] = "421 too many messages" + thenHangUp
			case "closed at the next message":
				r.script["1 MAIL"] = hangUp
			}
			r.mu.Unlock()
			receipt, err := p.send(t.Context(), newMessage(t))
			if err != nil || receipt.Reference != "robot" {
				t.Fatalf("%v, %v", receipt, err)
			}
			if r.messages() != 2 || r.connections() != 2 {
				t.Errorf("%d messages over %d connections: %v", r.messages(), r.connections(), r.received)
			}
		})
	}
}

// decision is the stage's decision about an attempt's error.
type decision struct {
	kind   stage.Kind
	wait   time.Duration // of a retry
	reason string
}

func decisionOf(err error) decision {
	v := stage.Decide(err, 1, flow.StageNamed(flow.EmailSender).Policy)
	return decision{v.Kind, v.Delay, reason(err)}
}

const (
	retried  = 750 * time.Millisecond // the backoff's first second, less its spread
	operator = 45 * time.Second       // the delay of a held message
)

// Each failure of a dialogue, at each of its steps.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		at, reply string
		want      decision
	}{
		{"CONNECT", "421 busy", decision{"retry", retried, "smtp-421"}},
		{"CONNECT", "554 not you", decision{"retry", operator, "smtp-554"}},
		{"CONNECT", "HTTP/1.1 400 Bad Request", decision{"retry", retried, "unreachable"}},
		{"CONNECT", hangUp, decision{"retry", retried, "unreachable"}},
		{"CONNECT", noReply, decision{"retry", retried, "unreachable"}},
		{"EHLO", hangUp, decision{"retry", retried, "unreachable"}},
		{"EHLO", noReply, decision{"retry", retried, "unreachable"}},

		{"MAIL", "451 later", decision{"retry", retried, "smtp-451"}},
		{"MAIL", "421 busy" + thenHangUp, decision{"retry", retried, "smtp-421"}},
		{"MAIL", "530 log in", decision{"retry", operator, "smtp-530"}},
		{"MAIL", "553 that is not your address", decision{"retry", operator, "smtp-553"}},
		{"MAIL", hangUp, decision{"retry", retried, "connection-lost"}},
		{"MAIL", noReply, decision{"retry", retried, "connection-lost"}},

		{"RCPT", "450 come later", decision{"retry", retried, "smtp-450"}},
		{"RCPT", "421 busy" + thenHangUp, decision{"retry", retried, "smtp-421"}},
		{"RCPT", "550 not here", decision{"give-up", 0, "smtp-550"}},
		{"RCPT", "530 log in", decision{"retry", operator, "smtp-530"}},
		{"RCPT", hangUp, decision{"retry", retried, "connection-lost"}},
		{"RCPT", noReply, decision{"retry", retried, "connection-lost"}},

		{"DATA", "451 later", decision{"retry", retried, "smtp-451"}},
		{"DATA", "554 no", decision{"give-up", 0, "smtp-554"}},
		{"DATA", hangUp, decision{"retry", retried, "connection-lost"}},
		{"DATA", noReply, decision{"retry", retried, "connection-lost"}},

		{".", "452 full", decision{"retry", retried, "smtp-452"}},
		{".", "554 spam", decision{"give-up", 0, "smtp-554"}},
		{".", hangUp, decision{"retry", retried, "no-answer"}}, // the reason of an unknown outcome
		{".", noReply, decision{"retry", retried, "no-answer"}},
		{".", "250 queued as robot" + thenHangUp, decision{"done", 0, ""}},
		{"QUIT", noReply, decision{"done", 0, ""}},
	} {
		t.Run(test.at+" "+test.reply, func(t *testing.T) {
			t.Parallel()
			timeout := ample
			if test.reply == noReply {
				timeout = brief
			}
			r := newRobot(t, map[string]string{"1 " + test.at: test.reply})
			p := r.pool(t, timeout)
			if _, err := p.send(t.Context(), newMessage(t)); decisionOf(err) != test.want {
				t.Errorf("%+v, want %+v: %v", decisionOf(err), test.want, err)
			}
			if r.connections() != 1 {
				t.Errorf("%d connections", r.connections())
			}
		})
	}
}

// After the server has received MAIL FROM, a failure counts as an attempt, also on a kept connection. That connection is not used again.
func TestFailuresOnAKeptConnection(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		at, reply string
		want      decision
	}{
		{"MAIL", "451 later", decision{"retry", retried, "smtp-451"}},
		{"RCPT", "450 come later", decision{"retry", retried, "smtp-450"}},
		{"RCPT", "550 not here", decision{"give-up", 0, "smtp-550"}},
		{"RCPT", hangUp, decision{"retry", retried, "connection-lost"}},
		{"DATA", hangUp, decision{"retry", retried, "connection-lost"}},
		{".", hangUp, decision{"retry", retried, "no-answer"}},
	} {
		t.Run(test.at+" "+test.reply, func(t *testing.T) {
			t.Parallel()
			r := newRobot(t, map[string]string{})
			p := r.pool(t, ample)
			if _, err := p.send(t.Context(), newMessage(t)); err != nil {
				t.Fatal(err)
			}
			r.mu.Lock()
			r.script["1 "+test.at] = test.reply
			r.mu.Unlock()
			if _, err := p.send(t.Context(), newMessage(t)); decisionOf(err) != test.want || r.connections() != 1 {
				t.Errorf("%+v, want %+v over %d connections: %v", decisionOf(err), test.want, r.connections(), err)
			}
			if _, err := p.send(t.Context(), newMessage(t)); err != nil || r.connections() != 2 {
				t.Errorf("the next message over %d connections: %v", r.connections(), err)
			}
		})
	}
}

func TestAMessageIsRetriedWhenAllConnectionsAreBusy(t *testing.T) {
	t.Parallel()
	r := newRobot(t, map[string]string{"1 RCPT": noReply, "2 RCPT": noReply})
	p := r.pool(t, ample)
	ctx, cancel := context.WithCancel(t.Context())
	var hanging sync.WaitGroup
	for range cap(p.slots) {
		message := newMessage(t)
		hanging.Go(func() { _, _ = p.send(ctx, message) })
	}
	r.await(t, "1 RCPT")
	r.await(t, "2 RCPT")
	waiting, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	_, err := p.send(waiting, newMessage(t))
	policy := flow.StageNamed(flow.EmailSender).Policy
	if v := stage.Decide(err, policy.MaxAttempts, policy); v.Kind != "retry" || v.Reason != "connections-busy" {
		t.Errorf("%+v: %v", v, err)
	}
	cancel()
	hanging.Wait()
	if _, err := p.send(t.Context(), newMessage(t)); err != nil { // the slots are free again
		t.Error(err)
	}
}

// A wrong password is sent only once, not with each message.
func TestARefusedLoginIsNotRepeated(t *testing.T) {
	t.Parallel()
	r := newRobot(t, map[string]string{"1 CONNECT": "554 not you", "2 CONNECT": "554 not you"})
	p := r.pool(t, ample)
	for range 3 {
		if _, err := p.send(t.Context(), newMessage(t)); decisionOf(err) != (decision{"retry", operator, "smtp-554"}) {
			t.Error(err)
		}
	}
	if r.connections() != 1 {
		t.Errorf("%d connections", r.connections())
	}
	p.until = time.Now() // a minute later
	if _, err := p.send(t.Context(), newMessage(t)); reason(err) != "smtp-554" || r.connections() != 2 {
		t.Errorf("%d connections: %v", r.connections(), err)
	}
	p.until = time.Now()
	if receipt, err := p.send(t.Context(), newMessage(t)); err != nil || receipt == (notification.Receipt{}) {
		t.Error(err)
	}
}

func TestSettingsThatDoNotFitTheServer(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*server){
		"no STARTTLS": func(s *server) { s.settings.TLS = "mandatory" },
		"no login":    func(s *server) { s.settings.Username, s.settings.Password = "acme", "right" },
		"no TLS":      func(s *server) { s.settings.TLS, s.settings.Port = "mandatory", submissions },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRobot(t, nil)
			s := r.pool(t, ample).server.Now()
			change(&s)
			s = newServer(s.settings)
			s.settings.Port = r.port // a test cannot listen on port 465
			_, err := newPool(config.Fixed(s)).send(t.Context(), newMessage(t))
			if decisionOf(err) != (decision{"retry", operator, "smtp-settings"}) || r.messages() != 0 {
				t.Errorf("%+v, %d messages: %v", decisionOf(err), r.messages(), err)
			}
		})
	}
	_, err := newPool(fixed(emailsettings.SMTP{})).send(t.Context(), newMessage(t))
	if decisionOf(err) != (decision{"retry", operator, "not-configured"}) {
		t.Error(err)
	}
}
