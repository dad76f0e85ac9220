package pleasesign

import (
	"slices"

	"github.com/signrelay/signrelay/services/sandbox/party"
)

// The people of the PleaseSign stories. The numbers are those that Australia keeps for fiction; PleaseSign writes them
// without a plus.
var (
	oliviaNguyen = party.Signer{First: "Olivia", Last: "Nguyen", Email: "olivia.nguyen@example.com", Mobile: "61491570006", ByEmail: true, BySMS: "61491570006"}
	jackWilson   = party.Signer{First: "Jack", Last: "Wilson", Email: "jack.wilson@example.com", Mobile: "61491570156", ByEmail: true, BySMS: "61491570156"}
	miaKelly     = party.Signer{First: "Mia", Last: "Kelly", Email: "mia.kelly@example.com", ByEmail: true, Mailed: true}
)

// stories are what its callbacks tell of silent recipients, whose links are ours to send, and of others.
var stories = []party.Story{
	{
		Provider: name, Name: "one-signer",
		Title:       "One silent recipient",
		Description: `Olivia Nguyen's link is ours to send. She opens it, signs, and the document is sealed.`,
		Documents:   []party.Draft{{Title: "Residential Tenancy Agreement", Signers: []party.Signer{oliviaNguyen}}},
		Steps:       party.Each(party.First.Sent(), party.First.Opened(0), party.First.Signed(0), party.First.Completed()),
		Messages:    slices.Concat(party.Invitation(oliviaNguyen), party.Completion(oliviaNguyen)),
	},
	{
		Provider: name, Name: "two-signers",
		Title:       "Two silent recipients, in any order",
		Description: `Olivia Nguyen and Jack Wilson are invited at once; when she has signed, he is told so; then it is complete.`,
		Documents:   []party.Draft{{Title: "Contract of Sale", Signers: []party.Signer{oliviaNguyen, jackWilson}}},
		Steps:       party.Each(party.First.Sent(), party.First.Signed(0), party.First.Signed(1), party.First.Completed()),
		Messages: slices.Concat(
			party.Invitation(oliviaNguyen, jackWilson), party.Progress(jackWilson), party.Completion(oliviaNguyen, jackWilson),
		),
	},
	{
		Provider: name, Name: "ordered-signing",
		Title:       "One after the other",
		Description: `Jack Wilson comes second: he hears of the document when Olivia Nguyen has signed, and not before.`,
		Documents:   []party.Draft{{Title: "Building Contract", Ordered: true, Signers: []party.Signer{oliviaNguyen, jackWilson}}},
		Steps:       party.Each(party.First.Sent(), party.First.Signed(0), party.First.Signed(1), party.First.Completed()),
		Messages: slices.Concat(
			party.Invitation(oliviaNguyen), party.Invitation(jackWilson), party.Completion(oliviaNguyen, jackWilson),
		),
	},
	{
		Provider: name, Name: "declined",
		Title:       "One of two declines",
		Description: `Olivia Nguyen declines and says why. Jack Wilson and the document's sender are told so, once.`,
		Documents:   []party.Draft{{Title: "Partnership Agreement", Signers: []party.Signer{oliviaNguyen, jackWilson}}},
		Steps:       party.Each(party.First.Sent(), party.First.Declined(0)),
		Messages:    slices.Concat(party.Invitation(oliviaNguyen, jackWilson), party.Declining(jackWilson)),
	},
	{
		Provider: name, Name: "bounced",
		Title:       "PleaseSign's own letter comes back",
		Description: `Olivia Nguyen's link is ours to send, Mia Kelly gets hers from PleaseSign, whose letter bounces. The document's sender is told.`,
		Documents:   []party.Draft{{Title: "Service Agreement", Signers: []party.Signer{oliviaNguyen, miaKelly}}},
		Steps:       party.Each(party.First.Sent(), party.First.Failed(1)),
		Messages:    slices.Concat(party.Invitation(oliviaNguyen), party.Bounce()),
	},
	{
		Provider: name, Name: "mixed",
		Title:       "One silent, one not",
		Description: `Olivia Nguyen's link is ours to send, Mia Kelly gets hers from PleaseSign. Both sign, and both are told of the end.`,
		Documents:   []party.Draft{{Title: "Loan Agreement", Signers: []party.Signer{oliviaNguyen, miaKelly}}},
		Steps:       party.Each(party.First.Sent(), party.First.Opened(1), party.First.Signed(1), party.First.Signed(0), party.First.Completed()),
		Messages:    slices.Concat(party.Invitation(oliviaNguyen), party.Progress(oliviaNguyen), party.Completion(oliviaNguyen, miaKelly)),
	},
}
