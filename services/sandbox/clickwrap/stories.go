package clickwrap

import (
	"slices"
	"time"

	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	"github.com/signrelay/signrelay/services/sandbox/party"
)

// The people of the Clickwrap stories. The numbers are those of the guide, and numbers reserved for examples (555-01xx).
var (
	ericSmith = party.Signer{First: "Eric", Last: "Smith", Email: "eric.smith@example.com", Mobile: "+13175551234", ByEmail: true, BySMS: "13175551234"}
	janeRoe   = party.Signer{First: "Jane", Last: "Roe", Email: "jane.roe@example.com", Mobile: "+13175550142", ByEmail: true}
	ericPrugh = party.Signer{First: "Eric", Last: "Prugh", Email: "eric.prugh@example.com", Mobile: "+13175550123", ByEmail: true, BySMS: "13175550123"}
	ritaMoss  = party.Signer{First: "Rita", Last: "Moss", Email: "rita.moss@example.com", Mobile: "+1" + party.UnreachableNumber[1:], BySMS: party.UnreachableNumber}
	samLee    = party.Signer{First: "Sam", Last: "Lee", Email: "sam.lee@example.com", Mobile: "(317) 555-0187", ByEmail: true, BySMS: "13175550187"}
)

const day = 24 * time.Hour

// stories contains the guide's three flows, and the special cases that the guide describes.
var stories = []party.Story{
	{
		Provider: name, Name: "seed",
		Title: "The three flows of the guide",
		Description: `"PS Employment Agreement" goes to Eric Smith (SMS and e-mail) and Jane Roe (only e-mail). Both sign, and it is complete. ` +
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
		Title:       "One signer, completion before the signature",
		Description: `A single signer's signature and the completion of the document are reported in either order. Here the completion comes first. There are no progress messages.`,
		Documents:   []party.Draft{{Title: "Mutual NDA", Signers: []party.Signer{ericSmith}}},
		Steps:       party.Each(party.First.Sent(), party.First.Completed(), party.First.Signed(0)),
		Messages:    slices.Concat(party.Invitation(ericSmith), party.Completion(ericSmith)),
	},
	{
		Provider: name, Name: "two-signers",
		Title:       "Two signers, one after the other",
		Description: `Eric Smith and Sam Lee each get an SMS and an e-mail. When the first person has signed, the second one gets a progress message. Then the document is complete.`,
		Documents:   []party.Draft{{Title: "E-Waiver Form", Signers: []party.Signer{ericSmith, samLee}}},
		Steps:       party.Each(party.First.Sent(), party.First.Signed(0), party.First.Signed(1), party.First.Completed()),
		Messages:    slices.Concat(party.Invitation(ericSmith, samLee), party.Progress(samLee), party.Completion(ericSmith, samLee)),
	},
	{
		Provider: name, Name: "resend",
		Title:       "Sent again on purpose",
		Description: `No one has signed, so the sender sends the request again: both signers get another invitation, with the same links.`,
		Documents:   []party.Draft{{Title: "Consulting Agreement", Signers: []party.Signer{ericSmith, janeRoe}}},
		Steps:       party.Each(party.First.Sent(), party.First.Sent()),
		Messages:    slices.Concat(party.Invitation(ericSmith, janeRoe), party.Invitation(ericSmith, janeRoe)),
	},
	{
		Provider: name, Name: "declined",
		Title:       "One of two disagrees",
		Description: `Eric Smith and Sam Lee get invitations. Eric Smith disagrees. Sam Lee and the document's sender each get one message about it.`,
		Documents:   []party.Draft{{Title: "Non-Compete Agreement", Signers: []party.Signer{ericSmith, samLee}}},
		Steps:       party.Each(party.First.Sent(), party.First.Declined(0)),
		Messages:    slices.Concat(party.Invitation(ericSmith, samLee), party.Declining(samLee)),
	},
	{
		Provider: name, Name: "unsigned", MovesClock: true,
		Title: "No one signs for 15 days",
		Description: `Eric Smith and Jane Roe get a reminder after 3, 7 and 14 days, and then no more. The sandbox moves the clock of all services, so each day takes a moment; ` +
			`other documents that wait for a signature get their reminders too.`,
		Documents: []party.Draft{{Title: "Service Agreement", Signers: []party.Signer{ericSmith, janeRoe}}},
		Steps: []party.Step{
			party.Together(party.First.Sent()), party.Pass(3 * day), party.Pass(4 * day), party.Pass(7 * day), party.Pass(day),
		},
		Messages: slices.Concat(
			party.Invitation(ericSmith, janeRoe),
			party.Reminder(ericSmith, janeRoe), party.Reminder(ericSmith, janeRoe), party.Reminder(ericSmith, janeRoe),
		),
	},
	{
		Provider: name, Name: "lost-text",
		Title:       "The text does not arrive",
		Description: `Rita Moss wants only an SMS. Vonage accepts it and reports that it did not arrive. So she gets her invitation by e-mail.`,
		Documents:   []party.Draft{{Title: "Volunteer Agreement", Signers: []party.Signer{ritaMoss}}},
		Steps:       party.Each(party.First.Sent()),
		Messages:    party.OtherChannel(ritaMoss),
	},
	{
		Provider: name, Name: "stop",
		Title: "STOP, HELP and START",
		Description: `Eric Smith and Sam Lee get invitations. Eric Smith replies STOP to his text and gets a confirmation. Sam Lee signs, and Eric Smith gets ` +
			`the progress message only by e-mail. He replies HELP and START, and gets a response to each. ` +
			`When the story is played again within 10 minutes, he gets no second response, and the story takes 20 seconds longer.`,
		Documents: []party.Draft{{Title: "Photo Release", Signers: []party.Signer{ericSmith, samLee}}},
		Steps: []party.Step{
			party.Together(party.First.Sent()), party.Replies(ericSmith, "STOP", 1, 1),
			party.Together(party.First.Signed(1)), party.Replies(ericSmith, "HELP", 1, 2), // the response to HELP follows the progress message
			party.Replies(ericSmith, "START", 3, 2),
		},
		Messages: slices.Concat(
			party.Invitation(ericSmith, samLee), party.Response(notifyv1.Kind_KIND_STOPPED, ericSmith), party.ByEmail(party.Progress(ericSmith)),
			party.Response(notifyv1.Kind_KIND_HELP, ericSmith), party.Response(notifyv1.Kind_KIND_STARTED, ericSmith),
		),
	},
}
