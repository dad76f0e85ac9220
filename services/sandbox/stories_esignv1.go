package sandbox

import (
	"slices"
	"time"
)

// The people of the esign-v1 stories. The numbers are those that Britain keeps for fiction; one is typed as at home.
var (
	ameliaClarke = signer{first: "Amelia", last: "Clarke", email: "amelia.clarke@example.com", mobile: "+447700900123", byEmail: true, bySMS: true}
	oliverHughes = signer{first: "Oliver", last: "Hughes", email: "oliver.hughes@example.com", mobile: "07700 900456", byEmail: true, bySMS: true}
	islaMorgan   = signer{first: "Isla", last: "Morgan", email: "isla.morgan@example.com", byEmail: true}
)

// nightLong is how long the outage of the long night was.
const nightLong = 9 * time.Hour

// esignStories are batches as they come every six minutes, or after an outage, and the callback of a finished document.
var esignStories = []story{
	{
		Provider: esignName, Name: "one-signer",
		Title:       "One signer, and two callbacks of the end",
		Description: `Amelia Clarke's link is ours to send. Both the batch and the callback of the finished document say that it is signed: she is told once.`,
		documents:   []document{{title: "Statement of Work", signers: []signer{ameliaClarke}}},
		steps: []step{
			together(first.sent()),
			together(first.opened(0), first.signed(0), first.completed(), first.sealed()),
		},
		Messages: slices.Concat(invitation(ameliaClarke), completion(ameliaClarke)),
	},
	{
		Provider: esignName, Name: "two-signers",
		Title:       "One after the other",
		Description: `Oliver Hughes comes second: he hears of the document when Amelia Clarke has signed. The finished document lies on another server.`,
		documents: []document{
			{title: "Shareholder Agreement", ordered: true, keeps: elsewhere, signers: []signer{ameliaClarke, oliverHughes}},
		},
		steps: []step{
			together(first.sent()),
			together(first.opened(0), first.signed(0)),
			together(first.opened(1), first.signed(1), first.completed()),
		},
		Messages: slices.Concat(invitation(ameliaClarke), invitation(oliverHughes), completion(ameliaClarke, oliverHughes)),
	},
	{
		Provider: esignName, Name: "long-night",
		Title: "A long night",
		Description: `After an outage of nine hours one batch tells everything: "Supply Agreement" went to Amelia Clarke and Oliver Hughes, both signed, ` +
			`and it is in the archive by now; "Data Processing Addendum" went to Isla Morgan, who has yet to sign. The batch comes twice.`,
		documents: []document{
			{title: "Supply Agreement", keeps: archived, signers: []signer{ameliaClarke, oliverHughes}},
			{title: "Data Processing Addendum", signers: []signer{islaMorgan}},
		},
		steps: []step{{
			happens: []happening{
				first.sent(), first.opened(0), second.sent(), first.signed(0), first.opened(1), first.signed(1), first.completed(),
			},
			over: nightLong, twice: true,
		}},
		Messages: slices.Concat(completion(ameliaClarke, oliverHughes), invitation(islaMorgan)),
	},
	{
		Provider: esignName, Name: "declined",
		Title:       "One of two rejects",
		Description: `Amelia Clarke rejects the document. Oliver Hughes and the document's sender are told so, once.`,
		documents:   []document{{title: "Lease Renewal", signers: []signer{ameliaClarke, oliverHughes}}},
		steps: []step{
			together(first.sent()),
			together(first.opened(0), first.declined(0)),
		},
		Messages: slices.Concat(invitation(ameliaClarke, oliverHughes), declining(oliverHughes)),
	},
}
