package shortener_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/optout"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/servicetest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/shortener"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// listing is an API that lists one document.
type listing struct {
	pack.API
	document pack.Document
	err      error
}

func (l listing) Document(context.Context, string) (*pack.Document, error) { return &l.document, l.err }

// ann is a person whose invitation did not arrive.
var ann = pack.Recipient{ID: "ann", FirstName: "Ann", LastName: "Lee", Email: "ann@wrong.com", Invite: true}

func listed(provider string, people ...pack.Recipient) providers.Sources {
	return providers.Sources{{Name: "acme", Provider: provider}: {
		Settings: config.Source{Name: "acme", Provider: provider, Region: "AU"}, API: listing{document: pack.Document{Status: pack.StatusOpen, Recipients: people}},
	}}
}

// correctionLink shortens the sender's link about Ann, and returns its address at the bench's own listener.
func correctionLink(t *testing.T, b *servicetest.Bench, provider, id string) string {
	t.Helper()
	n := invitation(id, "", notifyv1.Channel_CHANNEL_EMAIL)
	n.Provider, n.Kind, n.EventId = provider, notifyv1.Kind_KIND_UNDELIVERABLE, "event of "+id
	n.To = &notifyv1.Person{Sender: true, Email: "pat@acme.example"}
	n.Link = &notifyv1.Link{Purpose: notifyv1.Link_PURPOSE_CORRECT, RecipientId: "ann"}
	publish(t, b, n)
	return local(b, shortened(t, b, 1)[id])
}

func form(step string, fields ...string) string {
	values := url.Values{"correct": {step}}
	for i := 0; i < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	return values.Encode()
}

var corrected = form("save", "first_name", "Ann", "last_name", "Lee", "email", "ann@example.com", "mobile", "0491 570 313")

// responds stores the event with which the enricher reports the outcome of an order.
func responds(t *testing.T, b *servicetest.Bench, typ, order string, attributes ...string) {
	t.Helper()
	e := &signingv1.SigningEvent{
		Id: event.DerivedID(order, "enricher", typ), Source: "acme", Provider: "pleasesign", Type: typ, OccurredAt: timestamppb.Now(),
		Verification: signingv1.Verification_VERIFICATION_INTERNAL, Document: &signingv1.Document{Id: "doc 1"}, Recipient: &signingv1.Recipient{Id: "ann"},
		Attributes: map[string]string{event.AttributeOrder: order},
	}
	for i := 0; i < len(attributes); i += 2 {
		e.Attributes[attributes[i]] = attributes[i+1]
	}
	b.Publish(event.Message(t.Context(), e))
}

func ordered(t *testing.T, b *servicetest.Bench, typ string, count int) *signingv1.SigningEvent {
	t.Helper()
	all := b.Await(flow.Signing, event.TypeFilter(typ), count)
	e, err := event.Decode(all[len(all)-1].Data())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The sender corrects a person: a button first, because robots open links; then the form; then the state of the order. The link works once.
func TestTheSenderCorrectsAPerson(t *testing.T) {
	t.Parallel()
	b := bench(t, listed("pleasesign", ann))
	link := correctionLink(t, b, "pleasesign", "n1")
	page := request(t, http.MethodGet, link)
	checkPage(t, page, http.StatusOK, "A person could not be reached")
	if strings.Contains(page.body, "Ann") || strings.Contains(page.body, "wrong.com") {
		t.Errorf("the page before the button names the person: %s", page.body)
	}
	checkPage(t, request(t, http.MethodGet, link, "Accept-Language", "de"), http.StatusOK, "Eine Person war nicht erreichbar")
	checkPage(t, post(t, link, corrected, "Sec-Fetch-Site", "cross-site"), http.StatusOK, "A person could not be reached")
	shown := post(t, link, "")
	checkPage(t, shown, http.StatusOK, `value="ann@wrong.com"`)
	wrong := post(t, link, form("save", "first_name", "Ann", "last_name", "", "email", "ann@", "mobile", "+1 317 555 1234"))
	checkPage(t, wrong, http.StatusOK, "It is not an e-mail address, such as jane@example.com.")
	if !strings.Contains(wrong.body, `id="last_name-wrong">This is needed.`) || !strings.Contains(wrong.body, `value="ann@"`) {
		t.Errorf("the mistakes: %s", wrong.body)
	}
	checkPage(t, post(t, link, form("save", "first_name", "Ann", "last_name", "Lee", "email", "ann@example.com", "mobile", "+1 317 555 1234")), http.StatusOK, "PleaseSign takes Australian mobile numbers only")
	checkPage(t, post(t, link, form("save", "first_name", "Ann", "last_name", "Lee", "email", "ann@wrong.com"), "Accept-Language", "de"), http.StatusOK, "Sie haben nichts geändert.")
	if n := b.Count(flow.Signing, event.TypeFilter(event.CorrectionRequested)); n != 0 {
		t.Fatalf("%d orders", n)
	}

	waits := post(t, link, corrected)
	checkPage(t, waits, http.StatusOK, `<meta http-equiv="refresh" content="2">`)
	order := ordered(t, b, event.CorrectionRequested, 1)
	who := order.GetRecipient()
	if who.GetId() != "ann" || who.GetEmail() != "ann@example.com" || who.GetMobile() != "+61491570313" || order.GetAttributes()[event.AttributeBy] != event.BySender ||
		order.GetAttributes()[event.AttributeReason] == "" || order.GetVerification() != signingv1.Verification_VERIFICATION_INTERNAL {
		t.Errorf("the order %v", order)
	}
	for range 2 {
		checkPage(t, request(t, http.MethodGet, link), http.StatusOK, "One moment")
		checkPage(t, post(t, link, corrected), http.StatusOK, "One moment")
	}
	responds(t, b, event.RecipientCorrected, order.GetId())
	checkPage(t, request(t, http.MethodGet, link), http.StatusOK, "The person is corrected")
	checkPage(t, post(t, link, corrected), http.StatusOK, "The person is corrected")
	if n := b.Count(flow.Signing, event.TypeFilter(event.CorrectionRequested)); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
	if n := b.Count(flow.Signing, event.EntityFilter(event.EntityLink)); n != 0 {
		t.Errorf("%d events of the sender's link, which is not the signer's", n)
	}
}

// A refusal shows the provider's words, and the link works once more.
func TestARefusedCorrection(t *testing.T) {
	t.Parallel()
	b := bench(t, listed("pleasesign", ann))
	link := correctionLink(t, b, "pleasesign", "n1")
	post(t, link, corrected)
	order := ordered(t, b, event.CorrectionRequested, 1)
	responds(t, b, event.CorrectionRefused, order.GetId(), event.AttributeReason, "refused", event.AttributeMessage, `<b>Email is blocked.</b>`)
	page := request(t, http.MethodGet, link)
	checkPage(t, page, http.StatusOK, "The signing service did not accept it.")
	if !strings.Contains(page.body, "&lt;b&gt;Email is blocked.") {
		t.Errorf("the provider's words: %s", page.body)
	}
	checkPage(t, post(t, link, form("again")), http.StatusOK, `value="ann@wrong.com"`)
	post(t, link, corrected)
	if second := ordered(t, b, event.CorrectionRequested, 2); second.GetId() == order.GetId() {
		t.Error("the second order has the id of the first")
	}
	checkPage(t, request(t, http.MethodGet, link), http.StatusOK, "One moment")
}

// The address was right: the invitation is sent again, by the one who has sent it first.
func TestTheSenderSendsAgain(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		invite   bool
		channels string
		done     string
	}{
		"our invitation":        {true, "", event.NotificationRequested},
		"the provider's e-mail": {false, event.ByProvider, event.RecipientResent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			who := ann
			who.Invite = row.invite
			b := bench(t, listed("pleasesign", who))
			link := correctionLink(t, b, "pleasesign", "n1")
			post(t, link, form("resend"))
			order := ordered(t, b, event.ResendRequested, 1)
			if order.GetAttributes()[event.AttributeChannels] != row.channels || order.GetRecipient().GetId() != "ann" {
				t.Errorf("the order %v", order)
			}
			checkPage(t, request(t, http.MethodGet, link), http.StatusOK, "One moment")
			if row.done == event.NotificationRequested {
				e := &signingv1.SigningEvent{
					Id: "requested", Source: "acme", Provider: "pleasesign", Type: row.done, OccurredAt: timestamppb.Now(),
					Document: &signingv1.Document{Id: "doc 1"}, Recipient: &signingv1.Recipient{Id: "ann"}, Notice: &signingv1.Notice{EventId: order.GetId()},
				}
				b.Publish(event.Message(t.Context(), e))
			} else {
				responds(t, b, row.done, order.GetId())
			}
			checkPage(t, request(t, http.MethodGet, link), http.StatusOK, "The invitation is sent again")
		})
	}
}

// The states in which there is nothing to correct, each with its next step.
func TestNothingToCorrect(t *testing.T) {
	t.Parallel()
	signed, declined, mailed := ann, ann, ann
	signed.Signed, declined.Declined, mailed.Invite = true, true, false
	for name, row := range map[string]struct {
		provider string
		who      pack.Recipient
		status   int
		want     string
	}{
		"signed":                {"pleasesign", signed, http.StatusOK, "This person has signed"},
		"declined":              {"pleasesign", declined, http.StatusGone, "This document is closed"},
		"another id":            {"pleasesign", pack.Recipient{ID: "bob"}, http.StatusOK, "This person cannot be corrected here"},
		"the provider writes":   {"clickwrap", mailed, http.StatusOK, "This person cannot be corrected here"},
		"for our messages only": {"clickwrap", ann, http.StatusOK, `value="ann@wrong.com"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := bench(t, listed(row.provider, row.who))
			checkPage(t, post(t, correctionLink(t, b, row.provider, "n1"), ""), row.status, row.want)
		})
	}
}

// An outside shortener does not get the sender's link, and each message has a link of its own, for at most seven days.
func TestTheSendersLinkIsOurOwn(t *testing.T) {
	t.Parallel()
	b := bench(t, listed("pleasesign", ann), func(s *shortenersettings.Shortener) {
		s.Kind, s.Bitly.Token, s.Bitly.BaseURL = "bitly", "token", "http://127.0.0.1:1"
	})
	first := correctionLink(t, b, "pleasesign", "n1")
	if !regexp.MustCompile(`/l/[a-z2-7]{14}e$`).MatchString(first) {
		t.Errorf("the link %s", first)
	}
	code := first[strings.LastIndexByte(first, '/')+1:]
	kept, err := shortener.Stored(t.Context(), b.Env.JS, code[:len(code)-1])
	if err != nil {
		t.Fatal(err)
	}
	var stored struct {
		MadeAt    time.Time `json:"made_at"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	if err := json.Unmarshal([]byte(kept), &stored); err != nil {
		t.Fatal(err)
	}
	if life := stored.ExpiresAt.Sub(stored.MadeAt); life != 7*24*time.Hour {
		t.Errorf("it works for %v", life)
	}
}

// After a correction, a link from before it opens no document, for signing or download, with or without an address of its own.
func TestALinkFromBeforeACorrection(t *testing.T) {
	t.Parallel()
	b := bench(t, sourcesOf(leadsTo("https://provider.example/sign")))
	store, err := optout.Open(t.Context(), b.Env.JS, keyring.New(nil))
	if err != nil {
		t.Fatal(err)
	}
	resolved, direct, other := leading("n1", "s1", "", 1), leading("n2", "s2", target, 1), leading("n3", "s3", "", 1)
	for _, n := range []*notifyv1.Notification{resolved, direct, other} {
		publish(t, b, n)
	}
	links := shortened(t, b, 3)
	for _, id := range []string{"s1", "s2"} {
		who := event.Signer{Source: "acme", Provider: "clickwrap", Document: "doc 1", Recipient: id}
		if err := store.Correct(t.Context(), who, optout.Correction{ID: "c1", At: time.Unix(5, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"n1", "n2"} {
		checkPage(t, request(t, http.MethodGet, local(b, links[id])), http.StatusGone, "This link was replaced")
		checkPage(t, post(t, local(b, links[id]), ""), http.StatusGone, "This link was replaced")
		checkPage(t, post(t, local(b, links[id]), "messages=stop"), http.StatusGone, "This link was replaced")
	}
	checkRedirect(t, post(t, local(b, links["n3"]), ""), http.StatusSeeOther, "https://provider.example/sign")

	again := leading("n4", "s1", "", 2)
	again.To.Correction = "c1"
	publish(t, b, again)
	anew := shortened(t, b, 4)["n4"]
	if anew == links["n1"] {
		t.Error("the corrected person gets the old link")
	}
	checkRedirect(t, post(t, local(b, anew), ""), http.StatusSeeOther, "https://provider.example/sign")
}
