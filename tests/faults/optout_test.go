package faults

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

// The SMS sender is killed after it stored an opt-out and before it responded. Vonage sends the STOP again. The opt-out, its event and its
// confirmation exist once.
func TestAnOptOutSurvivesACrash(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"opted", "replied"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			s := newStand(t, "optout-"+point, behaviour{receipts: true}, 1, map[string]string{"sms-sender": point + "@1"}, crashing)
			stop := url.Values{
				"msisdn": {"13175551234"}, "to": {"13175550100"}, "messageId": {"m1"}, "text": {"STOP"}, "type": {"text"},
				"message-timestamp": {time.Now().UTC().Format(time.DateTime)},
			}
			stop.Set("sig", signature(stop))
			send := func() int {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Address("SIGNRELAY_RECEIPTS_ADDR")+"/inbound/vonage/demo", strings.NewReader(stop.Encode()))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				response, err := http.DefaultClient.Do(r)
				if err != nil {
					return 0
				}
				_ = response.Body.Close()
				return response.StatusCode
			}
			if status := send(); status != 0 {
				t.Errorf("the response is %d", status)
			}
			s.diesOnce(t, "sms-sender")
			for range 2 {
				s.Until(t, "the text is accepted", func() bool { return send() == http.StatusOK })
			}
			s.Until(t, "the confirmation is sent", func() bool {
				return s.Count(t, flow.Signing, event.TypeFilter(event.NotificationSent)) > 0
			})
			for subject, want := range map[string]int{
				event.TypeFilter(event.RecipientOptedOut): 1, event.TypeFilter(event.NotificationRequested): 1, event.TypeFilter(event.NotificationSent): 1,
			} {
				if got := s.Count(t, flow.Signing, subject); got != want {
					t.Errorf("%d events %s, want %d", got, subject, want)
				}
			}
			if got := s.Count(t, flow.Notify, flow.ReplyFilter); got != 1 {
				t.Errorf("%d confirmations", got)
			}
		})
	}
}
