package shortener_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/servicetest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// viaBitly returns a bench with an account at Bitly whose handler gets the number of earlier calls.
func viaBitly(t *testing.T, handle func(w http.ResponseWriter, r *http.Request, before int32)) (*servicetest.Bench, *atomic.Int32) {
	t.Helper()
	calls := new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, calls.Add(1)-1)
	}))
	t.Cleanup(server.Close)
	return bench(t, nil, func(s *shortenersettings.Shortener) {
		s.Kind, s.Bitly = "bitly", shortenersettings.Bitly{Token: "token", Domain: "bit.ly", Group: "B1", BaseURL: server.URL}
	}), calls
}

func gives(w http.ResponseWriter, _ *http.Request, before int32) {
	_, _ = fmt.Fprintf(w, `{"link":"https://bit.ly/%d"}`, before)
}

func TestAnOutsideFormIsMadeOnceAndStored(t *testing.T) {
	t.Parallel()
	b, calls := viaBitly(t, gives)
	remind := func(id string, channel notifyv1.Channel) {
		n := invitation(id, "s1", channel)
		n.Kind = notifyv1.Kind_KIND_REMINDER
		publish(t, b, n)
	}
	publish(t, b, invitation("n1", "s1", notifyv1.Channel_CHANNEL_SMS))
	shortened(t, b, 1)
	publish(t, b, invitation("n2", "s1", notifyv1.Channel_CHANNEL_EMAIL)) // each channel has its own form, so that an opening shows the channel
	shortened(t, b, 2)
	remind("n3", notifyv1.Channel_CHANNEL_SMS)
	remind("n4", notifyv1.Channel_CHANNEL_EMAIL)
	shortened(t, b, 4)
	publish(t, b, invitation("n5", "s2", notifyv1.Channel_CHANNEL_SMS))
	want := map[string]string{"n1": "https://bit.ly/0", "n2": "https://bit.ly/1", "n3": "https://bit.ly/0", "n4": "https://bit.ly/1", "n5": "https://bit.ly/2"}
	if links := shortened(t, b, 5); !maps.Equal(links, want) || calls.Load() != 3 {
		t.Errorf("%v after %d calls", links, calls.Load())
	}
	b.Settled(flow.Shortener)
	if n := b.Count(flow.Signing, "signing.v1.>"); n != 0 {
		t.Errorf("%d events", n)
	}
}

// After each permanent failure of the outside shortener the signer gets our own link at once, and the log records it.
func TestOurOwnLinkReplacesTheOutsideForm(t *testing.T) {
	t.Parallel()
	for reason, handle := range map[string]http.HandlerFunc{
		"refused":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) },
		"credentials": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"plan-limit":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusPaymentRequired) },
		"unusable":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"link":"javascript:alert(1)"}`)) },
		"throttled": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
		},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			b, calls := viaBitly(t, func(w http.ResponseWriter, r *http.Request, _ int32) { handle(w, r) })
			publish(t, b, invitation("n1", "s1", notifyv1.Channel_CHANNEL_SMS))
			short := shortened(t, b, 1)["n1"]
			if !strings.HasPrefix(short, public+"/l/") || calls.Load() != 1 {
				t.Errorf("%q after %d calls", short, calls.Load())
			}
			checkRedirect(t, request(t, http.MethodGet, local(b, short)), http.StatusFound, target)
			checkCounted(t, b, "signrelay_shortener_substituted_total", reason+" bitly", 1)
			m := b.Await(flow.Signing, "signing.v1.acme.clickwrap.link.substituted."+event.DocumentToken("doc 1"), 1)[0]
			e, err := event.Decode(m.Data())
			if err != nil || e.GetId() != event.DerivedID("n1", "shortener", "substituted") || e.GetRecipient().GetId() != "s1" ||
				e.GetAttributes()["shortener"] != "bitly" || e.GetAttributes()["reason"] != reason ||
				e.GetNotice().GetNotificationId() != "n1" || e.GetNotice().GetKind() != "invitation" || e.GetNotice().GetChannel() != "sms" ||
				e.GetVerification() != signingv1.Verification_VERIFICATION_INTERNAL || e.GetOccurredAt() == nil {
				t.Errorf("event %v, %v", e, err)
			}
		})
	}
}

func TestATemporaryFailureIsRetried(t *testing.T) {
	t.Parallel()
	b, calls := viaBitly(t, func(w http.ResponseWriter, r *http.Request, before int32) {
		if before == 0 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		gives(w, r, before)
	})
	publish(t, b, invitation("n1", "s1", notifyv1.Channel_CHANNEL_SMS))
	if short := shortened(t, b, 1)["n1"]; short != "https://bit.ly/1" || calls.Load() != 2 {
		t.Errorf("%q after %d calls", short, calls.Load())
	}
	if n := b.Count(flow.Signing, "signing.v1.>"); n != 0 {
		t.Errorf("%d events", n)
	}
}

func TestOurOwnLimitDelaysNoMessageForLong(t *testing.T) {
	t.Parallel()
	b, calls := viaBitly(t, gives)
	if err := b.Env.Limits.Pause(t.Context(), "shortener/bitly", time.Hour); err != nil {
		t.Fatal(err)
	}
	publish(t, b, invitation("n1", "s1", notifyv1.Channel_CHANNEL_SMS))
	if short := shortened(t, b, 1)["n1"]; !strings.HasPrefix(short, public+"/l/") || calls.Load() != 0 {
		t.Errorf("%q after %d calls", short, calls.Load())
	}
	m := b.Await(flow.Signing, "signing.v1.acme.clickwrap.link.substituted.>", 1)[0]
	if e, err := event.Decode(m.Data()); err != nil || e.GetAttributes()["reason"] != "rate-limit" {
		t.Errorf("event %v, %v", e, err)
	}
}
