package enricher

import (
	"maps"
	"slices"
	"testing"

	"github.com/nyaruka/phonenumbers"

	"github.com/signrelay/signrelay/libs/config"
)

// The settings' check takes each region by which numbers are read, and no other. Not all programs have the library, so the list is written
// down there.
func TestTheSettingsKnowTheRegionsOfNumbers(t *testing.T) {
	t.Parallel()
	if known := slices.Sorted(maps.Keys(phonenumbers.GetSupportedRegions())); !slices.Equal(known, config.Regions) {
		t.Errorf("the library has %v", known)
	}
}
