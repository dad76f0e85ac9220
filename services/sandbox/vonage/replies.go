package vonage

import (
	"net/url"
	"strings"
	"time"

	"github.com/signrelay/signrelay/services/sandbox/party"
)

// repliesTarget is the name of the replies in faults. With its mode "stop", the person who gets the next text replies STOP.
const repliesTarget = "replies"

// replies are the texts of the modes.
var replies = map[string]string{"stop": "STOP", "start": "START", "help": "HELP", "question": "Who is this?"}

// reply sends a person's reply to an SMS, as Vonage does. A dashboard has its address. The sandbox has none, so it uses the address of the SMS's
// receipts with another path.
func (r *receipts) reply(t text, words string) {
	address, err := url.Parse(t.callback)
	if err != nil || !strings.Contains(address.Path, "/receipts/") {
		r.log.Warn("a person's reply has no address: the SMS requested no receipts")
		return
	}
	address.Path = strings.Replace(address.Path, "/receipts/", "/inbound/", 1)
	now := time.Now().UTC()
	form := url.Values{
		"msisdn": {t.to}, "to": {t.from}, "messageId": {strings.ToUpper(party.RandomHex(8))}, "text": {words}, "type": {"text"},
		"keyword": {strings.ToUpper(strings.Fields(words)[0])}, "api-key": {r.account.APIKey}, "message-timestamp": {now.Format(time.DateTime)},
	}
	r.sign(form, now)
	r.inFlight.Go(func() {
		if party.Wait(r.ctx, receiptAfter) == nil {
			r.deliver(address.String(), form)
		}
	})
}
