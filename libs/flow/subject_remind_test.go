package flow_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/flow"
)

// REMIND has four families of subjects. Each filter matches one of them, for sources with any name.
func TestTheFamiliesOfRemindDoNotOverlap(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"acme", "due", "fallback", "fallback-due"} {
		families := map[string][]string{ // filters, by subject
			flow.ReminderSubject(source, "esign-v1", "d", "r"):         {flow.RemindersOf("*", "*", ""), flow.RemindersOf(source, "esign-v1", "d")},
			flow.DueSubject(source, "esign-v1", "d", "r"):              {flow.DueReminders},
			flow.FallbackSubject(source, "esign-v1", "d", "r", "n"):    {flow.Fallbacks, flow.FallbacksOf(source, "esign-v1", "d", "r"), flow.FallbacksOf(source, "esign-v1", "d", "")},
			flow.DueFallbackSubject(source, "esign-v1", "d", "r", "n"): {flow.DueFallbacks},
		}
		for subject, own := range families {
			for of, filters := range families {
				for _, filter := range filters {
					if got, want := matches(filter, subject), slices.Contains(own, filter); got != want {
						t.Errorf("%s, of %s, matches %s: %t, want %t", filter, of, subject, got, want)
					}
				}
			}
		}
	}
}

// matches reports whether a filter without ">" matches a subject.
func matches(filter, subject string) bool {
	return slices.EqualFunc(strings.Split(filter, "."), strings.Split(subject, "."), func(want, got string) bool { return want == "*" || want == got })
}
