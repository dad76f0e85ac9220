package smssender_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/optout"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	smssender "github.com/signrelay/signrelay/services/sms-sender"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

const (
	masterKey   = "the-master-key-of-at-least-32-characters"
	inboundPath = "/inbound/vonage/acme"
	person      = "+13175551234"
)

// listening returns settings with which texts are accepted: the sender is a number.
func listening(baseURL string) config.Config {
	c := awaiting(baseURL)
	c.MasterKey = masterKey
	c.Sources = []config.Source{
		{Name: "acme", Provider: "clickwrap", SenderName: "PactSafe", Locale: "en"},
		{Name: "other", Provider: "pleasesign", SenderName: "Bolt", Locale: "de"},
	}
	smssettings.VonageSection.In(&c).From = "13175550100"
	*smssettings.OptOutSection.In(&c) = smssettings.OptOutSection.Default
	return c
}

// inbound returns a signed text of the person, which Vonage received some seconds ago. Changes are pairs of name and value; "-" removes a
// parameter.
func inbound(id, text string, ago time.Duration, changes ...string) url.Values {
	p := url.Values{
		"msisdn": {strings.TrimPrefix(person, "+")}, "to": {"13175550100"}, "messageId": {id}, "text": {text}, "type": {"text"}, "keyword": {"X"},
		"api-key": {"abcd1234"}, "message-timestamp": {time.Now().Add(-ago).UTC().Format(time.DateTime)}, "timestamp": {"1793787630"}, "nonce": {"df2d1ef9"},
	}
	for i := 0; i < len(changes); i += 2 {
		if p.Set(changes[i], changes[i+1]); changes[i+1] == "-" {
			p.Del(changes[i])
		}
	}
	mac := hmac.New(sha256.New, []byte(signing))
	for _, name := range slices.Sorted(maps.Keys(p)) {
		mac.Write([]byte("&" + name + "=" + strings.NewReplacer("&", "_", "=", "_").Replace(p.Get(name))))
	}
	p.Set("sig", hex.EncodeToString(mac.Sum(nil)))
	return p
}

func replyTo(t *testing.T, base string, p url.Values, status int, result string) {
	t.Helper()
	got := ask(t, http.MethodPost, base+inboundPath, asForm, p.Encode())
	if got.status != status || !strings.Contains(got.body, result) {
		t.Errorf("%d %s, want %d %q", got.status, got.body, status, result)
	}
}

// events returns the events of a type, when there are as many.
func events(t *testing.T, b *servicetest.Bench, typ string, count int) []*signingv1.SigningEvent {
	t.Helper()
	var all []*signingv1.SigningEvent
	for _, m := range b.Await(flow.Signing, event.TypeFilter(typ), count) {
		all = append(all, decode(t, m))
	}
	return all
}

// replies returns the responses to texts: only their ids are derived.
func (v *vonage) replies() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var all []string
	for id, forms := range v.forms {
		for _, form := range forms {
			if len(id) == 26 {
				all = append(all, form.Get("text"))
			}
		}
	}
	slices.Sort(all)
	return all
}

func wantReplies(t *testing.T, b *servicetest.Bench, v *vonage, want ...string) {
	t.Helper()
	b.Settled(flow.SMSSender)
	slices.Sort(want)
	if got := v.replies(); !slices.Equal(got, want) {
		t.Errorf("the replies are %q, want %q", got, want)
	}
}

const (
	stoppedText = "You will get no more texts from PactSafe. Reply START to get them again."
	startedText = "You will get texts from PactSafe again. Reply STOP to end them, or HELP for help."
	helpText    = "PactSafe sends you documents to sign. Reply STOP to get no more texts."
)

func TestSTOPEndsTheTextsOfASource(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, listening(v.URL))
	b.Start(smssender.RunSoon)
	base := b.Listen()
	sent(t, b, "n1")
	replyTo(t, base, inbound("m1", "Stop.", time.Minute), http.StatusOK, "recorded")
	e := events(t, b, event.RecipientOptedOut, 1)[0]
	if e.GetDocument().GetId() != "doc1" || e.GetRecipient().GetId() != "s1" || e.GetRecipient().GetMobile() != person || e.GetSource() != "acme" ||
		e.GetAttributes()["channel"] != "sms" || e.GetAttributes()["scope"] != "source" || e.GetAttributes()["word"] != "STOP" ||
		time.Since(event.Time(e)) < 50*time.Second {
		t.Errorf("the event is %v", e)
	}
	wantReplies(t, b, v, stoppedText)

	publish(t, b, invitation("n2"))
	suppressed := events(t, b, event.NotificationSuppressed, 1)[0]
	if suppressed.GetNotice().GetReason() != "opted-out" || len(v.calls("n2")) != 0 {
		t.Errorf("%v after %d calls", suppressed, len(v.calls("n2")))
	}
	another := invitation("n3")
	another.Source, another.Provider = "other", "pleasesign"
	publish(t, b, another)
	b.Settled(flow.SMSSender)
	if len(v.calls("n3")) != 1 {
		t.Error("another source's text was not sent")
	}
	b.NeverLogged(person, strings.TrimPrefix(person, "+"), "Stop.")
}

func TestRepliesOfAPerson(t *testing.T) {
	t.Parallel()
	type text struct {
		id, text string
		ago      time.Duration
		result   string
	}
	for name, row := range map[string]struct {
		change              func(*smssettings.OptOut)
		texts               []text
		replies             []string
		outs, ins, repliedN int
		out                 bool
	}{
		"STOP and START":                   {nil, []text{{"m1", "STOP", 9 * time.Second, "recorded"}, {"m2", "unstop", 5 * time.Second, "recorded"}}, []string{stoppedText, startedText}, 1, 1, 0, false},
		"one STOP, repeated":               {nil, []text{{"m1", "STOP", 9 * time.Second, "recorded"}, {"m1", "STOP", 9 * time.Second, "repeated"}}, []string{stoppedText}, 1, 0, 0, true},
		"two STOPs":                        {nil, []text{{"m1", "STOP", 9 * time.Second, "recorded"}, {"m2", "STOP", 5 * time.Second, "recorded"}}, []string{stoppedText}, 2, 0, 0, true},
		"START arrives after a later STOP": {nil, []text{{"m2", "STOP", 5 * time.Second, "recorded"}, {"m1", "START", 9 * time.Second, "outdated"}}, []string{stoppedText}, 1, 0, 0, true},
		"STOP arrives after a later START": {nil, []text{{"m2", "START", 5 * time.Second, "recorded"}, {"m1", "STOP", 9 * time.Second, "outdated"}}, nil, 0, 1, 0, false},
		"three STOPs with STARTs": {nil, []text{
			{"m1", "STOP", 9 * time.Second, "recorded"}, {"m2", "START", 7 * time.Second, "recorded"}, {"m3", "STOP", 5 * time.Second, "recorded"},
		}, []string{stoppedText, startedText}, 2, 1, 0, true},
		"HELP twice":                       {nil, []text{{"m1", "help", 9 * time.Second, "recorded"}, {"m2", "Info?", 5 * time.Second, "recorded"}}, []string{helpText}, 0, 0, 2, false},
		"another text":                     {nil, []text{{"m1", "Who are you?", 9 * time.Second, "recorded"}}, nil, 0, 0, 1, false},
		"an empty text":                    {nil, []text{{"m1", "", 9 * time.Second, "recorded"}}, nil, 0, 0, 1, false},
		"a replayed START, three days old": {nil, []text{{"m1", "START", 72 * time.Hour, "outdated"}}, nil, 0, 0, 0, false},
		"a late STOP, three days old":      {nil, []text{{"m1", "STOP", 72 * time.Hour, "recorded"}}, nil, 1, 0, 0, true},
		"for the installation":             {func(o *smssettings.OptOut) { o.Scope = smssettings.OfInstallation }, []text{{"m1", "STOP", 9 * time.Second, "recorded"}}, []string{stoppedText}, 1, 0, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVonage(t)
			c := listening(v.URL)
			if row.change != nil {
				row.change(smssettings.OptOutSection.In(&c))
			}
			b := servicetest.New(t, c)
			b.Start(smssender.RunSoon)
			base := b.Listen()
			sent(t, b, "n1")
			for _, text := range row.texts {
				replyTo(t, base, inbound(text.id, text.text, text.ago), http.StatusOK, text.result)
			}
			wantReplies(t, b, v, row.replies...)
			for typ, want := range map[string]int{event.RecipientOptedOut: row.outs, event.RecipientOptedIn: row.ins, event.RecipientReplied: row.repliedN} {
				if got := b.Count(flow.Signing, event.TypeFilter(typ)); got != want {
					t.Errorf("%d events %s, want %d", got, typ, want)
				}
			}
			if got := b.Count(flow.Signing, event.TypeFilter(event.NotificationRequested)); got != len(row.replies) {
				t.Errorf("%d events notification.requested", got)
			}
			n := invitation("n2")
			publish(t, b, n)
			b.Settled(flow.SMSSender)
			if called := len(v.calls("n2")) > 0; called == row.out {
				t.Errorf("the next text was sent: %v", called)
			}
			b.NeverLogged(strings.TrimPrefix(person, "+"), "Who are you")
		})
	}
}

func TestWhatAReplyKeeps(t *testing.T) {
	t.Parallel()
	for _, keeps := range []bool{true, false} {
		v := newVonage(t)
		c := listening(v.URL)
		smssettings.OptOutSection.In(&c).KeepReplies = keeps
		b := servicetest.New(t, c)
		b.Start(smssender.RunSoon)
		replyTo(t, b.Listen(), inbound("m1", "Call me after six", time.Second), http.StatusOK, "recorded")
		m := b.Await(flow.Signing, event.TypeFilter(event.RecipientReplied), 1)[0]
		e := decode(t, m)
		// No text was sent to the number, so the source is that of the path, and there is no document.
		if want := map[bool]string{true: "Call me after six"}[keeps]; e.GetAttributes()["text"] != want || m.Subject() != "signing.v1.acme.clickwrap.recipient.replied._" {
			t.Errorf("%v on %s", e, m.Subject())
		}
	}
}

// The parts arrive in any order, at different replicas, and each twice. One STOP in parts is one STOP.
func TestPartsOfALongText(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, listening(v.URL))
	var bases []string
	for range 2 {
		b.Env.Public, b.Env.Metrics = service.NewRoutes(), prometheus.NewRegistry()
		b.Start(smssender.RunSoon)
		bases = append(bases, b.Listen())
	}
	part := func(id, text string, n string, ago time.Duration) url.Values {
		return inbound(id, text, ago, "concat", "true", "concat-ref", "7", "concat-total", "3", "concat-part", n)
	}
	replyTo(t, bases[0], part("m3", "after six.", "3", 5*time.Second), 200, "part")
	replyTo(t, bases[1], part("m1", "Please ", "1", 6*time.Second), 200, "part")
	replyTo(t, bases[0], part("m1", "Please ", "1", 6*time.Second), 200, "part")
	if n := b.Count(flow.Signing, event.TypeFilter(event.RecipientReplied)); n != 0 {
		t.Errorf("%d events of an incomplete text", n)
	}
	replyTo(t, bases[1], part("m2", "call me ", "2", 5*time.Second), 200, "recorded")
	replyTo(t, bases[0], part("m2", "call me ", "2", 5*time.Second), 200, "repeated")
	replyTo(t, bases[0], part("m3", "after six.", "3", 5*time.Second), 200, "repeated")
	if e := events(t, b, event.RecipientReplied, 1)[0]; e.GetAttributes()["text"] != "Please call me after six." || e.GetAttributes()["message"] != "m1" {
		t.Errorf("%v", e)
	}
	// The phone uses the reference again.
	replyTo(t, bases[0], part("m4", "S", "1", time.Second), 200, "part")
	replyTo(t, bases[0], part("m1", "Please ", "1", 6*time.Second), 200, "part")
	replyTo(t, bases[0], part("m5", "TO", "2", time.Second), 200, "part")
	replyTo(t, bases[0], part("m6", "P", "3", time.Second), 200, "recorded")
	events(t, b, event.RecipientOptedOut, 1)
	bucket, err := b.Env.JS.KeyValue(t.Context(), flow.Inbound)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := bucket.Keys(t.Context())
	if err != nil || len(keys) == 0 {
		t.Fatal(keys, err)
	}
	for _, key := range keys {
		e, err := bucket.Get(t.Context(), key)
		if err != nil || strings.Contains(key+string(e.Value()), "317555") || strings.Contains(string(e.Value()), "call") {
			t.Errorf("%s: %s, %v", key, e.Value(), err)
		}
	}
}

// Two replicas get one STOP at the same time, several times.
func TestOneSTOPAtTwoReplicas(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b, _ := startReplicas(t, listening(v.URL))
	first := b.Listen()
	b.Env.Public, b.Env.Metrics = service.NewRoutes(), prometheus.NewRegistry()
	b.Start(smssender.RunSoon)
	second := b.Listen()
	sent(t, b, "n1")
	p := inbound("m1", "STOP", time.Second).Encode()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if got := ask(t, http.MethodPost, []string{first, second}[i%2]+inboundPath, asForm, p); got.status != http.StatusOK {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	all.Wait()
	wantReplies(t, b, v, stoppedText)
	if n := b.Count(flow.Signing, event.TypeFilter(event.RecipientOptedOut)); n != 1 {
		t.Errorf("%d events", n)
	}
}

// While NATS is away the response is 503, so Vonage repeats the text. Then it is stored.
func TestATextIsRepeatedUntilItIsStored(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, listening(v.URL))
	b.Start(smssender.RunSoon)
	base := b.Listen()
	sent(t, b, "n1")
	b.Broker.Stop()
	got := ask(t, http.MethodPost, base+inboundPath, asForm, inbound("m1", "STOP", time.Second).Encode())
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || strings.Contains(got.body, "317555") {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	b.Broker.Start()
	until(t, "the text is accepted", func() bool {
		got = ask(t, http.MethodPost, base+inboundPath, asForm, inbound("m1", "STOP", time.Second).Encode())
		return got.status != http.StatusServiceUnavailable
	})
	if got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
	events(t, b, event.RecipientOptedOut, 1)
	wantReplies(t, b, v, stoppedText)
	b.NeverLogged(strings.TrimPrefix(person, "+"))
}

func TestRefusedTexts(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, listening(v.URL))
	b.Start(smssender.RunSoon)
	base := b.Listen()
	good := inbound("m1", "STOP", time.Second)
	changed := func(name, value string) string {
		p := maps.Clone(good)
		if p.Set(name, value); value == "" {
			p.Del(name)
		}
		return p.Encode()
	}
	for name, row := range map[string]struct {
		method, path, body string
		status             int
		detail             string
	}{
		"another text":               {"POST", inboundPath, changed("text", "START"), 401, "signature"},
		"another number":             {"POST", inboundPath, changed("msisdn", "13175550000"), 401, "signature"},
		"no signature":               {"POST", inboundPath, changed("sig", ""), 401, "signature"},
		"nothing":                    {"GET", inboundPath, "", 401, "signature"},
		"no such source":             {"POST", "/inbound/vonage/unknown", good.Encode(), 404, "no such source"},
		"no such vendor":             {"POST", "/inbound/unknown/acme", good.Encode(), 404, ""},
		"HEAD":                       {"HEAD", inboundPath + "?" + good.Encode(), "", 405, ""},
		"DELETE":                     {"DELETE", inboundPath, good.Encode(), 405, ""},
		"too large":                  {"POST", inboundPath, good.Encode() + "&x=" + strings.Repeat("x", 64<<10), 413, "64 KiB"},
		"no number":                  {"POST", inboundPath, inbound("m1", "STOP", 0, "msisdn", "-").Encode(), 400, "msisdn"},
		"no id":                      {"POST", inboundPath, inbound("", "STOP", 0).Encode(), 400, "messageId"},
		"a part without a reference": {"POST", inboundPath, inbound("m1", "ST", 0, "concat", "true", "concat-total", "2", "concat-part", "1").Encode(), 400, "concat-ref"},
		"not from a phone":           {"POST", inboundPath, inbound("m1", "STOP", 0, "msisdn", "Vodafone").Encode(), 200, "ignored"},
		"from a short code":          {"POST", inboundPath, inbound("m1", "STOP", 0, "msisdn", "12345").Encode(), 200, "ignored"},
		"no dialable number":         {"POST", inboundPath, inbound("m1", "STOP", 0, "msisdn", "999999999999999").Encode(), 200, "ignored"},
	} {
		got := ask(t, row.method, base+row.path, asForm, row.body)
		if got.status != row.status || !strings.Contains(got.body, row.detail) || strings.Contains(got.body, "317555") {
			t.Errorf("%s: %d %s, want %d %q", name, got.status, got.body, row.status, row.detail)
		}
	}
	if n := b.Count(flow.Signing, event.Everything); n != 0 {
		t.Errorf("%d events", n)
	}
	b.NeverLogged("3175551234", "Vodafone")

	// The controls: both forms.
	if got := ask(t, http.MethodGet, base+inboundPath+"?"+good.Encode(), "", ""); got.status != http.StatusOK {
		t.Errorf("GET: %d %s", got.status, got.body)
	}
	replyTo(t, base, good, http.StatusOK, "repeated")
}

// Without the secret that signs receipts no text is accepted either.
func TestTextsNeedASecret(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	c := listening(v.URL)
	smssettings.VonageSection.In(&c).SignatureSecret = ""
	b := servicetest.New(t, c)
	b.Start(smssender.RunSoon)
	replyTo(t, b.Listen(), inbound("m1", "STOP", 0), http.StatusUnauthorized, "signature")
}

// The master key is rotated between the text and the STOP, and again before the next text.
func TestAnOptOutOutlivesARotation(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	c := listening(v.URL)
	b := servicetest.New(t, c)
	old, err := optout.Open(t.Context(), b.Env.JS, keyring.New(c.MasterKeys()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Change(t.Context(), optout.State{Out: true, At: time.Now(), Message: "m0"}, optout.Number(person, "acme")); err != nil {
		t.Fatal(err)
	}
	b.Env.Config.MasterKey = strings.Repeat("n", 40) + "\n" + masterKey
	b.Start(smssender.RunSoon)
	publish(t, b, invitation("n1"))
	if e := events(t, b, event.NotificationSuppressed, 1)[0]; e.GetNotice().GetReason() != "opted-out" {
		t.Errorf("%v", e)
	}
}

// A text from a name ends with another way to opt out.
func TestATextFromANameSaysHowToOptOut(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	c := listening(v.URL)
	smssettings.VonageSection.In(&c).From = "Acme"
	smssettings.OptOutSection.In(&c).Contact = "stop@acme.example"
	b := servicetest.New(t, c)
	b.Start(smssender.RunSoon)
	sent(t, b, "n1")
	if text := v.calls("n1")[0].Get("text"); !strings.HasSuffix(text, " To get no more texts: stop@acme.example") {
		t.Errorf("%q", text)
	}
}

// Four replicas send texts to many people, and each person replies STOP to one of them. No text that is published after the response is sent. The
// test logs the time from the STOP to the last text to that person, and to the response.
func TestAfterSTOPNoReplicaSends(t *testing.T) {
	t.Parallel()
	const replicas, people, each = 4, 40, 3
	v := newVonage(t)
	c := listening(v.URL)
	c.Limits.Countries = []string{"*"}
	b := servicetest.New(t, c)
	var bases []string
	for range replicas {
		b.Env.Public, b.Env.Metrics = service.NewRoutes(), prometheus.NewRegistry()
		b.Start(smssender.RunSoon)
		bases = append(bases, b.Listen())
	}
	number := func(i int) string { return "+1317555" + strconv.Itoa(2000+i) }
	texts := func(when string, i int) {
		for j := range each {
			n := invitation(fmt.Sprintf("%s-%d-%d", when, i, j))
			n.To.Mobile = number(i)
			publish(t, b, n)
		}
	}
	began, took := make([]time.Time, people), make([]time.Duration, people)
	for i := range people {
		texts("before", i)
		p := inbound(fmt.Sprintf("m%d", i), "STOP", 0, "msisdn", strings.TrimPrefix(number(i), "+"))
		began[i] = time.Now()
		replyTo(t, bases[i%replicas], p, http.StatusOK, "recorded")
		took[i] = time.Since(began[i])
		texts("after", i)
	}
	b.Settled(flow.SMSSender)
	for i := range people {
		for j := range each {
			if n := len(v.calls(fmt.Sprintf("after-%d-%d", i, j))); n != 0 {
				t.Errorf("person %d got text %d after STOP", i, j)
			}
		}
	}
	slices.Sort(took)
	t.Logf("%d people, %d replicas: from STOP to the response, after which nothing was sent: p50 %v, p99 %v, longest %v",
		people, replicas, took[people/2], took[people*99/100], took[people-1])
}
