package reminder

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// For any times of reminders and any moments at which the service runs, a person gets each reminder at most once, never early, in order, and only
// one when several are late.
func TestAPersonGetsEachReminderAtMostOnceAndOnlyTheLatest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		steps := rapid.SliceOfN(rapid.Int64Range(1, 1000), 0, 8).Draw(t, "steps")
		var due []time.Duration
		at := time.Duration(0)
		for _, s := range steps {
			at += time.Duration(s) * time.Hour
			due = append(due, at)
		}
		invited := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		now := invited
		o := one{invited: invited}
		for range rapid.IntRange(1, 12).Draw(t, "runs") {
			now = now.Add(time.Duration(rapid.Int64Range(0, 3000).Draw(t, "pause")) * time.Hour)
			next, ok := following(o, due, now)
			late := 0
			for i := o.number; i < len(due); i++ {
				if !invited.Add(due[i]).After(now) {
					late++
				}
			}
			switch {
			case !ok && o.number < len(due):
				t.Fatalf("after reminder %d of %d there is none", o.number, len(due))
			case !ok:
				return
			case next.due != invited.Add(due[next.number-1]):
				t.Fatalf("reminder %d is due %v after the invitation, want %v", next.number, next.due.Sub(invited), due[next.number-1])
			case late > 0 && next.number != o.number+late:
				t.Fatalf("%d reminders are late after number %d, and the next is %d", late, o.number, next.number)
			case late == 0 && next.number != o.number+1:
				t.Fatalf("no reminder is late after number %d, and the next is %d", o.number, next.number)
			}
			if next.due.After(now) {
				now = next.due // the server publishes it then
			}
			made := latest(next, due, now)
			if made.number < next.number || made.due.After(now) {
				t.Fatalf("at %v reminder %d is made, which is due at %v", now, made.number, made.due)
			}
			if after, ok := following(made, due, now); ok && !after.due.After(now) {
				t.Fatalf("after reminder %d, number %d is late too", made.number, after.number)
			}
			o = made
		}
	})
}
