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
	// ample is longer than any of these dialogues takes, and brief is for those that hang.
	ample = 10 * time.Second
	brief = 300 * time.Millisecond
)

func TestLettersShareConnections(t *testing.T) {
	t.Parallel()
	r := newRobot(t, nil)
	p := r.pool(t, ample)
	const letters = 40
	var all sync.WaitGroup
	for range letters {
		letter := aLetter(t)
		all.Go(func() {
			if receipt, err := p.send(t.Context(), letter); err != nil || receipt.Reference != "robot" {
				t.Errorf("%v, %v", receipt, err)
			}
		})
	}
	all.Wait()
	if r.letters() != letters || r.most > 2 || r.connections() > 2 {
		t.Errorf("%d letters over %d connections, %d at once", r.letters(), r.connections(), r.most)
	}
	p.close()
	r.await(t, "1 QUIT")
	until(t, "the end of all connections", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.open == 0
	})
}

// The service's own end: what it kept open is closed with a word to the server.
func TestTheEndOfTheServiceTakesLeave(t *testing.T) {
	t.Parallel()
	r := newRobot(t, nil)
	cfg := config.Config{}
	*emailsettings.Section.In(&cfg) = emailsettings.Email{From: "no-reply@acme.example", SMTP: r.pool(t, ample).server.Now().settings}
	shortenersettings.Section.In(&cfg).PublicURL = "https://sign.acme.example"
	b := servicetest.New(t, cfg)
	t.Cleanup(func() { // after the service has ended
		r.mu.Lock()
		defer r.mu.Unlock()
		if !slices.Contains(r.heard, "1 QUIT") || !slices.Contains(r.heard, "1 .") {
			t.Errorf("heard %v", r.heard)
		}
	})
	b.Start(Run)
	n := &notifyv1.Notification{
		Id: "n1", EventId: "e1", Source: "acme", Provider: "clickwrap", DocumentId: "doc1", Kind: notifyv1.Kind_KIND_VOIDED,
		Channel: notifyv1.Channel_CHANNEL_EMAIL, To: &notifyv1.Person{Email: "eric@reader.example"},
	}
	b.Publish(notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n))
	b.Await(flow.Signing, "signing.v1.*.*.notification.sent.>", 1)
}

func TestOneLetterAfterTheOtherNeedsOneConnection(t *testing.T) {
	t.Parallel()
	r := newRobot(t, nil)
	p := r.pool(t, ample)
	for range 5 {
		if _, err := p.send(t.Context(), aLetter(t)); err != nil {
			t.Fatal(err)
		}
	}
	if r.letters() != 5 || r.connections() != 1 {
		t.Errorf("%d letters over %d connections", r.letters(), r.connections())
	}
}

// The last letter's deadline passes while its connection is idle, and is not the next one's.
func TestAnIdleConnectionOutlivesItsDeadline(t *testing.T) {
	t.Parallel()
	r := newRobot(t, nil)
	p := r.pool(t, ample)
	if _, err := p.send(t.Context(), aLetter(t)); err != nil {
		t.Fatal(err)
	}
	if err := p.idle[0].dialogue.UpdateDeadline(-time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := p.send(t.Context(), aLetter(t)); err != nil || r.connections() != 1 {
		t.Errorf("%d connections, %v", r.connections(), err)
	}
}

func TestAnIdleConnectionIsClosed(t *testing.T) {
	t.Parallel()
	r := newRobot(t, nil)
	p := r.pool(t, ample)
	p.idleFor = time.Millisecond
	if _, err := p.send(t.Context(), aLetter(t)); err != nil {
		t.Fatal(err)
	}
	r.await(t, "1 QUIT")
	if _, err := p.send(t.Context(), aLetter(t)); err != nil {
		t.Fatal(err)
	}
	if r.letters() != 2 || r.connections() != 2 {
		t.Errorf("%d letters over %d connections", r.letters(), r.connections())
	}
}

// A kept connection that turns out to be ended costs no attempt: the letter goes once, over another.
func TestAnEndedConnectionIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]map[string]string{
		"closed while idle":       {"1 .": "250 queued as robot" + thenHangUp},
		"ended at the reset":      {"1 RSET": "421 too many letters" + thenHangUp},
		"refuses the reset":       {"1 RSET": "500 what?"},
		"silent at the reset":     {"1 RSET": saysNothing},
		"gone at the reset":       {"1 RSET": hangUp},
		"full at the next letter": {},
		"gone at the next letter": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRobot(t, script)
			p := r.pool(t, 3*time.Second) // so that a third of it is short
			if _, err := p.send(t.Context(), aLetter(t)); err != nil {
				t.Fatal(err)
			}
			r.mu.Lock()
			switch name {
			case "full at the next letter":
				r.script["1 MAIL"] = "421 too many letters" + thenHangUp
			case "gone at the next letter":
				r.script["1 MAIL"] = hangUp
			}
			r.mu.Unlock()
			receipt, err := p.send(t.Context(), aLetter(t))
			if err != nil || receipt.Reference != "robot" {
				t.Fatalf("%v, %v", receipt, err)
			}
			if r.letters() != 2 || r.connections() != 2 {
				t.Errorf("%d letters over %d connections: %v", r.letters(), r.connections(), r.heard)
			}
		})
	}
}

// settledAs is what an attempt's error makes of its letter.
type settledAs struct {
	kind   stage.Kind
	wait   time.Duration // of a retry
	reason string
}

func outcomeOf(err error) settledAs {
	v := stage.Decide(err, 1, flow.StageNamed(flow.EmailSender).Policy)
	return settledAs{v.Kind, v.Delay, reason(err)}
}

const (
	retried  = 750 * time.Millisecond // the back-off's first second, less its spread
	operator = 45 * time.Second       // the delay of a held message
)

// Each way in which a dialogue can go wrong, at each of its steps.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		at, answer string
		want       settledAs
	}{
		{"CONNECT", "421 busy", settledAs{"retry", retried, "smtp-421"}},
		{"CONNECT", "554 not you", settledAs{"retry", operator, "smtp-554"}},
		{"CONNECT", "HTTP/1.1 400 Bad Request", settledAs{"retry", retried, "unreachable"}},
		{"CONNECT", hangUp, settledAs{"retry", retried, "unreachable"}},
		{"CONNECT", saysNothing, settledAs{"retry", retried, "unreachable"}},
		{"EHLO", hangUp, settledAs{"retry", retried, "unreachable"}},
		{"EHLO", saysNothing, settledAs{"retry", retried, "unreachable"}},

		{"MAIL", "451 later", settledAs{"retry", retried, "smtp-451"}},
		{"MAIL", "421 busy" + thenHangUp, settledAs{"retry", retried, "smtp-421"}},
		{"MAIL", "530 log in", settledAs{"retry", operator, "smtp-530"}},
		{"MAIL", "553 that is not your address", settledAs{"retry", operator, "smtp-553"}},
		{"MAIL", hangUp, settledAs{"retry", retried, "connection-lost"}},
		{"MAIL", saysNothing, settledAs{"retry", retried, "connection-lost"}},

		{"RCPT", "450 come later", settledAs{"retry", retried, "smtp-450"}},
		{"RCPT", "421 busy" + thenHangUp, settledAs{"retry", retried, "smtp-421"}},
		{"RCPT", "550 nobody", settledAs{"give-up", 0, "smtp-550"}},
		{"RCPT", "530 log in", settledAs{"retry", operator, "smtp-530"}},
		{"RCPT", hangUp, settledAs{"retry", retried, "connection-lost"}},
		{"RCPT", saysNothing, settledAs{"retry", retried, "connection-lost"}},

		{"DATA", "451 later", settledAs{"retry", retried, "smtp-451"}},
		{"DATA", "554 no", settledAs{"give-up", 0, "smtp-554"}},
		{"DATA", hangUp, settledAs{"retry", retried, "connection-lost"}},
		{"DATA", saysNothing, settledAs{"retry", retried, "connection-lost"}},

		{".", "452 full", settledAs{"retry", retried, "smtp-452"}},
		{".", "554 spam", settledAs{"give-up", 0, "smtp-554"}},
		{".", hangUp, settledAs{"retry", retried, "no-answer"}}, // which is the reason of what is unknown
		{".", saysNothing, settledAs{"retry", retried, "no-answer"}},
		{".", "250 queued as robot" + thenHangUp, settledAs{"done", 0, ""}},
		{"QUIT", saysNothing, settledAs{"done", 0, ""}},
	} {
		t.Run(test.at+" "+test.answer, func(t *testing.T) {
			t.Parallel()
			timeout := ample
			if test.answer == saysNothing {
				timeout = brief
			}
			r := newRobot(t, map[string]string{"1 " + test.at: test.answer})
			p := r.pool(t, timeout)
			if _, err := p.send(t.Context(), aLetter(t)); outcomeOf(err) != test.want {
				t.Errorf("%+v, want %+v: %v", outcomeOf(err), test.want, err)
			}
			if r.connections() != 1 {
				t.Errorf("%d connections", r.connections())
			}
		})
	}
}

// Once the server knows of a letter, trouble is an attempt of its own, also on a kept connection, which is not used again.
func TestTroubleOnAKeptConnection(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		at, answer string
		want       settledAs
	}{
		{"MAIL", "451 later", settledAs{"retry", retried, "smtp-451"}},
		{"RCPT", "450 come later", settledAs{"retry", retried, "smtp-450"}},
		{"RCPT", "550 nobody", settledAs{"give-up", 0, "smtp-550"}},
		{"RCPT", hangUp, settledAs{"retry", retried, "connection-lost"}},
		{"DATA", hangUp, settledAs{"retry", retried, "connection-lost"}},
		{".", hangUp, settledAs{"retry", retried, "no-answer"}},
	} {
		t.Run(test.at+" "+test.answer, func(t *testing.T) {
			t.Parallel()
			r := newRobot(t, map[string]string{})
			p := r.pool(t, ample)
			if _, err := p.send(t.Context(), aLetter(t)); err != nil {
				t.Fatal(err)
			}
			r.mu.Lock()
			r.script["1 "+test.at] = test.answer
			r.mu.Unlock()
			if _, err := p.send(t.Context(), aLetter(t)); outcomeOf(err) != test.want || r.connections() != 1 {
				t.Errorf("%+v, want %+v over %d connections: %v", outcomeOf(err), test.want, r.connections(), err)
			}
			if _, err := p.send(t.Context(), aLetter(t)); err != nil || r.connections() != 2 {
				t.Errorf("the next letter over %d connections: %v", r.connections(), err)
			}
		})
	}
}

func TestALetterThatFindsAllConnectionsBusyComesAgain(t *testing.T) {
	t.Parallel()
	r := newRobot(t, map[string]string{"1 RCPT": saysNothing, "2 RCPT": saysNothing})
	p := r.pool(t, ample)
	ctx, cancel := context.WithCancel(t.Context())
	var hanging sync.WaitGroup
	for range cap(p.places) {
		letter := aLetter(t)
		hanging.Go(func() { _, _ = p.send(ctx, letter) })
	}
	r.await(t, "1 RCPT")
	r.await(t, "2 RCPT")
	waiting, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	_, err := p.send(waiting, aLetter(t))
	policy := flow.StageNamed(flow.EmailSender).Policy
	if v := stage.Decide(err, policy.MaxAttempts, policy); v.Kind != "retry" || v.Reason != "connections-busy" {
		t.Errorf("%+v: %v", v, err)
	}
	cancel()
	hanging.Wait()
	if _, err := p.send(t.Context(), aLetter(t)); err != nil { // the places are free again
		t.Error(err)
	}
}

// A wrong password is told once, not once a letter.
func TestARefusalIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	r := newRobot(t, map[string]string{"1 CONNECT": "554 not you", "2 CONNECT": "554 not you"})
	p := r.pool(t, ample)
	for range 3 {
		if _, err := p.send(t.Context(), aLetter(t)); outcomeOf(err) != (settledAs{"retry", operator, "smtp-554"}) {
			t.Error(err)
		}
	}
	if r.connections() != 1 {
		t.Errorf("asked %d times", r.connections())
	}
	p.until = time.Now() // a minute later
	if _, err := p.send(t.Context(), aLetter(t)); reason(err) != "smtp-554" || r.connections() != 2 {
		t.Errorf("asked %d times: %v", r.connections(), err)
	}
	p.until = time.Now()
	if receipt, err := p.send(t.Context(), aLetter(t)); err != nil || receipt == (notification.Receipt{}) {
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
			s.settings.Port = r.port // port 465 is not a test's to take
			_, err := newPool(config.Fixed(s)).send(t.Context(), aLetter(t))
			if outcomeOf(err) != (settledAs{"retry", operator, "smtp-settings"}) || r.letters() != 0 {
				t.Errorf("%+v, %d letters: %v", outcomeOf(err), r.letters(), err)
			}
		})
	}
	_, err := newPool(fixed(emailsettings.SMTP{})).send(t.Context(), aLetter(t))
	if outcomeOf(err) != (settledAs{"retry", operator, "not-configured"}) {
		t.Error(err)
	}
}
