package quiet

import (
	"fmt"
	"sync"
	"time"
	_ "time/tzdata" // the images have no zone database; this one is as new as the compiler

	"github.com/nyaruka/phonenumbers"
)

// Zone returns a time zone by its name in the IANA database, such as "America/New_York".
func Zone(name string) (*time.Location, error) {
	if name == "" || name == "Local" { // Go takes them for UTC and for the machine's own zone
		return nil, fmt.Errorf("want the name of a time zone, such as America/New_York, not %q", name)
	}
	if zone, ok := loaded.Load(name); ok {
		return zone.(*time.Location), nil //nolint:forcetypeassert // only this function stores into it
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("there is no time zone %q: want a name of the IANA database, such as America/New_York", name)
	}
	loaded.Store(name, zone)
	return zone, nil
}

// loaded are the zones that were loaded before, by name: a toll-free number has 42 of them.
var loaded sync.Map

// ZonesOf returns the zones in which the owner of a number in E.164 may be, by its prefix; none if they are unknown. A number of one area has
// one zone; +4479 has three, and +1800 has 42.
func ZonesOf(number string) []*time.Location {
	parsed, err := phonenumbers.Parse(number, "")
	if err != nil {
		return nil
	}
	names, err := phonenumbers.GetTimezonesForNumber(parsed)
	if err != nil {
		return nil
	}
	zones := make([]*time.Location, 0, len(names))
	for _, name := range names {
		zone, err := Zone(name)
		if err != nil { // "Etc/Unknown", or a zone that the database does not have
			return nil
		}
		zones = append(zones, zone)
	}
	return zones
}
