package pleasesign

import (
	"slices"

	"github.com/signrelay/signrelay/services/sandbox/party"
)

// The people of the PleaseSign stories. The numbers are reserved for fiction in Australia; PleaseSign writes them without a plus.
var (
	oliviaNguyen = party.Signer{First: "Olivia", Last: "Nguyen", Email: "olivia.nguyen@example.com", Mobile: "61491570006", ByEmail: true, BySMS: "61491570006"}
	jackWilson   = party.Signer{First: "Jack", Last: "Wilson", Email: "jack.wilson@example.com", Mobile: "61491570156", ByEmail: true, BySMS: "61491570156"}
	// Two people as the sender of a document typed them, and as they are. Nothing arrives at the first addresses.
	avaMistyped  = party.Signer{First: "Ava", Last: "Martin", Email: "ava.martin@" + party.UnreachableDomain, ByEmail: true, Mailed: true}
	avaMartin    = party.Signer{First: "Ava", Last: "Martin", Email: "ava.martin@example.com", ByEmail: true, Mailed: true}
	noahMistyped = party.Signer{
		First: "Noah", Last: "Tailor", Email: "noah.tailor@" + party.UnreachableDomain, Mobile: party.UnreachableAustralianNumber, ByEmail: true,
		BySMS: party.UnreachableAustralianNumber,
	}
	noahTaylor  = party.Signer{First: "Noah", Last: "Taylor", Email: "noah.taylor@example.com", Mobile: "61491570157", ByEmail: true, BySMS: "61491570157"}
	miaKelly    = party.Signer{First: "Mia", Last: "Kelly", Email: "mia.kelly@example.com", ByEmail: true, Mailed: true}
	miaMistyped = party.Signer{First: "Mia", Last: "Kelly", Email: "mia.kelly@" + party.UnreachableDomain, ByEmail: true, Mailed: true}
)

// stories contains documents with silent recipients, whose links Signrelay sends, and with other recipients.
var stories = []party.Story{
	{
		Provider: name, Name: "one-signer",
		Title:       "One silent recipient",
		Description: `Signrelay sends Olivia Nguyen's link. She opens it and signs, and the document is complete.`,
		Documents:   []party.Draft{{Title: "Residential Tenancy Agreement", Signers: []party.Signer{oliviaNguyen}}},
		Steps:       party.Each(party.First.Sent(), party.First.Opened(0), party.First.Signed(0), party.First.Completed()),
		Messages:    slices.Concat(party.Invitation(oliviaNguyen), party.Completion(oliviaNguyen)),
	},
	{
		Provider: name, Name: "two-signers",
		Title:       "Two silent recipients, in any order",
		Description: `Olivia Nguyen and Jack Wilson get their invitations at the same time. When she has signed, he gets a progress message. Then the document is complete.`,
		Documents:   []party.Draft{{Title: "Contract of Sale", Signers: []party.Signer{oliviaNguyen, jackWilson}}},
		Steps:       party.Each(party.First.Sent(), party.First.Signed(0), party.First.Signed(1), party.First.Completed()),
		Messages: slices.Concat(
			party.Invitation(oliviaNguyen, jackWilson), party.Progress(jackWilson), party.Completion(oliviaNguyen, jackWilson),
		),
	},
	{
		Provider: name, Name: "ordered-signing",
		Title:       "One after the other",
		Description: `Jack Wilson signs second: he gets his invitation only when Olivia Nguyen has signed.`,
		Documents:   []party.Draft{{Title: "Building Contract", Ordered: true, Signers: []party.Signer{oliviaNguyen, jackWilson}}},
		Steps:       party.Each(party.First.Sent(), party.First.Signed(0), party.First.Signed(1), party.First.Completed()),
		Messages: slices.Concat(
			party.Invitation(oliviaNguyen), party.Invitation(jackWilson), party.Completion(oliviaNguyen, jackWilson),
		),
	},
	{
		Provider: name, Name: "declined",
		Title:       "One of two declines",
		Description: `Olivia Nguyen declines with a reason. Jack Wilson and the document's sender each get one message about it.`,
		Documents:   []party.Draft{{Title: "Partnership Agreement", Signers: []party.Signer{oliviaNguyen, jackWilson}}},
		Steps:       party.Each(party.First.Sent(), party.First.Declined(0)),
		Messages:    slices.Concat(party.Invitation(oliviaNguyen, jackWilson), party.Declining(jackWilson)),
	},
	{
		Provider: name, Name: "bounced",
		Title:       "PleaseSign's own e-mail bounces",
		Description: `Signrelay sends Olivia Nguyen's link. PleaseSign sends Mia Kelly's, and its e-mail bounces. The document's sender gets a message about it.`,
		Documents:   []party.Draft{{Title: "Service Agreement", Signers: []party.Signer{oliviaNguyen, miaMistyped}}},
		Steps:       party.Each(party.First.Sent(), party.First.Failed(1)),
		Messages:    slices.Concat(party.Invitation(oliviaNguyen), party.Bounce()),
	},
	{
		Provider: name, Name: "corrected",
		Title: "The sender corrects an address to which PleaseSign wrote",
		Description: `PleaseSign's e-mail to Ava Martin bounces. The document's sender follows the link in Signrelay's message and corrects her address. ` +
			`PleaseSign writes to her there, and she signs.`,
		Documents: []party.Draft{{Title: "Retainer Agreement", Signers: []party.Signer{avaMistyped}}},
		Steps: []party.Step{
			party.Together(party.First.Sent()), party.Together(party.First.Failed(0)), party.First.Corrects(avaMartin), party.First.SignsByLink(avaMartin),
		},
		Messages: slices.Concat(party.Bounce(), party.Completion(avaMartin)),
	},
	{
		Provider: name, Name: "corrected-silent",
		Title: "The sender corrects a silent recipient",
		Description: `Signrelay sends Noah Taylor's link, and neither the text nor the e-mail arrives. The document's sender follows the link in Signrelay's message ` +
			`and corrects his name, number and address. He gets his invitations there, and signs.`,
		Documents: []party.Draft{{Title: "Franchise Agreement", Signers: []party.Signer{noahMistyped}}},
		Steps:     []party.Step{party.Together(party.First.Sent()), party.First.Corrects(noahTaylor), party.First.SignsByLink(noahTaylor)},
		Messages:  slices.Concat(party.Bounce(), party.Invitation(noahTaylor), party.Completion(noahTaylor)),
	},
	{
		Provider: name, Name: "mixed",
		Title:       "One silent, one not",
		Description: `Signrelay sends Olivia Nguyen's link, and PleaseSign sends Mia Kelly's. Both sign, and both get a message about the completion.`,
		Documents:   []party.Draft{{Title: "Loan Agreement", Signers: []party.Signer{oliviaNguyen, miaKelly}}},
		Steps:       party.Each(party.First.Sent(), party.First.Opened(1), party.First.Signed(1), party.First.Signed(0), party.First.Completed()),
		Messages:    slices.Concat(party.Invitation(oliviaNguyen), party.Progress(oliviaNguyen), party.Completion(oliviaNguyen, miaKelly)),
	},
}
