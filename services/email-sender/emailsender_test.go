package emailsender_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	netmail "net/mail"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/servicetest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	emailsender "github.com/signrelay/signrelay/services/email-sender"
	emailsettings "github.com/signrelay/signrelay/services/email-sender/settings"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// mailServer is a real mail server. The recipient's name, the part before the @, selects its rules for a message.
type mailServer struct {
	port int

	mu       sync.Mutex
	rules    map[string][]rule // for the messages in their order, then always the last one
	messages map[string][]message
	seen     map[string]int
}

// rule is the reaction to one message: at RCPT, or after its last line.
type rule struct {
	rcpt, data func(*smtp.Conn) error // nil accepts it
}

type message struct {
	from, to string
	body     []byte
}

func newMailServer(t *testing.T, changes ...func(*smtp.Server)) *mailServer {
	t.Helper()
	p := &mailServer{rules: map[string][]rule{}, messages: map[string][]message{}, seen: map[string]int{}}
	server := smtp.NewServer(p)
	server.Domain = "mail.example"
	for _, change := range changes {
		change(server)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, text, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if p.port, err = strconv.Atoi(text); err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		_ = listener.Close() // the server closes the listener only if it has begun to serve
		<-served
	})
	return p
}

func (p *mailServer) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &dialogue{server: p, conn: c}, nil
}

func (p *mailServer) got(name string) []message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.messages[name]
}

type dialogue struct {
	server   *mailServer
	conn     *smtp.Conn
	from, to string
	rule     rule
}

func (d *dialogue) Reset()        {}
func (d *dialogue) Logout() error { return nil }

func (d *dialogue) Mail(from string, _ *smtp.MailOptions) error {
	d.from = from
	return nil
}

func (d *dialogue) Rcpt(to string, _ *smtp.RcptOptions) error {
	d.to, _, _ = strings.Cut(to, "@")
	d.rule = d.server.next(d.to)
	if d.rule.rcpt != nil {
		return d.rule.rcpt(d.conn)
	}
	return nil
}

func (p *mailServer) next(name string) rule {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[name]++
	if rules := p.rules[name]; len(rules) > 0 {
		return rules[min(p.seen[name], len(rules))-1]
	}
	return rule{}
}

func (d *dialogue) Data(r io.Reader) error {
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	d.server.mu.Lock()
	d.server.messages[d.to] = append(d.server.messages[d.to], message{from: d.from, to: d.to, body: body})
	d.server.mu.Unlock()
	if d.rule.data != nil {
		return d.rule.data(d.conn)
	}
	return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "Ok: queued as 4XyZ12"}
}

func responds(code int, text string) func(*smtp.Conn) error {
	return func(*smtp.Conn) error {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: text}
	}
}

// drops closes the connection without a reply.
func drops(c *smtp.Conn) error { return c.Conn().Close() }

// hangs does not reply until the sender disconnects.
func hangs(c *smtp.Conn) error {
	_, err := c.Conn().Read(make([]byte, 1))
	return err
}

func settings(p *mailServer) config.Config {
	var cfg config.Config
	*emailsettings.Section.In(&cfg) = emailsettings.Email{
		From: "Acme Documents <no-reply@acme.example>",
		// One connection for each worker of the stage, so that no message waits for another dialogue.
		SMTP: emailsettings.SMTP{Host: "127.0.0.1", Port: p.port, TLS: "none", Timeout: time.Second, EndTimeout: time.Second, Connections: 8},
	}
	shortenersettings.Section.In(&cfg).PublicURL = "https://sign.acme.example"
	return cfg
}

// invitation returns one to <id>@reader.example.
func invitation(id string) *notifyv1.Notification {
	return &notifyv1.Notification{
		Id: id, EventId: "the-event", Source: "acme", Provider: "clickwrap", DocumentId: "doc1",
		DocumentTitle: "Prüfung & \"Vertrag\"", SenderName: "PactSafe", Locale: "en",
		Kind: notifyv1.Kind_KIND_INVITATION, Channel: notifyv1.Channel_CHANNEL_EMAIL,
		To:   &notifyv1.Person{RecipientId: "s1", FirstName: "Eric", Email: id + "@reader.example"},
		Link: &notifyv1.Link{Target: "https://provider.example/secret", Short: "https://sign.acme.example/l/abc"},
	}
}

func publish(t *testing.T, b *servicetest.Bench, n *notifyv1.Notification) {
	t.Helper()
	b.Publish(notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n))
}

func decode(t *testing.T, m jetstream.Msg) *signingv1.SigningEvent {
	t.Helper()
	e, err := event.Decode(m.Data())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestOneEmailAndItsEvent(t *testing.T) {
	t.Parallel()
	p := newMailServer(t)
	b := servicetest.New(t, settings(p))
	b.Start(emailsender.RunSoon)
	const id = "0123456789abcdefghijklmnop"
	publish(t, b, invitation(id))

	m := b.Await(flow.Signing, "signing.v1.*.*.notification.>", 1)[0]
	e := decode(t, m)
	want := &signingv1.Notice{NotificationId: id, Kind: "invitation", Channel: "email", Reference: "4XyZ12", Parts: 1, EventId: "the-event"}
	want.Template = e.GetNotice().GetTemplate()
	if m.Subject() != "signing.v1.acme.clickwrap.notification.sent.doc1" || e.GetNotice().String() != want.String() ||
		e.GetId() != event.DerivedID(id, "email-sender", "sent") || m.Headers().Get("Nats-Msg-Id") != e.GetId() {
		t.Errorf("%s: %v", m.Subject(), e)
	}

	messages := p.got(id)
	if len(messages) != 1 || messages[0].from != "no-reply@acme.example" {
		t.Fatalf("messages %v", messages)
	}
	got, err := netmail.ReadMessage(bytes.NewReader(messages[0].body))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
	if err != nil || subject != `Please review & sign "Prüfung & "Vertrag""` {
		t.Errorf("subject %q, %v", subject, err)
	}
	if got.Header.Get("Message-Id") != "<"+id+"@acme.example>" || got.Header.Get("To") != "<"+id+"@reader.example>" ||
		got.Header.Get("From") != `"Acme Documents" <no-reply@acme.example>` || got.Header.Get("Auto-Submitted") != "auto-generated" {
		t.Errorf("header %v", got.Header)
	}
	_, params, err := mime.ParseMediaType(got.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(got.Body, params["boundary"])
	for _, want := range []struct{ contentType, text string }{
		{"text/plain", "https://sign.acme.example/l/abc"}, {"text/html", `<a href="https://sign.acme.example/l/abc"`},
	} {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(part)
		if err != nil || !strings.HasPrefix(part.Header.Get("Content-Type"), want.contentType) ||
			!strings.Contains(string(text), want.text) || strings.Contains(string(text), "provider.example") {
			t.Errorf("part %v: %s, %v", part.Header, text, err)
		}
	}
	b.NeverLogged("reader.example", "sign.acme.example", "Vertrag")
}

// The log has what was sent, if the source's settings keep it: subject and text without the code of its link, and its template.
func TestTheLogKeepsWhatWasSent(t *testing.T) {
	t.Parallel()
	p := newMailServer(t)
	b := servicetest.New(t, settings(p))
	b.Start(emailsender.RunSoon)
	const code = "AbCdEfGhIjKlMne"
	for i, keep := range []bool{true, false} {
		n := invitation(fmt.Sprintf("%d123456789abcdefghijklmnop", i))
		n.KeepText, n.Link.Short = keep, "https://sign.acme.example/l/"+code
		publish(t, b, n)
	}
	for _, m := range b.Await(flow.Signing, "signing.v1.*.*.notification.sent.>", 2) {
		got, kept := decode(t, m).GetNotice(), false
		if got.GetNotificationId()[0] == '0' {
			kept = true
		}
		if strings.Contains(got.GetText(), "https://sign.acme.example/l/…") != kept || (got.GetSubject() == `Please review & sign "Prüfung & "Vertrag""`) != kept ||
			!strings.HasPrefix(got.GetTemplate(), "en/invitation.email@") || got.GetPrice() != "" {
			t.Errorf("%v", got)
		}
		if strings.Contains(string(m.Data()), code) {
			t.Error("the link's code is in the log")
		}
	}
	b.NeverLogged(code, "Vertrag")
}

// Each possible end of a dialogue on the wire, and the state of its claim: confirmed (the message was accepted), undone (it certainly was not
// accepted), or unknown. An accepted message comes between them, so that the circuit stays closed.
func TestDialogues(t *testing.T) {
	t.Parallel()
	p := newMailServer(t)
	b := servicetest.New(t, settings(p))
	ends := b.RecordEnds()
	want := map[string]string{}
	add := func(name, how string, r rule) {
		p.rules[name] = []rule{r, {}}
		want[name] = how
	}
	add("taken", "confirmed", rule{})
	add("taken-and-gone", "confirmed", rule{data: func(c *smtp.Conn) error { // the 250 arrives, but not the reply to QUIT
		_, err := c.Conn().Write([]byte("250 2.0.0 queued as gone\r\n"))
		return errors.Join(err, c.Conn().Close())
	}})
	add("greylisted", "undone", rule{rcpt: responds(451, "come later, greylisted@reader.example")})
	add("no-such-user", "undone", rule{rcpt: responds(550, "no-such-user@reader.example is unknown")})
	add("dropped-at-rcpt", "undone", rule{rcpt: drops})
	add("hangs-at-rcpt", "undone", rule{rcpt: hangs})
	add("full", "undone", rule{data: responds(452, "mailbox full")})
	add("spam", "undone", rule{data: responds(554, "spam")})
	add("dropped", "unknown", rule{data: drops})
	add("hangs-at-the-end", "unknown", rule{data: hangs})
	b.Start(emailsender.RunSoon)
	for name, how := range want {
		publish(t, b, invitation(name))
		if got := ends.Of(t, name); got != how {
			t.Errorf("%s ended %s, want %s", name, got, how)
		}
		publish(t, b, invitation("after-"+name))
		if got := ends.Of(t, "after-"+name); got != "confirmed" {
			t.Errorf("the outcome of the message after %s is %s", name, got)
		}
	}
	b.NeverLogged("reader.example", "sign.acme.example")

	reasons := map[string]string{}
	for _, m := range b.Await(flow.Signing, "signing.v1.*.*.notification.failed.>", 2) {
		notice := decode(t, m).GetNotice()
		reasons[notice.GetNotificationId()] = notice.GetReason() + " " + notice.GetFault()
	}
	if want := map[string]string{"no-such-user": "smtp-550 recipient", "spam": "smtp-554 provider"}; !reflect.DeepEqual(reasons, want) {
		t.Errorf("given up %v, want %v", reasons, want)
	}
}

func TestAMessageOfUnknownOutcomeIsSentAgainMarkedWithItsMessageID(t *testing.T) {
	t.Parallel()
	p := newMailServer(t)
	p.rules["n1"] = []rule{{data: drops}, {}}
	b := servicetest.New(t, settings(p))
	b.Start(emailsender.RunSoon)
	publish(t, b, invitation("n1"))
	e := decode(t, b.Await(flow.Signing, "signing.v1.*.*.notification.sent.>", 1)[0])
	messages := p.got("n1")
	if len(messages) != 2 || !e.GetNotice().GetPossibleDuplicate() {
		t.Fatalf("%d messages, notice %v", len(messages), e.GetNotice())
	}
	for i, l := range messages {
		if m, err := netmail.ReadMessage(bytes.NewReader(l.body)); err != nil || m.Header.Get("Message-Id") != "<n1@acme.example>" {
			t.Errorf("message %d: %v, %v", i, m, err)
		}
	}
}

func TestMandatoryTLSSendsNothingInTheClear(t *testing.T) {
	t.Parallel()
	p := newMailServer(t)
	cfg := settings(p)
	emailsettings.Section.In(&cfg).SMTP.TLS = "mandatory"
	b := servicetest.New(t, cfg)
	ends := b.RecordEnds()
	b.Start(emailsender.RunSoon)
	publish(t, b, invitation("n1"))
	if how := ends.First(t, 1)["n1"]; how != "undone" || len(p.got("n1")) != 0 {
		t.Errorf("ended %s, %d messages", how, len(p.got("n1")))
	}
}

func TestNamesAndTitlesAddNoHeader(t *testing.T) {
	t.Parallel()
	p := newMailServer(t)
	b := servicetest.New(t, settings(p))
	b.Start(emailsender.RunSoon)
	n := invitation("n1")
	n.DocumentTitle = "Offer\r\nBcc: all@reader.example\r\n\r\n.\r\n<script>alert(1)</script>"
	n.SenderName = "Acme\r\n.\r\nMAIL FROM:<x@reader.example>"
	n.To.FirstName = "Eric\nX-Evil: yes"
	publish(t, b, n)
	b.Await(flow.Signing, "signing.v1.*.*.notification.sent.>", 1)
	messages := p.got("n1")
	if len(messages) != 1 || len(p.got("all")) != 0 {
		t.Fatalf("%d messages", len(messages))
	}
	got, err := netmail.ReadMessage(bytes.NewReader(messages[0].body))
	if err != nil {
		t.Fatal(err)
	}
	_, html, found := strings.Cut(string(messages[0].body), "text/html")
	if got.Header.Get("Bcc") != "" || got.Header.Get("X-Evil") != "" || !found || strings.Contains(html, "<script>") {
		t.Errorf("message %s", messages[0].body)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
	if err != nil || !strings.HasPrefix(subject, `Please review & sign "Offer Bcc: all @ reader. example .`) { // the control
		t.Errorf("subject %q, %v", subject, err)
	}
}

func TestAMalformedAddressIsGivenUp(t *testing.T) {
	t.Parallel()
	p := newMailServer(t)
	b := servicetest.New(t, settings(p))
	b.Start(emailsender.RunSoon)
	n := invitation("n1")
	n.To.Email = "eric@reader.example>\r\nBcc: all@reader.example"
	publish(t, b, n)
	notice := decode(t, b.Await(flow.Signing, "signing.v1.*.*.notification.failed.>", 1)[0]).GetNotice()
	if notice.GetReason() != "address-malformed" {
		t.Errorf("notice %v", notice)
	}
	b.NeverLogged("reader.example")
}

// A message that the server refuses because of the operator's settings is held. The log has the refusal and its cause.
func TestAMessageThatNeedsTheOperatorIsHeld(t *testing.T) {
	t.Parallel()
	p := newMailServer(t)
	p.rules["relay"] = []rule{{rcpt: responds(554, "relay@reader.example: Relay access denied")}}
	b := servicetest.New(t, settings(p))
	b.Start(emailsender.RunSoon)
	publish(t, b, invitation("relay"))
	notice := decode(t, b.Await(flow.Signing, "signing.v1.*.*.notification.deferred.>", 1)[0]).GetNotice()
	if notice.GetReason() != "smtp-554" || notice.GetFault() != "operator" {
		t.Errorf("notice %v", notice)
	}
	publish(t, b, invitation("n1")) // another message is sent
	b.Await(flow.Signing, "signing.v1.*.*.notification.sent.>", 1)
	b.NeverLogged("reader.example")
	if !strings.Contains(b.Logged.String(), "SMTP code 554") {
		t.Error("the log does not name the server's code")
	}
}

// A server may need much longer for the message itself than for the other steps. It receives the message once.
func TestASlowServerGetsAMessageOnce(t *testing.T) {
	t.Parallel()
	p := newMailServer(t)
	c := settings(p)
	server := &emailsettings.Section.In(&c).SMTP
	server.Timeout, server.EndTimeout = 300*time.Millisecond, 20*time.Second
	b := servicetest.New(t, c)
	p.rules["slow"] = []rule{{data: func(*smtp.Conn) error {
		b.Await(flow.Signing, "signing.v1.*.*.notification.sent.>", 4) // of other messages, one after the other
		return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "Ok: queued as slow"}
	}}}
	b.Start(emailsender.RunSoon)
	publish(t, b, invitation("slow"))
	for i := range 4 {
		p.mu.Lock()
		p.rules[fmt.Sprintf("n%d", i)] = []rule{{data: func(*smtp.Conn) error {
			time.Sleep(150 * time.Millisecond) // the four dialogues together take longer than the limit of one step
			return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "Ok: queued"}
		}}}
		p.mu.Unlock()
		publish(t, b, invitation(fmt.Sprintf("n%d", i)))
		b.Await(flow.Signing, "signing.v1.*.*.notification.sent.>", i+1)
	}
	for _, m := range b.Await(flow.Signing, "signing.v1.*.*.notification.sent.>", 5) {
		if n := decode(t, m).GetNotice(); n.GetPossibleDuplicate() || n.GetNotificationId() == "slow" && n.GetReference() != "slow" {
			t.Errorf("notice %v", n)
		}
	}
	if got := len(p.got("slow")); got != 1 {
		t.Errorf("the slow server received the message %d times", got)
	}
}
