package sandbox

// A story is documents, and what happens to them in order, in the domain's own words. The provider's stand-in turns each
// happening into its own callback.
type story struct {
	Provider    string `json:"provider"`
	Name        string `json:"story"`
	Title       string `json:"title"`
	Description string `json:"description"`

	documents []document
	happens   []happening
}

// document is what is to be signed, and by whom.
type document struct {
	title   string
	signers []signer // in signing order
}

type signer struct {
	first, last   string
	email, mobile string // as its sender typed them
	byEmail       bool
	bySMS         bool
}

func (s signer) name() string { return s.first + " " + s.last }

// happening is one thing that happens to a document; what is the canonical type of the event that shall come of it.
type happening struct {
	what     string
	document int // index in the story's documents
	signer   int // index in the document's signers, where it is one's doing
}

// What can happen.
const (
	documentSent      = "document.sent"
	recipientSigned   = "recipient.signed"
	documentCompleted = "document.completed"
)

func sent(document int) happening { return happening{what: documentSent, document: document} }
func signed(document, signer int) happening {
	return happening{what: recipientSigned, document: document, signer: signer}
}
func completed(document int) happening {
	return happening{what: documentCompleted, document: document}
}

// stories is everything that can be played, in the order in which the page shows it.
var stories = clickwrapStories

func storyNamed(provider, name string) (story, bool) {
	for _, s := range stories {
		if s.Provider == provider && s.Name == name {
			return s, true
		}
	}
	return story{}, false
}
