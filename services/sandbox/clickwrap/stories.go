package clickwrap

import (
	"slices"

	"github.com/signrelay/signrelay/services/sandbox/party"
)

// The people of the Clickwrap stories. The numbers are the seed's, and ones that are never given to anybody (555-01xx).
var (
	ericSmith = party.Signer{First: "Eric", Last: "Smith", Email: "eric.smith@example.com", Mobile: "+13175551234", ByEmail: true, BySMS: "13175551234"}
	janeRoe   = party.Signer{First: "Jane", Last: "Roe", Email: "jane.roe@example.com", Mobile: "+13175550142", ByEmail: true}
	ericPrugh = party.Signer{First: "Eric", Last: "Prugh", Email: "eric.prugh@example.com", Mobile: "+13175550123", ByEmail: true, BySMS: "13175550123"}
	samLee    = party.Signer{First: "Sam", Last: "Lee", Email: "sam.lee@example.com", Mobile: "(317) 555-0187", ByEmail: true, BySMS: "13175550187"}
)

// stories are the guide's three flows, and the cases it warns of.
var stories = []party.Story{
	{
		Provider: name, Name: "seed",
		Title: "The three flows of the guide",
		Description: `"PS Employment Agreement" goes to Eric Smith (text and e-mail) and Jane Roe (e-mail only), both sign, and it is complete. ` +
			`"Employment Agreement" goes to Eric Smith and Sam Lee, and only Eric Smith signs.`,
		Documents: []party.Draft{
			{Title: "PS Employment Agreement", Signers: []party.Signer{ericSmith, janeRoe}},
			{Title: "Employment Agreement", Signers: []party.Signer{ericSmith, samLee}},
		},
		Steps: party.Each(
			party.First.Sent(), party.First.Signed(0), party.First.Signed(1), party.First.Completed(),
			party.Second.Sent(), party.Second.Signed(0),
		),
		Messages: slices.Concat(
			party.Invitation(ericSmith, janeRoe), party.Progress(janeRoe), party.Completion(ericSmith, janeRoe),
			party.Invitation(ericSmith, samLee), party.Progress(samLee),
		),
	},
	{
		Provider: name, Name: "one-signer",
		Title:       "One signer, the end before the signature",
		Description: `A single signer's signature and the end of the document come in either order: here the end comes first. Nobody is told of progress.`,
		Documents:   []party.Draft{{Title: "Mutual NDA", Signers: []party.Signer{ericSmith}}},
		Steps:       party.Each(party.First.Sent(), party.First.Completed(), party.First.Signed(0)),
		Messages:    slices.Concat(party.Invitation(ericSmith), party.Completion(ericSmith)),
	},
	{
		Provider: name, Name: "two-signers",
		Title:       "Two signers, one after the other",
		Description: `Eric Smith and Sam Lee both get a text and an e-mail; when the first has signed, the second is told so; then it is complete.`,
		Documents:   []party.Draft{{Title: "E-Waiver Form", Signers: []party.Signer{ericSmith, samLee}}},
		Steps:       party.Each(party.First.Sent(), party.First.Signed(0), party.First.Signed(1), party.First.Completed()),
		Messages:    slices.Concat(party.Invitation(ericSmith, samLee), party.Progress(samLee), party.Completion(ericSmith, samLee)),
	},
	{
		Provider: name, Name: "resend",
		Title:       "Sent again on purpose",
		Description: `Nobody has signed, so its sender sends the request again: both are invited again, with the links that they have. Still nobody signs.`,
		Documents:   []party.Draft{{Title: "Consulting Agreement", Signers: []party.Signer{ericSmith, janeRoe}}},
		Steps:       party.Each(party.First.Sent(), party.First.Sent()),
		Messages:    slices.Concat(party.Invitation(ericSmith, janeRoe), party.Invitation(ericSmith, janeRoe)),
	},
	{
		Provider: name, Name: "declined",
		Title:       "One of two disagrees",
		Description: `Eric Smith and Sam Lee are invited; Eric Smith disagrees. Sam Lee and the document's sender are told so, once.`,
		Documents:   []party.Draft{{Title: "Non-Compete Agreement", Signers: []party.Signer{ericSmith, samLee}}},
		Steps:       party.Each(party.First.Sent(), party.First.Declined(0)),
		Messages:    slices.Concat(party.Invitation(ericSmith, samLee), party.Declining(samLee)),
	},
}
