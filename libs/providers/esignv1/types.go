package esignv1

import "github.com/signrelay/signrelay/libs/event"

// A status code means one thing for a signer and another for a document (30, 40, 50), so there are two tables. A code in neither table is
// other.recorded.
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
		"35": event.RecipientFilled, // all fields except the signature
		"39": event.RecipientAwaitingWitness,
		"40": event.RecipientSigned,
		"50": event.RecipientDownloaded,
		"60": event.RecipientDeclined,
	}
	// Values that the signed route may send as the reason for its call: it can be subscribed to "signed", "sent" and "rejected". "sent" has no
	// canonical type here: the route "all" reports which recipient was sent what.
	statusByName = map[string]string{
		"signed":   event.DocumentCompleted,
		"rejected": event.DocumentDeclined,
	}
)
