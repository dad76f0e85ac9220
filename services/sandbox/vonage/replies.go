package vonage

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/signrelay/signrelay/services/sandbox/party"
)

// repliesTarget is the name of the replies in faults. With its mode "stop", the person who gets the next text replies STOP.
const repliesTarget = "replies"

// replies are the texts of the modes.
var replies = map[string]string{"stop": "STOP", "start": "START", "help": "HELP", "question": "Who is this?"}

var errNoAddress = errors.New("a person's reply has no address: the SMS requested no receipts")

// reply sends a person's reply to an SMS, as Vonage does, until it is accepted, at most six times. A dashboard has its address. The sandbox has
// none, so it uses the address of the SMS's receipts with another path.
func (r *receipts) reply(ctx context.Context, to party.Message, words string) error {
	address, err := url.Parse(to.Callback)
	if err != nil || !strings.Contains(address.Path, "/receipts/") {
		return errNoAddress
	}
	address.Path = strings.Replace(address.Path, "/receipts/", "/inbound/", 1)
	now := time.Now().UTC()
	form := url.Values{
		"msisdn": {to.To}, "to": {to.From}, "messageId": {strings.ToUpper(party.RandomHex(8))}, "text": {words}, "type": {"text"},
		"keyword": {strings.ToUpper(strings.Fields(words)[0])}, "api-key": {r.account.APIKey}, "message-timestamp": {now.Format(time.DateTime)},
	}
	r.sign(form, now)
	return r.deliver(ctx, address.String(), form)
}

// replyLater sends a reply in the background, shortly after the SMS was accepted.
func (r *receipts) replyLater(to party.Message, words string) {
	r.inFlight.Go(func() {
		err := party.Wait(r.ctx, receiptAfter)
		if err == nil {
			err = r.reply(r.ctx, to, words)
		}
		if err != nil && r.ctx.Err() == nil { // otherwise the sandbox stops
			r.log.Warn("a person's reply was not accepted", "error", err)
		}
	})
}
