package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
)

// Each mistake is reported under its key, with the form that is wanted. Good settings are the law that they say.
func TestQuietHours(t *testing.T) {
	t.Parallel()
	evening := time.Date(2026, 12, 1, 22, 0, 0, 0, time.UTC) // 17:00 in New York, 22:00 in London
	for name, row := range map[string]struct {
		yaml  string
		until string // of a message to a person without a number, at that moment
		want  string // in the error
	}{
		"default":                  {"{}", "2026-12-01T22:00:00Z", ""},
		"another zone":             {"{zone: Europe/London}", "2026-12-02T08:00:00Z", ""},
		"without quotes":           {"{from: 16:30, to: 18:15}", "2026-12-01T23:15:00Z", ""},
		"off":                      {`{from: "00:00", to: "00:00", zone: Europe/London}`, "2026-12-01T22:00:00Z", ""},
		"no such zone":             {"{zone: America/New_Yrok}", "", `quiet_hours.zone: there is no time zone "America/New_Yrok": want a name of the IANA database, such as America/New_York`},
		"the machine's zone":       {"{zone: Local}", "", "quiet_hours.zone: want the name of a time zone, such as America/New_York"},
		"24 hours":                 {`{from: "00:00", to: "24:00"}`, "", "quiet_hours.to: want 00:00 for midnight, not 24:00; quiet hours of 24 hours would leave no time for messages"},
		"all but a minute":         {`{from: "08:00", to: "07:59"}`, "", "quiet_hours: want quiet hours of at most 23 hours, not 23 hours and 59 minutes"},
		"no time":                  {`{from: "9pm"}`, "", `quiet_hours.from: want a time from 00:00 to 23:59, such as "21:00", not "9pm"`},
		"a time after midnight":    {`{to: "25:00"}`, "", "quiet_hours.to: want a time from 00:00 to 23:59"},
		"no such kind":             {"{kinds: [invite]}", "", `quiet_hours.kinds: want`},
		"an unknown key":           {"{until: '08:00'}", "", "quiet_hours.until"},
		"two mistakes at one time": {`{from: "9", zone: Nowhere}`, "", "quiet_hours.zone: there is no time zone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := loadChecked(t, in("webhook: {secrets: [t]}, "+"quiet_hours: "+row.yaml))
			if row.want != "" {
				if err == nil || !strings.Contains(err.Error(), row.want) {
					t.Errorf("%v, want %q", err, row.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := cfg.Sources[0].QuietHours.Rule("").Next(evening).UTC().Format(time.RFC3339); got != row.until {
				t.Errorf("a message waits until %s, want %s", got, row.until)
			}
		})
	}
}

// Without a list, every kind waits except the invitation.
func TestKindsThatWait(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string][2]bool{"invitation": {false, false}, "reminder": {true, true}, "completed": {true, false}, "progress": {true, false}} {
		if got := config.DefaultQuietHours().Applies(kind); got != want[0] {
			t.Errorf("%s waits by default: %t", kind, got)
		}
		if got := (config.QuietHours{Kinds: []string{"reminder"}}).Applies(kind); got != want[1] {
			t.Errorf("%s waits with the list [reminder]: %t", kind, got)
		}
	}
	if !config.NoQuietHours().Rule("+13175551234").Hours.Off() || !(config.QuietHours{}).Rule("").Hours.Off() {
		t.Error("quiet hours that are off are on")
	}
}
