package esignv1

import "github.com/signrelay/signrelay/libs/event"

// A status code means one thing on a signer and another on a document (30, 40, 50), so there are two tables. A code that
// is in neither is other.recorded.
var (
	documentStatus = map[string]string{
		"10": event.DocumentCreated,
		"20": event.DocumentFilled,
		"30": event.DocumentCompleted,
		"40": event.DocumentVoided,
		"50": event.DocumentDeclined,
	}
	signerStatus = map[string]string{
		"4":  event.RecipientQueued, // not sent yet
		"5":  event.RecipientQueued, // its sending is scheduled
		"10": event.RecipientSent,
		"15": event.RecipientOpened, // the e-mail
		"20": event.RecipientOpened, // the document
		"30": event.RecipientFilled,
		"35": event.RecipientFilled, // all but the signature
		"39": event.RecipientAwaitingWitness,
		"40": event.RecipientSigned,
		"50": event.RecipientDownloaded,
		"60": event.RecipientDeclined,
	}
	// The words that the signed route may give for why it was called: it can be subscribed to "signed", "sent" and
	// "rejected". "sent" has no canonical type here: all tells who was sent what.
	wordStatus = map[string]string{
		"signed":   event.DocumentCompleted,
		"rejected": event.DocumentDeclined,
	}
)
