package shortener_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/optout"
)

// post sends the form of a link's page.
func post(t *testing.T, link, form string, headers ...string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, link, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User-Agent", phone)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	got, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = got.Body.Close() }()
	body, err := io.ReadAll(got.Body)
	return reply{got.StatusCode, got.Header, string(body), err}
}

// A person says on the link's page that no more messages about the document are wanted, and changes that again. Only forms count.
func TestNoMoreMessagesAboutADocument(t *testing.T) {
	t.Parallel()
	b := bench(t, sourcesOf(leadsTo("https://provider.example/sign")))
	link := linkTo(t, b, "")
	store, err := optout.Open(t.Context(), b.Env.JS, keyring.New(nil))
	if err != nil {
		t.Fatal(err)
	}
	who := optout.Person(event.Signer{Source: "acme", Provider: "clickwrap", Document: "doc 1", Recipient: "s1"})
	want := func(out bool, events ...int) {
		t.Helper()
		is, err := store.Out(t.Context(), []optout.Who{who})
		if err != nil || is != out {
			t.Errorf("out %v, %v; want %v", is, err, out)
		}
		for i, typ := range []string{event.RecipientOptedOut, event.RecipientOptedIn} {
			if got := b.Count(flow.Signing, event.TypeFilter(typ)); got != events[i] {
				t.Errorf("%d events %s, want %d", got, typ, events[i])
			}
		}
	}
	page := request(t, http.MethodGet, link, "Accept-Language", "de")
	checkPage(t, page, http.StatusOK, "Keine Nachrichten mehr zu diesem Dokument")
	request(t, http.MethodGet, link+"?messages=stop")
	post(t, link+"?messages=stop", "")
	post(t, link, "messages=stop", "Sec-Fetch-Site", "cross-site")
	post(t, link, "messages=never")
	checkPage(t, post(t, link, "messages=ask"), http.StatusOK, "Stop messages about this document?")
	want(false, 0, 0)
	checkPage(t, post(t, link, "messages=stop", "Accept-Language", "de"), http.StatusOK, "Sie erhalten keine Nachrichten mehr zu diesem Dokument")
	want(true, 1, 0)
	e, err := event.Decode(b.Await(flow.Signing, event.TypeFilter(event.RecipientOptedOut), 1)[0].Data())
	if err != nil || e.GetDocument().GetId() != "doc 1" || e.GetRecipient().GetId() != "s1" || e.GetAttributes()["channel"] != "all" || e.GetAttributes()["scope"] != "document" {
		t.Errorf("%v, %v", e, err)
	}
	checkPage(t, post(t, link, "messages=again"), http.StatusOK, "You will get messages about this document again")
	want(false, 1, 1)
	checkCounted(t, b, "signrelay_opt_outs_total", "clickwrap acme page", 1)
	// The link still opens the document.
	checkRedirect(t, post(t, link, ""), http.StatusSeeOther, "https://provider.example/sign")
}

// If the wish cannot be stored, the page says so.
func TestAWishThatIsNotStored(t *testing.T) {
	t.Parallel()
	b := bench(t, sourcesOf(leadsTo("https://provider.example/sign")))
	link := linkTo(t, b, "")
	if err := b.Env.JS.DeleteKeyValue(t.Context(), flow.OptOuts); err != nil {
		t.Fatal(err)
	}
	checkPage(t, post(t, link, "messages=stop"), http.StatusServiceUnavailable, "That did not work right now")
}
