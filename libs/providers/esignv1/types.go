package esignv1

// A status code means one thing on a signer and another on a document (30, 40, 50), so there are two tables. A code that
// is in neither is other.recorded.
var (
	documentStatus = map[string]string{
		"10": "document.created",
		"20": "document.filled",
		"30": completed,
		"40": "document.voided",
		"50": "document.declined",
	}
	signerStatus = map[string]string{
		"4":  "recipient.queued", // not sent yet
		"5":  "recipient.queued", // its sending is scheduled
		"10": "recipient.sent",
		"15": "recipient.opened", // the e-mail
		"20": "recipient.opened", // the document
		"30": "recipient.filled",
		"35": "recipient.filled", // all but the signature
		"39": "recipient.awaiting-witness",
		"40": "recipient.signed",
		"50": "recipient.downloaded",
		"60": "recipient.declined",
	}
	// The words that the signed route may give for why it was called: it can be subscribed to "signed", "sent" and
	// "rejected". "sent" has no canonical type here: all tells who was sent what.
	wordStatus = map[string]string{
		"signed":   completed,
		"rejected": "document.declined",
	}
)

const (
	completed = "document.completed"
	recorded  = "other.recorded"
)
