package sandbox

import "slices"

// The people of the Clickwrap stories. The numbers are the seed's, and ones that are never given to anybody (555-01xx).
var (
	ericSmith = signer{first: "Eric", last: "Smith", email: "eric.smith@example.com", mobile: "+13175551234", byEmail: true, bySMS: true}
	janeRoe   = signer{first: "Jane", last: "Roe", email: "jane.roe@example.com", mobile: "+13175550142", byEmail: true}
	ericPrugh = signer{first: "Eric", last: "Prugh", email: "eric.prugh@example.com", mobile: "+13175550123", byEmail: true, bySMS: true}
	samLee    = signer{first: "Sam", last: "Lee", email: "sam.lee@example.com", mobile: "(317) 555-0187", byEmail: true, bySMS: true}
)

// clickwrapStories are the guide's three flows, and the cases it warns of.
var clickwrapStories = []story{
	{
		Provider: clickwrapName, Name: "seed",
		Title: "The three flows of the guide",
		Description: `"PS Employment Agreement" goes to Eric Smith (text and e-mail) and Jane Roe (e-mail only), both sign, and it is complete. ` +
			`"Employment Agreement" goes to Eric Smith and Sam Lee, and only Eric Smith signs.`,
		documents: []document{
			{title: "PS Employment Agreement", signers: []signer{ericSmith, janeRoe}},
			{title: "Employment Agreement", signers: []signer{ericSmith, samLee}},
		},
		steps: each(
			first.sent(), first.signed(0), first.signed(1), first.completed(),
			second.sent(), second.signed(0),
		),
		Messages: slices.Concat(
			invitation(ericSmith, janeRoe), progress(janeRoe), completion(ericSmith, janeRoe),
			invitation(ericSmith, samLee), progress(samLee),
		),
	},
	{
		Provider: clickwrapName, Name: "one-signer",
		Title:       "One signer, the end before the signature",
		Description: `A single signer's signature and the end of the document come in either order: here the end comes first. Nobody is told of progress.`,
		documents:   []document{{title: "Mutual NDA", signers: []signer{ericSmith}}},
		steps:       each(first.sent(), first.completed(), first.signed(0)),
		Messages:    slices.Concat(invitation(ericSmith), completion(ericSmith)),
	},
	{
		Provider: clickwrapName, Name: "two-signers",
		Title:       "Two signers, one after the other",
		Description: `Eric Smith and Sam Lee both get a text and an e-mail; when the first has signed, the second is told so; then it is complete.`,
		documents:   []document{{title: "E-Waiver Form", signers: []signer{ericSmith, samLee}}},
		steps:       each(first.sent(), first.signed(0), first.signed(1), first.completed()),
		Messages:    slices.Concat(invitation(ericSmith, samLee), progress(samLee), completion(ericSmith, samLee)),
	},
	{
		Provider: clickwrapName, Name: "resend",
		Title:       "Sent again on purpose",
		Description: `Nobody has signed, so its sender sends the request again: both are invited again, with the links that they have. Still nobody signs.`,
		documents:   []document{{title: "Consulting Agreement", signers: []signer{ericSmith, janeRoe}}},
		steps:       each(first.sent(), first.sent()),
		Messages:    slices.Concat(invitation(ericSmith, janeRoe), invitation(ericSmith, janeRoe)),
	},
	{
		Provider: clickwrapName, Name: "declined",
		Title:       "One of two disagrees",
		Description: `Eric Smith and Sam Lee are invited; Eric Smith disagrees. Sam Lee and the document's sender are told so, once.`,
		documents:   []document{{title: "Non-Compete Agreement", signers: []signer{ericSmith, samLee}}},
		steps:       each(first.sent(), first.declined(0)),
		Messages:    slices.Concat(invitation(ericSmith, samLee), declining(samLee)),
	},
}
