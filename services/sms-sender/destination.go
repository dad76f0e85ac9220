package smssender

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/nyaruka/phonenumbers"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// destinations are the numbers to which texts may be sent.
type destinations struct {
	countries []string // nil allows all
	types     []string
}

// newDestinations fails if the settings name no country.
func newDestinations(c config.Config) (destinations, error) {
	d := destinations{countries: c.Limits.Countries, types: c.Limits.NumberTypes}
	if len(d.types) == 0 {
		d.types = []string{"mobile"}
	}
	if slices.Contains(d.countries, "*") {
		d.countries = nil
		return d, nil
	}
	if len(d.countries) > 0 {
		return d, nil
	}
	for _, s := range c.Sources {
		d.countries = append(d.countries, s.Region)
		if sender, err := phonenumbers.Parse(s.Notify.Sender.Mobile, s.Region); err == nil {
			d.countries = append(d.countries, country(sender))
		}
	}
	if len(d.countries) == 0 {
		return d, errors.New("limits.countries: no source has a region: set the countries to which texts may be sent, such as [US, GB]")
	}
	return d, nil
}

// numberTypes are the names of the library's types of numbers.
var numberTypes = map[phonenumbers.PhoneNumberType]string{
	phonenumbers.MOBILE: "mobile", phonenumbers.FIXED_LINE_OR_MOBILE: "mobile", phonenumbers.FIXED_LINE: "fixed-line",
	phonenumbers.VOIP: "voip", phonenumbers.PERSONAL_NUMBER: "personal-number", phonenumbers.PAGER: "pager", phonenumbers.UAN: "uan",
	phonenumbers.VOICEMAIL: "voicemail", phonenumbers.SHARED_COST: "shared-cost", phonenumbers.TOLL_FREE: "toll-free",
	phonenumbers.PREMIUM_RATE: "premium-rate",
}

// noCountry is the library's region of a number that belongs to no country: satellites, international networks, international
// premium rate.
const noCountry = "001"

// allow fails if the settings do not allow a text to n's number.
func (d destinations) allow(n *notifyv1.Notification) error {
	number, err := phonenumbers.Parse(n.GetTo().GetMobile(), "")
	if err != nil || phonenumbers.Format(number, phonenumbers.E164) != n.GetTo().GetMobile() {
		// With a number in another form, the vendor could dial other digits than the checked ones. The parser's error would quote the number.
		return outcome.Refused(outcome.Recipient, "number-malformed", nil)
	}
	region, kind := country(number), cmp.Or(numberTypes[phonenumbers.GetNumberType(number)], "unknown")
	switch {
	case region == noCountry:
		return notification.NotAllowed("number-of-no-country", region)
	case d.countries != nil && !slices.Contains(d.countries, region):
		return notification.NotAllowed("country-not-allowed", region)
	case !slices.Contains(d.types, kind):
		return notification.NotAllowed("number-type-"+kind, region)
	default:
		return nil
	}
}

// country returns the number's country. For a number without a type in the library, it is the country of the country code, or the largest
// country with that code.
func country(number *phonenumbers.PhoneNumber) string {
	code := int(number.GetCountryCode())
	return strings.ToUpper(cmp.Or(phonenumbers.GetRegionCodeForNumber(number), phonenumbers.GetRegionCodeForCountryCode(code)))
}
