package recipient

import (
	"maps"
	"slices"
	"testing"

	"github.com/nyaruka/phonenumbers"

	"github.com/signrelay/signrelay/libs/config"
)

// The settings' check accepts exactly the regions of the library of phone numbers. Not all programs contain the library, so the check has its
// own list.
func TestTheSettingsAcceptTheRegionsOfNumbers(t *testing.T) {
	t.Parallel()
	if known := slices.Sorted(maps.Keys(phonenumbers.GetSupportedRegions())); !slices.Equal(known, config.Regions) {
		t.Errorf("the library has %v", known)
	}
}
