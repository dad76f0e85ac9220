package security

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// masterKey is the master key of the environments.
const masterKey = "master-key-of-the-attacked-3f1c9d77"

// An attacker with the NATS user of one service, and no other secret, finds no code or signing address of a sent link, and cannot create
// a link. The keeper is the exception: it may read all messages, but not create a link. The control is a user with the permission.
func TestStolenNATSUser(t *testing.T) {
	t.Parallel()
	h := testenv.WithAccounts(t, func(h *testenv.Env) string {
		return testenv.SandboxSettings(h) + fmt.Sprintf("master_key: %q\n", masterKey)
	})
	for _, name := range testenv.Services {
		h.StartService(t, name, name, testenv.NATSUser(name)...)
	}
	h.Play(t, "clickwrap", "two-signers")
	h.Play(t, "pleasesign", "one-signer")
	links := sentLinks(t, h) // and every stage is idle: a sender may read messages that it has not sent

	// The secrets are the codes and their addresses. Clickwrap's addresses are stored from the start.
	var secrets []string
	opens := "" // a link that leads to a signing address
	for _, link := range links {
		_, code, _ := strings.Cut(link, "/l/")
		secrets = append(secrets, code[:14])
		a, err := call(http.MethodPost, link, http.Header{"User-Agent": {phone}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if address := a.header.Get("Location"); address != "" { // a person who has signed is not redirected
			secrets = append(secrets, address)
			opens = link
		}
	}
	if len(secrets) < len(links)+2 {
		t.Errorf("only %d of %d links have an address", len(secrets)-len(links), len(links))
	}

	listed := map[string]string{}
	for _, u := range flow.Users() {
		thief := steal(t, h, u.Name)
		heard := thief.requestEverything()
		listed[u.Name] = heard
		// The keeper erases documents from every stream and bucket, so it must find them (docs/adr/0042). The console shows what waits (docs/adr/0046).
		if u.Name == flow.Keeper || u.Name == flow.Console {
			continue
		}
		for _, secret := range secrets {
			if i := strings.Index(heard, secret); i >= 0 {
				t.Errorf("%s finds %q: …%s…", u.Name, secret, heard[max(0, i-300):min(len(heard), i+100)])
			}
		}
		if !strings.Contains(heard, `"name":"SIGNING"`) {
			t.Errorf("%s gets no response at all: %.300s", u.Name, heard)
		}
		if keys := strings.Contains(heard, "$KV.LINKS."); keys != (u.Name == flow.Shortener) {
			t.Errorf("%s gets the keys of links: %v", u.Name, keys)
		}
	}
	// The control: a user who may read all of NOTIFY finds them.
	if all := steal(t, h, flow.Operator).requestEverything(); !strings.Contains(all, secrets[0]) {
		t.Error("the operator finds no code")
	}
	if !strings.Contains(listed[flow.Enricher], "recipient.signed") {
		t.Error("the enricher does not read the log")
	}

	requireNoPlantedLink(t, h, opens)
}

// sentLinks returns the links that people got, after all have been sent.
func sentLinks(t *testing.T, h *testenv.Env) []string {
	t.Helper()
	found := map[string]bool{}
	h.Until(t, "links of both providers have arrived", func() bool {
		h.WaitIdle(t)
		for _, m := range h.Messages(t) {
			for _, link := range regexp.MustCompile(`http://\S+/l/[a-z2-7]{14}[se]`).FindAllString(m.Text, -1) {
				found[link] = true
			}
		}
		return len(found) >= 6
	})
	var links []string
	for link := range found {
		links = append(links, link)
	}
	return links
}

// thief is a connection with a stolen user.
type thief struct {
	*testing.T

	nc   *nats.Conn
	name string

	mutex  sync.Mutex
	heard  strings.Builder
	output int // responses

	fenced chan struct{}
}

func steal(t *testing.T, h *testenv.Env, name string) *thief {
	t.Helper()
	nc, err := nats.Connect(h.NATSURL, nats.UserInfo(name, testenv.PasswordOf(name)), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(nc.Close)
	return &thief{T: t, nc: nc, name: name, fenced: make(chan struct{}, 3)}
}

// requestEverything sends every request to the broker that could return a link, in every form of its API, and returns all responses.
func (s *thief) requestEverything() string {
	s.Helper()
	hear := func(m *nats.Msg) {
		if m.Subject == "_INBOX.thief.fence" {
			s.fenced <- struct{}{}
			return
		}
		s.mutex.Lock()
		defer s.mutex.Unlock()
		s.output++
		fmt.Fprintln(&s.heard, m.Subject, m.Header, string(m.Data))
	}
	listen := []string{"_INBOX.>"}
	if s.name != flow.Operator {
		// Subjects of other users' deliveries, entries and advisories.
		listen = append(listen, "$KV.>", "$JS.EVENT.>", "$SYS.>", "notify.>", "_R_.>", ">")
	}
	for _, subject := range listen {
		if _, err := s.nc.Subscribe(subject, hear); err != nil {
			s.Fatal(err)
		}
	}
	var streams []string
	for _, x := range flow.Streams {
		streams = append(streams, x.Name)
	}
	for _, b := range flow.Buckets {
		streams = append(streams, "KV_"+b.Name)
	}
	all := `{"subjects_filter":">","deleted_details":true}`
	for _, stream := range streams {
		subjects := ">"
		if bucket, ok := strings.CutPrefix(stream, "KV_"); ok {
			subjects = "$KV." + bucket + ".>"
		}
		s.request("$JS.API.STREAM.INFO."+stream, all)
		s.request("$JS.API.STREAM.MSG.GET."+stream, fmt.Sprintf(`{"last_by_subj":%q}`, subjects))
		s.request("$JS.API.STREAM.MSG.GET."+stream, fmt.Sprintf(`{"seq":1,"next_by_subj":%q}`, subjects))
		s.request("$JS.API.STREAM.MSG.GET."+stream, `{"seq":1}`)
		s.request("$JS.API.DIRECT.GET."+stream, fmt.Sprintf(`{"seq":1,"next_by_subj":%q,"batch":1000}`, subjects))
		s.request("$JS.API.DIRECT.GET."+stream, fmt.Sprintf(`{"multi_last":[%q],"batch":1000}`, subjects))
		s.request("$JS.API.DIRECT.GET."+stream+"."+subjects, "") // the server accepts a wildcard as the subject of the lookup
		for _, kind := range []string{"link.", "code.", "person.", "pair.", "was."} {
			s.request("$JS.API.DIRECT.GET."+stream+"."+strings.TrimSuffix(subjects, ">")+kind+"*", "")
		}
		consumer := `"ack_policy":"none","deliver_policy":"all","filter_subject":"` + subjects + `"`
		s.request("$JS.API.CONSUMER.CREATE."+stream, fmt.Sprintf(`{"stream_name":%q,"config":{%s,"deliver_subject":"_INBOX.thief.pushed"}}`, stream, consumer))
		s.request("$JS.API.CONSUMER.CREATE."+stream+".thief."+subjects, fmt.Sprintf(`{"stream_name":%q,"config":{%s,"name":"thief"}}`, stream, consumer))
		s.request("$JS.API.CONSUMER.DURABLE.CREATE."+stream+".thief", fmt.Sprintf(`{"stream_name":%q,"config":{%s,"durable_name":"thief"}}`, stream, consumer))
		for _, name := range []string{"thief", flow.Enricher, flow.Shortener, flow.SMSSender, flow.EmailSender, flow.KafkaBridge} {
			s.request("$JS.API.CONSUMER.MSG.NEXT."+stream+"."+name, `{"batch":1000,"no_wait":true}`)
			s.request("$JS.API.CONSUMER.INFO."+stream+"."+name, "")
		}
		s.request("$JS.API.CONSUMER.LIST."+stream, "")
		s.request("$JS.API.CONSUMER.NAMES."+stream, "")
		s.request("$JS.API.STREAM.SNAPSHOT."+stream, `{"deliver_subject":"_INBOX.thief.snapshot"}`)
		s.request("$JS.API.STREAM.CREATE.THIEF", fmt.Sprintf(`{"name":"THIEF","mirror":{"name":%q}}`, stream))
		s.request("$JS.API.STREAM.CREATE.THIEF", fmt.Sprintf(`{"name":"THIEF","sources":[{"name":%q}]}`, stream))
		if s.name != flow.Operator {
			s.request("$JS.API.STREAM.UPDATE."+stream, fmt.Sprintf(`{"name":%q,"republish":{"src":">","dest":"_INBOX.thief.>"}}`, stream))
		}
	}
	s.request("$JS.API.STREAM.NAMES", `{"subject":"$KV.LINKS.>"}`)
	s.request("$JS.API.STREAM.LIST", `{"subject":"$KV.LINKS.>"}`)
	for _, subject := range []string{"$SYS.REQ.SERVER.PING.JSZ", "$SYS.REQ.SERVER.PING.SUBSZ", "$SYS.REQ.ACCOUNT.SIGNRELAY.JSZ", "$SYS.REQ.ACCOUNT.SIGNRELAY.CONNZ"} {
		s.request(subject, `{"streams":true,"consumer":true,"config":true,"subscriptions":true,"subscriptions_detail":true,"msg_trace":true}`)
	}
	s.fence()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.heard.String()
}

// request sends a request, which the server may refuse.
func (s *thief) request(subject, body string) {
	s.Helper()
	reply := "_INBOX.thief." + nats.NewInbox()[len("_INBOX."):]
	if err := s.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Data: []byte(body)}); err != nil {
		s.Fatal(err)
	}
}

// fence returns after the responses to all earlier requests: the server responds in the order of the requests, and a subscription keeps
// the order. It repeats until no message arrives between two of its own responses.
func (s *thief) fence() {
	s.Helper()
	count := func() int {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		return s.output
	}
	for before := -1; before != count(); {
		before = count()
		for range 3 {
			if err := s.nc.PublishRequest("$JS.API.STREAM.INFO."+flow.Signing, "_INBOX.thief.fence", nil); err != nil {
				s.Fatal(err)
			}
			select {
			case <-s.fenced:
			case <-time.After(30 * time.Second):
				s.Fatalf("%s gets no response about the log", s.name)
			}
		}
	}
}

// requireNoPlantedLink uses the shortener's user, which may write to its bucket, and requires that it cannot create a link that opens
// without the master key. Such a link would lead from our own address to a page of the attacker, or would reveal a signing address at a
// click.
func requireNoPlantedLink(t *testing.T, h *testenv.Env, sent string) {
	t.Helper()
	thief := steal(t, h, flow.Shortener)
	js, err := jetstream.New(thief.nc)
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := js.KeyValue(t.Context(), flow.Links)
	if err != nil {
		t.Fatal(err)
	}
	base, code, _ := strings.Cut(sent, "/l/")
	base += "/l/"
	const planted = "aaaaaaaaaaaaaa"
	now := time.Now().UTC()
	for name, record := range map[string]map[string]any{
		"a page of the attacker's":         {"target": "https://evil.example/", "source": "demo", "provider": "clickwrap", "purpose": "sign"},
		"another person's signing address": {"source": "demo", "provider": "pleasesign", "document": documentOf(t, h), "recipient": "r1", "purpose": "sign"},
	} {
		record["made_at"], record["expires_at"] = now, now.Add(time.Hour)
		value, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"code." + planted, "link." + planted, planted} {
			if _, err := bucket.Put(t.Context(), key, value); err != nil {
				t.Fatal(err)
			}
		}
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			a, err := call(method, base+planted, http.Header{"User-Agent": {phone}}, nil)
			if err != nil || a.status != http.StatusNotFound || a.header.Get("Location") != "" {
				t.Errorf("%s %s: %d to %q, %v", method, name, a.status, a.header.Get("Location"), err)
			}
		}
	}
	// The control: the link that was sent still opens.
	a, err := call(http.MethodPost, base+code, http.Header{"User-Agent": {phone}}, nil)
	if err != nil || a.status != http.StatusSeeOther {
		t.Errorf("the link that was sent: %d, %v", a.status, err)
	}
}

// documentOf returns the id of a PleaseSign document in the log.
func documentOf(t *testing.T, h *testenv.Env) string {
	t.Helper()
	s, err := h.JetStream(t).Stream(t.Context(), flow.Signing)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(t.Context(), "signing.v1.*.pleasesign.>")
	if err != nil {
		t.Fatal(err)
	}
	return m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
}
