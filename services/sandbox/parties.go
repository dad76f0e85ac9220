package sandbox

import (
	"github.com/signrelay/signrelay/services/sandbox/bitly"
	"github.com/signrelay/signrelay/services/sandbox/clickwrap"
	esignv1 "github.com/signrelay/signrelay/services/sandbox/esign-v1"
	"github.com/signrelay/signrelay/services/sandbox/party"
	"github.com/signrelay/signrelay/services/sandbox/pleasesign"
	"github.com/signrelay/signrelay/services/sandbox/rebrandly"
	"github.com/signrelay/signrelay/services/sandbox/smtp"
	"github.com/signrelay/signrelay/services/sandbox/vonage"
)

// parties is everybody that the sandbox stands in for: one line a party, in the order of the flow, which is also the order of the
// page and of the APIs.
var parties = []party.Party{
	clickwrap.Party,
	pleasesign.Party,
	esignv1.Party,
	bitly.Party,
	rebrandly.Party,
	vonage.Party,
	smtp.Party,
}

// stories is everything that can be played, in the order in which the page shows it.
func stories() []party.Story {
	var all []party.Story
	for _, p := range parties {
		all = append(all, p.Stories...)
	}
	return all
}

// targets is everything that can be told to fail.
func targets() []party.Target {
	var all []party.Target
	for _, p := range parties {
		all = append(all, p.Targets...)
	}
	return all
}
