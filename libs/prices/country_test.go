package prices_test

import (
	"testing"

	"github.com/nyaruka/phonenumbers"

	"github.com/signrelay/signrelay/libs/prices"
)

// The country of each region's example numbers is the one that the library finds for a number of any form.
func TestCountryOfEachRegion(t *testing.T) {
	t.Parallel()
	tried := 0
	for region := range phonenumbers.GetSupportedRegions() {
		for kind := phonenumbers.FIXED_LINE; kind <= phonenumbers.VOICEMAIL; kind++ {
			example := phonenumbers.GetExampleNumberForType(region, kind)
			if example == nil {
				continue
			}
			mobile := phonenumbers.Format(example, phonenumbers.E164)
			parsed, err := phonenumbers.Parse(mobile, "")
			if err != nil {
				continue
			}
			tried++
			if got, want := prices.Country(mobile), phonenumbers.GetRegionCodeForNumber(parsed); got != want {
				t.Errorf("%s is of %q, want %q", mobile, got, want)
			}
		}
	}
	if tried < 500 {
		t.Errorf("only %d numbers were tried", tried)
	}
	for mobile, want := range map[string]string{"": "", "+": "", "+61": "", "61491570156": "", "+61 491 570 156": "AU", "+61491570156": "AU", "+0123456789": "", "+6149157015x": ""} {
		if got := prices.Country(mobile); got != want {
			t.Errorf("%q is of %q, want %q", mobile, got, want)
		}
	}
}

func BenchmarkCountry(b *testing.B) {
	for b.Loop() {
		prices.Country("+61491570156")
	}
}
