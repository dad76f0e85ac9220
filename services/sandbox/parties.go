package sandbox

import (
	"github.com/signrelay/signrelay/services/sandbox/bitly"
	"github.com/signrelay/signrelay/services/sandbox/clickwrap"
	esignv1 "github.com/signrelay/signrelay/services/sandbox/esign-v1"
	"github.com/signrelay/signrelay/services/sandbox/files"
	"github.com/signrelay/signrelay/services/sandbox/party"
	"github.com/signrelay/signrelay/services/sandbox/pleasesign"
	"github.com/signrelay/signrelay/services/sandbox/rebrandly"
	"github.com/signrelay/signrelay/services/sandbox/smtp"
	"github.com/signrelay/signrelay/services/sandbox/vonage"
)

// parties lists the simulated parties, one line each, in the order of the flow. The page and the APIs use the same order.
var parties = []party.Party{
	clickwrap.Party,
	pleasesign.Party,
	esignv1.Party,
	files.Party,
	bitly.Party,
	rebrandly.Party,
	vonage.Party,
	smtp.Party,
}

// stories returns all stories, in the order of the page.
func stories() []party.Story {
	var all []party.Story
	for _, p := range parties {
		all = append(all, p.Stories...)
	}
	return all
}

// targets returns all targets of faults.
func targets() []party.Target {
	var all []party.Target
	for _, p := range parties {
		all = append(all, p.Targets...)
	}
	return all
}
