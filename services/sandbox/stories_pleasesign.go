package sandbox

import "slices"

// The people of the PleaseSign stories. The numbers are those that Australia keeps for fiction; PleaseSign writes them
// without a plus.
var (
	oliviaNguyen = signer{first: "Olivia", last: "Nguyen", email: "olivia.nguyen@example.com", mobile: "61491570006", byEmail: true, bySMS: true}
	jackWilson   = signer{first: "Jack", last: "Wilson", email: "jack.wilson@example.com", mobile: "61491570156", byEmail: true, bySMS: true}
	miaKelly     = signer{first: "Mia", last: "Kelly", email: "mia.kelly@example.com", byEmail: true, mailed: true}
)

// pleasesignStories are what its callbacks tell of silent recipients, whose links are ours to send, and of others.
var pleasesignStories = []story{
	{
		Provider: pleasesignName, Name: "one-signer",
		Title:       "One silent recipient",
		Description: `Olivia Nguyen's link is ours to send. She opens it, signs, and the document is sealed.`,
		documents:   []document{{title: "Residential Tenancy Agreement", signers: []signer{oliviaNguyen}}},
		steps:       each(first.sent(), first.opened(0), first.signed(0), first.completed()),
		Messages:    slices.Concat(invitation(oliviaNguyen), completion(oliviaNguyen)),
	},
	{
		Provider: pleasesignName, Name: "two-signers",
		Title:       "Two silent recipients, in any order",
		Description: `Olivia Nguyen and Jack Wilson are invited at once; when she has signed, he is told so; then it is complete.`,
		documents:   []document{{title: "Contract of Sale", signers: []signer{oliviaNguyen, jackWilson}}},
		steps:       each(first.sent(), first.signed(0), first.signed(1), first.completed()),
		Messages: slices.Concat(
			invitation(oliviaNguyen, jackWilson), progress(jackWilson), completion(oliviaNguyen, jackWilson),
		),
	},
	{
		Provider: pleasesignName, Name: "ordered-signing",
		Title:       "One after the other",
		Description: `Jack Wilson comes second: he hears of the document when Olivia Nguyen has signed, and not before.`,
		documents:   []document{{title: "Building Contract", ordered: true, signers: []signer{oliviaNguyen, jackWilson}}},
		steps:       each(first.sent(), first.signed(0), first.signed(1), first.completed()),
		Messages: slices.Concat(
			invitation(oliviaNguyen), invitation(jackWilson), completion(oliviaNguyen, jackWilson),
		),
	},
	{
		Provider: pleasesignName, Name: "declined",
		Title:       "One of two declines",
		Description: `Olivia Nguyen declines and says why. Jack Wilson and the document's sender are told so, once.`,
		documents:   []document{{title: "Partnership Agreement", signers: []signer{oliviaNguyen, jackWilson}}},
		steps:       each(first.sent(), first.declined(0)),
		Messages:    slices.Concat(invitation(oliviaNguyen, jackWilson), declining(jackWilson)),
	},
	{
		Provider: pleasesignName, Name: "bounced",
		Title:       "PleaseSign's own letter comes back",
		Description: `Olivia Nguyen's link is ours to send, Mia Kelly gets hers from PleaseSign, whose letter bounces. The document's sender is told.`,
		documents:   []document{{title: "Service Agreement", signers: []signer{oliviaNguyen, miaKelly}}},
		steps:       each(first.sent(), first.failed(1)),
		Messages:    slices.Concat(invitation(oliviaNguyen), bounce()),
	},
	{
		Provider: pleasesignName, Name: "mixed",
		Title:       "One silent, one not",
		Description: `Olivia Nguyen's link is ours to send, Mia Kelly gets hers from PleaseSign. Both sign, and both are told of the end.`,
		documents:   []document{{title: "Loan Agreement", signers: []signer{oliviaNguyen, miaKelly}}},
		steps:       each(first.sent(), first.opened(1), first.signed(1), first.signed(0), first.completed()),
		Messages:    slices.Concat(invitation(oliviaNguyen), progress(oliviaNguyen), completion(oliviaNguyen, miaKelly)),
	},
}
