package clickwrap

import (
	"regexp"
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/providers/jsonflat"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// describe extracts the information that only Clickwrap's descriptions contain: the person who acted, and the name of the request. Descriptions
// are sentences for people, with unescaped titles, so a sentence can have several readings. Such a sentence is not used. The attribute
// "description" keeps the whole sentence, and the API returns the title.
//
//	PactSafe sent "Example Contract"
//	Eric Prugh signed "Example Contract"
//	"Example Contract" has been completed
//	Eric Prugh (Eric@pactsafe.com) agreed to "Mutual NDA" in Request "Example Contract"
func describe(e *signingv1.SigningEvent, description string) {
	var name, email, title string
	switch {
	case e.GetProviderType() == "request_sent":
		_, title = split(description, ` sent "`)
	case e.GetProviderType() == "request_signed":
		name, title = split(description, ` signed "`)
	case e.GetProviderType() == "request_complete":
		sentence, _ := strings.CutSuffix(description, " has been completed")
		if quote, ok := strings.CutPrefix(sentence, `"`); ok && sentence != description {
			title = quoted(quote)
		}
	case strings.HasPrefix(e.GetProviderType(), "activity_"):
		name, email = actor(description)
		_, title = split(description, ` in Request "`)
	}
	if e.GetDocument() != nil {
		e.Document.Title = title
	}
	given, family := names(name)
	if given+family+email == "" {
		return
	}
	if e.GetRecipient() == nil {
		e.Recipient = &signingv1.Recipient{}
	}
	e.Recipient.FirstName, e.Recipient.LastName, e.Recipient.Email = given, family, email
}

// split parses <person><verb and opening quote><title>". It returns nothing if the verb and quote occur twice, because the title could begin
// after either.
func split(sentence, opening string) (who, title string) {
	who, quote, _ := strings.Cut(sentence, opening)
	if strings.Contains(quote, opening) {
		return "", ""
	}
	if title = quoted(quote); title == "" {
		return "", ""
	}
	return who, title
}

// quoted returns the text before the last quote; empty if an earlier quote could end it. An earlier quote does not count if a quote within the
// title opens it.
func quoted(text string) string {
	title, ended := strings.CutSuffix(text, `"`)
	depth := 0
	for i := range len(title) {
		switch {
		case title[i] != '"':
		case i == 0 || strings.IndexByte(" ([", title[i-1]) >= 0:
			depth++
		default:
			depth--
		}
		if depth < 0 {
			return ""
		}
	}
	if !ended || depth > 0 {
		return ""
	}
	return title
}

// address is the form in which an activity's description names a person: Eric Prugh (Eric@pactsafe.com) …
var address = regexp.MustCompile(`\((\S+@\S+?)\)`)

// unnamed is the form for a signer without a name: eric@pactsafe.com agreed to …
var unnamed = regexp.MustCompile(`^([^\s()"]+@[^\s()"]+) `)

// actor returns the person who acted. It returns nothing if a contract's title contains an address too, or precedes the address. A signer
// without a name is identified by the address alone, which may also replace the name.
func actor(description string) (name, email string) {
	found := address.FindAllStringSubmatchIndex(description, 2)
	if len(found) == 0 {
		if alone := unnamed.FindStringSubmatch(description); alone != nil {
			return "", alone[1]
		}
	}
	if len(found) != 1 {
		return "", ""
	}
	name, spaced := strings.CutSuffix(description[:found[0][0]], " ")
	if !spaced && name != "" || strings.Contains(name, `"`) || !strings.HasPrefix(description[found[0][1]:], " ") {
		return "", ""
	}
	email = description[found[0][2]:found[0][3]]
	if strings.EqualFold(name, email) {
		name = ""
	}
	return name, email
}

// names uses the last word as the family name: "Eric van Dyke" becomes "Eric van" and "Dyke". Joined again, the parts give
// the original name. A name of placeholders ("null null") counts as empty.
func names(name string) (given, family string) {
	if !slices.ContainsFunc(strings.Fields(name), func(word string) bool { return !jsonflat.Absent(word) }) {
		return "", ""
	}
	if i := strings.LastIndexByte(name, ' '); i >= 0 {
		return name[:i], name[i+1:]
	}
	return name, ""
}
