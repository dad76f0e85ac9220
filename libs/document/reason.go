package document

import (
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/recipient"
)

// notNeeded are the reasons of messages that their person does not need.
var notNeeded = map[string]bool{
	event.OverSigned: true, event.OverDeclined: true, event.OverDocument: true, event.OverCorrected: true,
	recipient.NotTheirTurn: true, recipient.ProviderReminds: true, recipient.NotListed: true, recipient.ProviderWrites: true,
}
