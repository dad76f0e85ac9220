package shortener_test

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/servicetest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/shortener"
)

const target = "https://provider.example/r?s=secret&x=1"

func bench(t *testing.T) *servicetest.Bench {
	t.Helper()
	b := servicetest.New(t, config.Config{Shortener: config.Shortener{PublicURL: "https://sign.acme.example/"}})
	b.Start(shortener.Run)
	return b
}

// invitation is one notification to one person on one channel; its id is as long as a real one.
func invitation(id, recipient string, channel notifyv1.Channel) *notifyv1.Notification {
	return &notifyv1.Notification{
		Id: id, EventId: "e", Source: "acme", Provider: "clickwrap", DocumentId: "doc 1",
		Kind: notifyv1.Kind_KIND_INVITATION, Channel: channel, To: &notifyv1.Person{RecipientId: recipient, Mobile: "+13175551234"},
		Link: &notifyv1.Link{Target: target, Purpose: notifyv1.Link_PURPOSE_SIGN},
	}
}

func publish(t *testing.T, b *servicetest.Bench, n *notifyv1.Notification) {
	t.Helper()
	b.Publish(notification.Message(t.Context(), notification.LinkSubject(n), n.GetId(), n))
}

// shortened returns the short links that came out, by notification id.
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

func TestNotificationGetsItsShortLinkAndGoesOn(t *testing.T) {
	t.Parallel()
	b := bench(t)
	publish(t, b, invitation("n1", "s1", notifyv1.Channel_CHANNEL_SMS))

	m := b.Await(flow.Notify, "notify.v1.send.>", 1)[0]
	if want := "notify.v1.send.sms.acme.clickwrap." + event.DocumentToken("doc 1"); m.Subject() != want {
		t.Errorf("subject %s, want %s", m.Subject(), want)
	}
	// The stream holds n1 already; under the same id it would swallow the second pass.
	if id := m.Headers().Get("Nats-Msg-Id"); id != event.DerivedID("n1", "shortener", "send") {
		t.Errorf("Nats-Msg-Id %s", id)
	}
	n, err := notification.Decode(m.Data())
	if err != nil || n.GetId() != "n1" || n.GetLink().GetTarget() != target || n.GetTo().GetMobile() != "+13175551234" {
		t.Errorf("notification %v, %v", n, err)
	}
	if short := n.GetLink().GetShort(); !regexp.MustCompile(`^https://sign\.acme\.example/l/[a-z2-7]{14}$`).MatchString(short) {
		t.Errorf("short link %q", short)
	}
	b.NeverLogged("secret", "3175551234", n.GetLink().GetShort())
}

func TestOnePersonsLinkIsOneLink(t *testing.T) {
	t.Parallel()
	b := bench(t)
	download := invitation("n5", "s1", notifyv1.Channel_CHANNEL_SMS)
	download.Link.Purpose = notifyv1.Link_PURPOSE_DOWNLOAD
	for _, n := range []*notifyv1.Notification{
		invitation("n1", "s1", notifyv1.Channel_CHANNEL_SMS),
		invitation("n2", "s1", notifyv1.Channel_CHANNEL_EMAIL),
		invitation("n3", "s1", notifyv1.Channel_CHANNEL_SMS), // a reminder, say
		invitation("n4", "s2", notifyv1.Channel_CHANNEL_SMS), // somebody else, same target
		download,
	} {
		publish(t, b, n)
	}
	links := shortened(t, b, 5)
	if links["n1"] != links["n2"] || links["n1"] != links["n3"] {
		t.Errorf("one person has several links: %v", links)
	}
	if links["n4"] == links["n1"] || links["n5"] == links["n1"] || links["n4"] == links["n5"] {
		t.Errorf("different links are one: %v", links)
	}
}

func TestLinkThatIsNoWebAddressIsGivenUp(t *testing.T) {
	t.Parallel()
	b := bench(t)
	for id, bad := range map[string]string{"n1": "javascript:alert(1)", "n2": "//provider.example/x", "n3": "", "n4": "file:///etc/passwd"} {
		n := invitation(id, "s1", notifyv1.Channel_CHANNEL_SMS)
		n.Link.Target = bad
		publish(t, b, n)
	}
	publish(t, b, invitation("n5", "s1", notifyv1.Channel_CHANNEL_SMS)) // the control
	shortened(t, b, 1)
	b.Await(flow.DLQ, "dlq.v1.>", 4)
	b.Settled(flow.Shortener)
	if n := b.Count(flow.Notify, "notify.v1.send.>"); n != 1 {
		t.Errorf("%d messages passed, want 1", n)
	}
}

// answer is one of the door, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask makes one request and follows no redirect.
func ask(t *testing.T, method, url string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = got.Body.Close() }()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{got.StatusCode, got.Header, string(body)}
}

// door shortens one link and returns it as the local door serves it.
func door(t *testing.T, b *servicetest.Bench) string {
	t.Helper()
	publish(t, b, invitation("n1", "s1", notifyv1.Channel_CHANNEL_SMS))
	short := shortened(t, b, 1)["n1"]
	return b.Door() + strings.TrimPrefix(short, "https://sign.acme.example")
}

func checkHeaders(t *testing.T, got answer) {
	t.Helper()
	if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("headers %v", got.header)
	}
}

func TestShortLinkLeadsToItsTargetAndTheLogHearsOfIt(t *testing.T) {
	t.Parallel()
	b := bench(t)
	url := door(t, b)

	for range 2 { // the robot first, then the signer, twice
		head := ask(t, http.MethodHead, url)
		if head.status != http.StatusFound || head.header.Get("Location") != target {
			t.Errorf("HEAD: %d to %q", head.status, head.header.Get("Location"))
		}
		checkHeaders(t, head)
	}
	for range 2 {
		get := ask(t, http.MethodGet, url)
		if get.status != http.StatusFound || get.header.Get("Location") != target {
			t.Errorf("GET: %d to %q", get.status, get.header.Get("Location"))
		}
		checkHeaders(t, get)
	}
	filter := "signing.v1.acme.clickwrap.link.opened." + event.DocumentToken("doc 1")
	ids := map[string]bool{}
	for _, m := range b.Await(flow.Signing, filter, 2) {
		e, err := event.Decode(m.Data())
		if err != nil {
			t.Fatal(err)
		}
		ids[e.GetId()] = true
		if e.GetDocument().GetId() != "doc 1" || e.GetRecipient().GetId() != "s1" || e.GetNotice().GetKind() != "invitation" ||
			e.GetVerification() != signingv1.Verification_VERIFICATION_INTERNAL || e.GetOccurredAt() == nil || e.GetAttributes()["purpose"] != "sign" {
			t.Errorf("event %v", e)
		}
	}
	if len(ids) != 2 || b.Count(flow.Signing, "signing.v1.>") != 2 {
		t.Errorf("two openings are %d events, of %d ids", b.Count(flow.Signing, "signing.v1.>"), len(ids))
	}
}

func TestUnknownLinks(t *testing.T) {
	t.Parallel()
	b := bench(t)
	url := door(t, b)
	base := url[:strings.LastIndexByte(url, '/')+1]
	for _, code := range []string{"aaaaaaaaaaaaaa", "A", strings.Repeat("a", 5000), "a%20b", "%2e%2e%2fx", "pair.x", "*"} {
		got := ask(t, http.MethodGet, base+code)
		if got.status != http.StatusNotFound || got.header.Get("Location") != "" || strings.Contains(got.body, "<") {
			t.Errorf("%.20s: %+v", code, got)
		}
	}
	checkHeaders(t, ask(t, http.MethodGet, base+"aaaaaaaaaaaaaa"))
	if got := ask(t, http.MethodPost, url); got.status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", got.status)
	}
	if n := b.Count(flow.Signing, "signing.v1.>"); n != 0 {
		t.Errorf("%d events", n)
	}
}

func TestSignerIsRedirectedThoughTheLogIsAway(t *testing.T) {
	t.Parallel()
	b := bench(t)
	url := door(t, b)
	if err := b.Env.JS.DeleteStream(t.Context(), flow.Signing); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, http.MethodGet, url); got.status != http.StatusFound || got.header.Get("Location") != target {
		t.Errorf("GET: %d to %q", got.status, got.header.Get("Location"))
	}
}

func TestDoorSaysWhenItCannotLook(t *testing.T) {
	t.Parallel()
	b := bench(t)
	url := door(t, b)
	if err := b.Env.JS.DeleteKeyValue(t.Context(), flow.Links); err != nil {
		t.Fatal(err)
	}
	got := ask(t, http.MethodGet, url)
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("GET: %d, Retry-After %q", got.status, got.header.Get("Retry-After"))
	}
	checkHeaders(t, got)
}

func TestRunWantsAPublicURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "sign.acme.example", "ftp://sign.acme.example", "https://sign.acme.example?x=1"} {
		b := servicetest.New(t, config.Config{Shortener: config.Shortener{PublicURL: url}})
		if err := shortener.Run(t.Context(), b.Env); err == nil {
			t.Errorf("Run took %q", url)
		}
	}
}
