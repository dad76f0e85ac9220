package clickwrap

import (
	"regexp"
	"strings"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// What Clickwrap's descriptions tell and its fields do not: who acted and what the request is called. They are sentences
// for people, so they are the last resort of whoever writes to a signer: the request as the guide shows it has neither
// names nor a title. The attribute "description" keeps the whole sentence.
var (
	// PactSafe sent "Example Contract"
	sentSentence = regexp.MustCompile(`(?s)^.* sent "(.*)"$`)
	// Eric Prugh signed "Example Contract"
	signedSentence = regexp.MustCompile(`(?s)^(.*?) signed "(.*)"$`)
	// "Example Contract" has been completed
	completeSentence = regexp.MustCompile(`(?s)^"(.*)" has been completed$`)
	// Eric Prugh (Eric@pactsafe.com) agreed to "Mutual NDA" in Request "Example Contract"
	activitySentence = regexp.MustCompile(`(?s)^(.*?) \((\S+@\S+)\) .*?(?: in Request "(.*)")?$`)
)

// describe adds to e what the description tells. Only a document's event gets a title, and only an act has an actor.
func describe(e *signingv1.SigningEvent, description string) {
	var name, email, title string
	switch {
	case e.GetProviderType() == "request_sent":
		title = quoted(sentSentence.FindStringSubmatch(description))
	case e.GetProviderType() == "request_complete":
		title = quoted(completeSentence.FindStringSubmatch(description))
	case e.GetProviderType() == "request_signed":
		if m := signedSentence.FindStringSubmatch(description); m != nil {
			name, title = m[1], m[2]
		}
	case strings.HasPrefix(e.GetProviderType(), "activity_"):
		if m := activitySentence.FindStringSubmatch(description); m != nil {
			name, email, title = m[1], m[2], m[3]
		}
	}
	if e.GetDocument() != nil {
		e.Document.Title = title
	}
	if name == "" {
		return
	}
	if e.GetRecipient() == nil {
		e.Recipient = &signingv1.Recipient{}
	}
	e.Recipient.FirstName, e.Recipient.LastName = split(name)
	e.Recipient.Email = email
}

func quoted(match []string) string {
	if match == nil {
		return ""
	}
	return match[1]
}

// split takes the last word for the family name: "Eric van Dyke" is Eric van, Dyke; joined again it is what it was.
func split(name string) (given, family string) {
	if i := strings.LastIndexByte(name, ' '); i >= 0 {
		return name[:i], name[i+1:]
	}
	return name, ""
}
