package esignv1

import (
	"slices"
	"time"

	"github.com/signrelay/signrelay/services/sandbox/party"
)

// The people of the esign-v1 stories. The numbers are reserved for drama in the United Kingdom; one has the national format.
var (
	ameliaClarke = party.Signer{First: "Amelia", Last: "Clarke", Email: "amelia.clarke@example.com", Mobile: "+447700900123", ByEmail: true, BySMS: "447700900123"}
	oliverHughes = party.Signer{First: "Oliver", Last: "Hughes", Email: "oliver.hughes@example.com", Mobile: "07700 900456", ByEmail: true, BySMS: "447700900456"}
	// A person as the sender of a document typed her address, and as it is.
	graceMistyped = party.Signer{First: "Grace", Last: "Evans", Email: "grace.evans@" + party.UnreachableDomain, ByEmail: true}
	graceEvans    = party.Signer{First: "Grace", Last: "Evans", Email: "grace.evans@example.com", ByEmail: true}
	islaMorgan    = party.Signer{First: "Isla", Last: "Morgan", Email: "isla.morgan@example.com", ByEmail: true}
)

// nightLong is the length of the outage in the story long-night.
const nightLong = 9 * time.Hour

// stories contains batches, which come every six minutes or after an outage, and the callbacks of complete documents.
var stories = []party.Story{
	{
		Provider: name, Name: "one-signer",
		Title:       "One signer, and two callbacks about the completion",
		Description: `Signrelay sends Amelia Clarke's link. Both the batch and the callback of the final document report the completion: she gets one message.`,
		Documents:   []party.Draft{{Title: "Statement of Work", Signers: []party.Signer{ameliaClarke}}},
		Steps: []party.Step{
			party.Together(party.First.Sent()),
			party.Together(party.First.Opened(0), party.First.Signed(0), party.First.Completed(), party.First.Sealed()),
		},
		Messages: slices.Concat(party.Invitation(ameliaClarke), party.Completion(ameliaClarke)),
	},
	{
		Provider: name, Name: "two-signers",
		Title:       "One after the other",
		Description: `Oliver Hughes signs second: he gets his invitation when Amelia Clarke has signed. The final document is on another server.`,
		Documents: []party.Draft{
			{Title: "Shareholder Agreement", Ordered: true, Storage: elsewhere, Signers: []party.Signer{ameliaClarke, oliverHughes}},
		},
		Steps: []party.Step{
			party.Together(party.First.Sent()),
			party.Together(party.First.Opened(0), party.First.Signed(0)),
			party.Together(party.First.Opened(1), party.First.Signed(1), party.First.Completed()),
		},
		Messages: slices.Concat(party.Invitation(ameliaClarke), party.Invitation(oliverHughes), party.Completion(ameliaClarke, oliverHughes)),
	},
	{
		Provider: name, Name: "long-night",
		Title: "A long night",
		Description: `After an outage of nine hours, one batch reports everything: "Supply Agreement" was sent to Amelia Clarke and Oliver Hughes, both signed, ` +
			`and it is in the archive; "Data Processing Addendum" was sent to Isla Morgan, who has not signed yet. The batch comes twice.`,
		Documents: []party.Draft{
			{Title: "Supply Agreement", Storage: archived, Signers: []party.Signer{ameliaClarke, oliverHughes}},
			{Title: "Data Processing Addendum", Signers: []party.Signer{islaMorgan}},
		},
		Steps: []party.Step{{
			Events: []party.Event{
				party.First.Sent(), party.First.Opened(0), party.Second.Sent(), party.First.Signed(0), party.First.Opened(1), party.First.Signed(1), party.First.Completed(),
			},
			Over: nightLong, Twice: true,
		}},
		Messages: slices.Concat(party.Completion(ameliaClarke, oliverHughes), party.Invitation(islaMorgan)),
	},
	{
		Provider: name, Name: "declined",
		Title:       "One of two rejects",
		Description: `Amelia Clarke rejects the document. Oliver Hughes and the document's sender each get one message about it.`,
		Documents:   []party.Draft{{Title: "Lease Renewal", Signers: []party.Signer{ameliaClarke, oliverHughes}}},
		Steps: []party.Step{
			party.Together(party.First.Sent()),
			party.Together(party.First.Opened(0), party.First.Declined(0)),
		},
		Messages: slices.Concat(party.Invitation(ameliaClarke, oliverHughes), party.Declining(oliverHughes)),
	}, {
		Provider: name, Name: "corrected",
		Title: "The sender corrects an address for Signrelay's messages",
		Description: `The e-mail to Grace Evans does not arrive. The API cannot change a signer, so the document's sender corrects her address for the messages of ` +
			`Signrelay. She gets her invitation there, and signs.`,
		Documents: []party.Draft{{Title: "Catering Contract", Signers: []party.Signer{graceMistyped}}},
		Steps:     []party.Step{party.Together(party.First.Sent()), party.First.Corrects(graceEvans), party.First.SignsByLink(graceEvans)},
		Messages:  slices.Concat(party.Bounce(), party.Invitation(graceEvans), party.Completion(graceEvans)),
	},
}
