package recipient

import (
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// longestName is the longest first or last name of a correction, in characters.
const longestName = 100

// CheckDetails returns the details of a correction in the form in which they are stored, and every mistake in them. rules are the provider's; nil if
// the correction is for the messages of Signrelay only. A number without a country code belongs to the region.
func CheckDetails(to pack.Details, rules *pack.Corrects, region string) (pack.Details, []pack.Mistake) {
	var mistakes []pack.Mistake
	mistake := func(field, text string) { mistakes = append(mistakes, pack.Mistake{Field: field, Text: text}) }
	clean := pack.Details{FirstName: visible(to.FirstName), LastName: visible(to.LastName)}
	for field, name := range map[string]string{pack.FieldFirstName: clean.FirstName, pack.FieldLastName: clean.LastName} {
		switch {
		case utf8.RuneCountInString(name) > longestName:
			mistake(field, MistakeLong)
		case name == "" && rules != nil && rules.Name:
			mistake(field, MistakeNeeded)
		}
	}
	if to.Email = visible(to.Email); to.Email != "" {
		var reason string
		if clean.Email, reason = mailbox(to.Email); reason != "" {
			mistake(pack.FieldEmail, map[string]string{AddressSeveral: MistakeEmails, AddressInvalid: MistakeEmail}[reason])
		}
	} else if rules != nil && rules.Email {
		mistake(pack.FieldEmail, MistakeNeeded)
	}
	if to.Mobile = visible(to.Mobile); to.Mobile != "" {
		var reason string
		if clean.Mobile, reason = dialable(to.Mobile, region); reason != "" {
			mistake(pack.FieldMobile, numberMistakes[reason])
		}
	}
	if to.Email == "" && to.Mobile == "" && (rules == nil || !rules.Email) {
		mistake(pack.FieldEmail, MistakeNoAddress)
	}
	if len(mistakes) == 0 && rules != nil && rules.Check != nil {
		mistakes = rules.Check(clean)
	}
	slices.SortStableFunc(mistakes, func(a, b pack.Mistake) int {
		return slices.Index(detailFields, a.Field) - slices.Index(detailFields, b.Field)
	})
	return clean, mistakes
}

var detailFields = []string{pack.FieldFirstName, pack.FieldLastName, pack.FieldEmail, pack.FieldMobile}

// The texts of mistakes, which follow the name of a field.
const (
	MistakeNeeded    = "the provider needs it"
	MistakeLong      = "it is longer than 100 characters"
	MistakeEmail     = "it is not an e-mail address, such as jane@example.com"
	MistakeEmails    = "it has more than one address"
	MistakeNoAddress = "an e-mail address or a mobile number is needed"
	MistakeNumber    = "it is not a telephone number, such as +1 317 555 1234"
	MistakeShort     = "it has too few digits, or is only a part of a number"
	MistakeLetters   = "it has letters where digits may be missing"
	MistakeNumbers   = "it has more than one number"
	MistakeLandline  = "the note beside it says that it takes no texts"
)

// numberMistakes are the texts of the reasons against a number.
var numberMistakes = map[string]string{
	NumberInvalid: MistakeNumber, NumberIncomplete: MistakeShort, NumberLetters: MistakeLetters, NumberSeveral: MistakeNumbers, Landline: MistakeLandline,
}

// Correct gives the person the details of a correction. A correction at the provider is in the provider's list already. One for the messages of
// Signrelay replaces only the addresses that it was about. An address that the correction has added is a channel that the person wants, and a
// reason against a channel that was about the old address does not count any more.
func (p *Person) Correct(c event.Correction) {
	p.Correction = c.ID
	if c.AtProvider {
		return
	}
	to := c.Person
	p.FirstName, p.LastName = to.GetFirstName(), to.GetLastName()
	p.Wants, p.Blocked = slices.Clone(p.Wants), maps.Clone(p.Blocked)
	if p.Email == c.PreviousEmail && p.Email != to.GetEmail() {
		p.replace(&p.Email, to.GetEmail(), event.EmailAddress)
	}
	if p.Mobile == c.PreviousMobile && p.Mobile != to.GetMobile() {
		p.replace(&p.Mobile, to.GetMobile(), event.MobileNumber)
	}
	if slices.Sort(p.Wants); len(p.Wants) == 0 {
		p.Wants = p.Reachable()
	}
}

func (p *Person) replace(address *string, by string, kind event.AddressKind) {
	added := *address == ""
	*address = by
	for _, c := range event.Channels {
		if c.Address != kind {
			continue
		}
		delete(p.Blocked, c.Channel)
		wanted := slices.Contains(p.Wants, c.Channel)
		switch {
		case by == "":
			p.Wants = slices.DeleteFunc(p.Wants, func(w notifyv1.Channel) bool { return w == c.Channel })
		case added && !wanted:
			p.Wants = append(p.Wants, c.Channel)
		}
	}
}

// Corrected returns a person as an event has it.
func Corrected(id string, to pack.Details) *signingv1.Recipient {
	return &signingv1.Recipient{Id: id, FirstName: to.FirstName, LastName: to.LastName, Email: to.Email, Mobile: to.Mobile}
}
