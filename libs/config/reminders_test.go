package config_test

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Each form of the reminders gives their times, or an error that names the key and the mistake.
func TestReminders(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, row := range map[string]struct {
		yaml  string
		times []time.Duration
		want  string // in the error
	}{
		"default":                      {"{}", []time.Duration{3 * day, 7 * day, 14 * day}, ""},
		"off":                          {"{after: []}", nil, ""},
		"seconds":                      {"{after: [1s, 5s]}", []time.Duration{time.Second, 5 * time.Second}, ""},
		"every week":                   {"{every: 168h, times: 2}", []time.Duration{7 * day, 14 * day}, ""},
		"every week, as it is printed": {"{after: [], every: 168h, times: 2}", []time.Duration{7 * day, 14 * day}, ""},
		"out of order":                 {"{after: [168h, 72h]}", nil, "reminders.after: want each time later than the one before it"},
		"twice":                        {"{after: [72h, 72h]}", nil, "reminders.after: want each time later than the one before it"},
		"too early":                    {"{after: [10ms]}", nil, "reminders.after: want times from 1s"},
		"too late":                     {"{after: [2400h]}", nil, "reminders.after: want times from 1s to 60 days"},
		"the last is too late":         {"{every: 720h, times: 3}", nil, "reminders: the last reminder is later than 60 days"},
		"no number of times":           {"{every: 168h}", nil, "reminders: set both every and times"},
		"no time":                      {"{times: 3}", nil, "reminders: set both every and times"},
		"both forms":                   {"{after: [72h], every: 168h, times: 2}", nil, "reminders: after is set, and every and times too"},
		"negative times":               {"{every: 168h, times: -1}", nil, "reminders.times: want 1 to 30"},
		"negative time":                {"{every: -1h, times: 2}", nil, "reminders.every: want 1s or more"},
		"negative rate":                {"{per_minute: -1}", nil, "reminders.per_minute: want the number"},
		"no duration":                  {"{after: [soon]}", nil, "want a duration such as"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := loadChecked(t, in("webhook: {secrets: [t]}, "+"reminders: "+row.yaml))
			if row.want != "" {
				if err == nil || !strings.Contains(err.Error(), row.want) {
					t.Errorf("%v, want %q", err, row.want)
				}
				return
			}
			if err != nil || !slices.Equal(cfg.Sources[0].Reminders.Due(), row.times) {
				t.Errorf("%v: %+v, want %v", err, cfg.Sources, row.times)
			}
		})
	}
}
