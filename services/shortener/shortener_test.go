package shortener_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	"github.com/signrelay/signrelay/services/shortener"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

const (
	target = "https://provider.example/r?s=secret&x=1"
	public = "https://sign.acme.example"
)

// bench runs a shortener with these sources and changes of the settings.
func bench(t *testing.T, sources providers.Sources, change ...func(*shortenersettings.Shortener)) *servicetest.Bench {
	t.Helper()
	return benchWith(t, sources, func(settings *config.Config) {
		for _, c := range change {
			c(shortenersettings.Section.In(settings))
		}
	})
}

// benchWith works like bench, with changes of other settings, too.
func benchWith(t *testing.T, sources providers.Sources, change func(*config.Config)) *servicetest.Bench {
	t.Helper()
	settings := config.Default()
	shortenersettings.Section.In(&settings).PublicURL = public + "/"
	change(&settings)
	b := servicetest.New(t, settings)
	t.Cleanup(func() { b.NeverLogged("secret", "3175551234", "/l/") }) // in every test, after the service has ended
	b.Start(func(ctx context.Context, env service.Env) error { return shortener.RunWith(ctx, env, sources) })
	return b
}

// invitation returns one notification to one person on one channel.
func invitation(id, recipient string, channel notifyv1.Channel) *notifyv1.Notification {
	return &notifyv1.Notification{
		Id: id, EventId: "e", Source: "acme", Provider: "clickwrap", DocumentId: "doc 1",
		Kind: notifyv1.Kind_KIND_INVITATION, Channel: channel, To: &notifyv1.Person{RecipientId: recipient, Mobile: "+13175551234"},
		Link:          &notifyv1.Link{Target: target, Purpose: notifyv1.Link_PURPOSE_SIGN},
		DocumentTitle: "Employment Agreement", SenderName: "PactSafe", Locale: "en-AU",
	}
}

// leading returns an invitation with a target for its link, and the time of its event.
func leading(id, recipient, to string, at int64) *notifyv1.Notification {
	n := invitation(id, recipient, notifyv1.Channel_CHANNEL_SMS)
	n.Link.Target = to
	n.OccurredAt = timestamppb.New(time.Unix(at, 0))
	return n
}

func publish(t *testing.T, b *servicetest.Bench, n *notifyv1.Notification) {
	t.Helper()
	b.Publish(notification.Message(t.Context(), notification.LinkSubject(n), n.GetId(), n))
}

// shortened returns the short links of the outputs, by notification id.
func shortened(t *testing.T, b *servicetest.Bench, count int) map[string]string {
	t.Helper()
	links := map[string]string{}
	for _, m := range b.Await(flow.Notify, "notify.v1.send.>", count) {
		n, err := notification.Decode(m.Data())
		if err != nil {
			t.Fatal(err)
		}
		links[n.GetId()] = n.GetLink().GetShort()
	}
	return links
}

func TestANotificationGetsItsShortLink(t *testing.T) {
	t.Parallel()
	b := bench(t, nil)
	publish(t, b, invitation("n1", "s1", notifyv1.Channel_CHANNEL_SMS))

	m := b.Await(flow.Notify, "notify.v1.send.>", 1)[0]
	if want := "notify.v1.send.sms.acme.clickwrap." + event.DocumentToken("doc 1"); m.Subject() != want {
		t.Errorf("subject %s, want %s", m.Subject(), want)
	}
	// The stream contains n1 already: it would drop a second message with the same id.
	if id := m.Headers().Get("Nats-Msg-Id"); id != event.DerivedID("n1", "shortener", "send") {
		t.Errorf("Nats-Msg-Id %s", id)
	}
	n, err := notification.Decode(m.Data())
	if err != nil || n.GetId() != "n1" || n.GetLink().GetTarget() != target || n.GetTo().GetMobile() != "+13175551234" {
		t.Errorf("notification %v, %v", n, err)
	}
	if short := n.GetLink().GetShort(); !regexp.MustCompile(`^https://sign\.acme\.example/l/[a-z2-7]{14}s$`).MatchString(short) {
		t.Errorf("short link %q", short)
	}
}

// both returns a person's invitations by SMS and by e-mail in one message.
func both(recipient string) *notifyv1.Notification {
	return notification.ForShortener("enricher", []*notifyv1.Notification{
		invitation("n1", recipient, notifyv1.Channel_CHANNEL_SMS), invitation("n2", recipient, notifyv1.Channel_CHANNEL_EMAIL),
	})
}

// publishTo publishes a message on the subject of an invitation.
func publishTo(t *testing.T, b *servicetest.Bench, n *notifyv1.Notification) {
	t.Helper()
	b.Publish(notification.Message(t.Context(), notification.LinkSubject(invitation("n1", "s1", notifyv1.Channel_CHANNEL_SMS)), n.GetId(), n))
}

// One message has all channels of a person. The senders get the same messages as from a version with one message a channel: with a version of
// each kind, the stream and the senders' claims drop the second one.
func TestAMessageForSeveralChannels(t *testing.T) {
	t.Parallel()
	b := bench(t, nil)
	publishTo(t, b, both("s1"))
	b.Await(flow.Notify, "notify.v1.send.>", 2)
	for _, want := range []struct{ channel, id string }{{"sms", "n1"}, {"email", "n2"}} {
		m := b.Await(flow.Notify, "notify.v1.send."+want.channel+".>", 1)[0]
		n, err := notification.Decode(m.Data())
		if err != nil || n.GetId() != want.id || len(n.GetPerChannel()) != 0 || n.GetDocumentTitle() != "Employment Agreement" {
			t.Errorf("notification %v, %v", n, err)
		}
		if subject := "notify.v1.send." + want.channel + ".acme.clickwrap." + event.DocumentToken("doc 1"); m.Subject() != subject {
			t.Errorf("subject %s, want %s", m.Subject(), subject)
		}
		if id := m.Headers().Get("Nats-Msg-Id"); id != event.DerivedID(want.id, "shortener", "send") {
			t.Errorf("%s has Nats-Msg-Id %s", want.id, id)
		}
	}
	if links := shortened(t, b, 2); !oneLink(links["n1"], links["n2"]) {
		t.Errorf("one person has several links: %v", links)
	}
	// The messages of an earlier version of the enricher, which caused the same notifications.
	publish(t, b, invitation("n1", "s1", notifyv1.Channel_CHANNEL_SMS))
	publish(t, b, invitation("n2", "s1", notifyv1.Channel_CHANNEL_EMAIL))
	b.Settled(flow.Shortener)
	if n := b.Count(flow.Notify, "notify.v1.send.>"); n != 2 {
		t.Errorf("%d messages to senders, want 2", n)
	}
}

// A message with notifications to several people would give one of them the link of another.
func TestAMessageToSeveralPeopleIsRefused(t *testing.T) {
	t.Parallel()
	b := bench(t, nil)
	for name, change := range map[string]func(*notifyv1.Notification){
		"another person":      func(n *notifyv1.Notification) { n.To.RecipientId = "s2" },
		"another document":    func(n *notifyv1.Notification) { n.DocumentId = "doc 2" },
		"another source":      func(n *notifyv1.Notification) { n.Source = "other" },
		"another target":      func(n *notifyv1.Notification) { n.Link.Target += "2" },
		"another purpose":     func(n *notifyv1.Notification) { n.Link.Purpose = notifyv1.Link_PURPOSE_DOWNLOAD },
		"no id":               func(n *notifyv1.Notification) { n.Id = "" },
		"a message inside it": func(n *notifyv1.Notification) { n.PerChannel = both("s1").GetPerChannel() },
	} {
		n := both("s1")
		n.Id = name
		change(n.GetPerChannel()[1])
		publishTo(t, b, n)
	}
	b.Await(flow.DLQ, "dlq.v1.shortener", 7)
	if n := b.Count(flow.Notify, "notify.v1.send.>"); n != 0 {
		t.Errorf("%d messages to senders", n)
	}
}

// oneLink reports whether an SMS and an e-mail show one link, each with its channel's suffix.
func oneLink(sms, email string) bool {
	return strings.HasSuffix(sms, "s") && strings.HasSuffix(email, "e") && sms[:len(sms)-1] == email[:len(email)-1]
}

func TestAPersonHasOneLink(t *testing.T) {
	t.Parallel()
	b := bench(t, nil)
	download := invitation("n5", "s1", notifyv1.Channel_CHANNEL_SMS)
	download.Link.Purpose = notifyv1.Link_PURPOSE_DOWNLOAD
	reminder := invitation("n3", "s1", notifyv1.Channel_CHANNEL_SMS)
	reminder.Kind = notifyv1.Kind_KIND_REMINDER
	other := invitation("n6", "s1", notifyv1.Channel_CHANNEL_SMS)
	other.DocumentId = "doc 2"
	for _, n := range []*notifyv1.Notification{
		invitation("n1", "s1", notifyv1.Channel_CHANNEL_SMS),
		invitation("n2", "s1", notifyv1.Channel_CHANNEL_EMAIL),
		reminder,
		invitation("n4", "s2", notifyv1.Channel_CHANNEL_SMS), // another person, same target
		download,
		other,
	} {
		publish(t, b, n)
	}
	links := shortened(t, b, 6)
	if links["n1"] != links["n3"] || !oneLink(links["n1"], links["n2"]) {
		t.Errorf("one person has several links: %v", links)
	}
	different := map[string]bool{}
	for _, id := range []string{"n1", "n4", "n5", "n6"} {
		different[links[id]] = true
	}
	if len(different) != 4 {
		t.Errorf("different links are one: %v", links)
	}
}

func TestPeopleWithoutAnIDHaveSeparateLinks(t *testing.T) {
	t.Parallel()
	b := bench(t, sourcesOf(new(fakeAPI)))
	nowhere := func(id, mobile, email string) *notifyv1.Notification {
		n := leading(id, "", "", 1)
		n.To = &notifyv1.Person{Mobile: mobile, Email: email}
		return n
	}
	for _, n := range []*notifyv1.Notification{
		leading("a1", "", "https://provider.example/a?secret", 1), leading("a2", "", "https://provider.example/a?secret", 2),
		leading("b1", "", "https://provider.example/b?secret", 1),
		nowhere("c1", "+13175551234", ""), nowhere("c2", "+13175551234", ""),
		nowhere("d1", "+13175551235", ""), nowhere("e1", "", "eve@signer.example"),
	} {
		publish(t, b, n)
	}
	links := shortened(t, b, 7)
	if links["a1"] != links["a2"] || links["c1"] != links["c2"] {
		t.Errorf("one person has several links: %v", links)
	}
	different := map[string]bool{}
	for _, id := range []string{"a1", "b1", "c1", "d1", "e1"} {
		different[links[id]] = true
	}
	if len(different) != 5 {
		t.Errorf("several people share a link: %v", links)
	}
}

func TestANewerTargetReplacesTheOlder(t *testing.T) {
	t.Parallel()
	b := bench(t, nil)
	publish(t, b, leading("n1", "s1", "https://provider.example/first?secret", 100))
	first := shortened(t, b, 1)["n1"]
	if got := request(t, http.MethodGet, local(b, first)); got.header.Get("Location") != "https://provider.example/first?secret" {
		t.Fatalf("before: %+v", got)
	}
	publish(t, b, leading("n2", "s1", "https://provider.example/second?secret", 200)) // the request was sent again
	b.Await(flow.Notify, "notify.v1.send.>", 2)
	publish(t, b, leading("n3", "s1", "https://provider.example/first?secret", 100)) // an older message arrives late
	links := shortened(t, b, 3)
	if links["n2"] != first || links["n3"] != first {
		t.Errorf("one person has several links: %v", links)
	}
	if got := request(t, http.MethodGet, local(b, first)); got.header.Get("Location") != "https://provider.example/second?secret" {
		t.Errorf("after: %+v", got)
	}
}

// Two replicas process the messages of many people. Each person has two messages, which are often in flight at the same time.
func TestReplicasMakeOneLinkForAPerson(t *testing.T) {
	t.Parallel()
	b := bench(t, nil)
	b.Env.Public, b.Env.Metrics = service.NewRoutes(), prometheus.NewRegistry()
	b.Start(func(ctx context.Context, env service.Env) error { return shortener.RunWith(ctx, env, nil) })
	const people = 40
	for i := range people {
		publish(t, b, invitation(fmt.Sprintf("sms%d", i), fmt.Sprintf("s%d", i), notifyv1.Channel_CHANNEL_SMS))
		publish(t, b, invitation(fmt.Sprintf("email%d", i), fmt.Sprintf("s%d", i), notifyv1.Channel_CHANNEL_EMAIL))
	}
	links := shortened(t, b, 2*people)
	different := map[string]bool{}
	for i := range people {
		sms, email := links[fmt.Sprintf("sms%d", i)], links[fmt.Sprintf("email%d", i)]
		if !oneLink(sms, email) {
			t.Errorf("person %d has two links: %s, %s", i, sms, email)
		}
		different[sms] = true
	}
	if len(different) != people {
		t.Errorf("%d links for %d people", len(different), people)
	}
}

func TestALinkWithoutAUsableTargetIsGivenUp(t *testing.T) {
	t.Parallel()
	b := bench(t, sourcesOf(new(fakeAPI)))
	for id, bad := range map[string]string{"n1": "javascript:alert('secret')", "n2": "//provider.example/secret", "n4": "file:///etc/secret", "n6": "https://provider.example@evil.example/secret"} {
		n := invitation(id, "s1", notifyv1.Channel_CHANNEL_SMS)
		n.Link.Target = bad
		publish(t, b, n)
	}
	nothing := invitation("n3", "", notifyv1.Channel_CHANNEL_SMS)
	nothing.Link.Target, nothing.DocumentId = "", ""
	publish(t, b, nothing)
	publish(t, b, invitation("n5", "s1", notifyv1.Channel_CHANNEL_SMS)) // the control
	shortened(t, b, 1)
	b.Await(flow.DLQ, "dlq.v1.>", 5)
	b.Settled(flow.Shortener)
	if n := b.Count(flow.Notify, "notify.v1.send.>"); n != 1 {
		t.Errorf("%d messages passed, want 1", n)
	}
}

func TestRunRequiresAPublicURL(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"builtin", "bitly", "rebrandly"} {
		for _, url := range []string{"", "sign.acme.example", "ftp://sign.acme.example", "https://sign.acme.example?x=1"} {
			var cfg config.Config
			*shortenersettings.Section.In(&cfg) = shortenersettings.Shortener{Kind: kind, PublicURL: url}
			b := servicetest.New(t, cfg)
			if err := shortener.Run(t.Context(), b.Env); err == nil {
				t.Errorf("%s: Run accepted %q", kind, url)
			}
		}
	}
}
