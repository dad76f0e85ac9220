package event_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/event"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// The contract's kinds have a row each, and a row names types of the vocabulary.
func TestEachKindHasItsRow(t *testing.T) {
	t.Parallel()
	rows := map[notifyv1.Kind]int{}
	for _, k := range event.Kinds {
		rows[k.Kind]++
		for _, name := range append(slices.Clone(k.After), k.Occasion) {
			if name != "" && !slices.ContainsFunc(event.Types, func(typ event.Type) bool { return typ.Name == name }) {
				t.Errorf("%v follows from or is about %s, which is not a type", k.Kind, name)
			}
		}
		if !slices.IsSorted(k.After) {
			t.Errorf("%v follows from %q", k.Kind, k.After)
		}
		if k.Occasion != "" && !slices.Contains(k.After, k.Occasion) {
			t.Errorf("%v is about %s and does not follow from it", k.Kind, k.Occasion)
		}
	}
	for number := range notifyv1.Kind_name {
		if kind := notifyv1.Kind(number); kind != notifyv1.Kind_KIND_UNSPECIFIED && rows[kind] != 1 {
			t.Errorf("%v has %d rows", kind, rows[kind])
		}
	}
	var want []string
	for _, number := range slices.Sorted(maps.Keys(notifyv1.Kind_name)) {
		if name := notifyv1.Kind_name[number]; number != int32(notifyv1.Kind_KIND_UNSPECIFIED) {
			want = append(want, strings.ToLower(strings.TrimPrefix(name, "KIND_")))
		}
	}
	if diff := cmp.Diff(want, event.KindNames()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if len(want) < len(released) || !slices.Equal(want[:len(released)], released) {
		t.Errorf("the kinds are %q: %q are in settings, templates and metrics, so they never change", want, released)
	}
}

// released are the names of the kinds of the first release. A later kind comes after them.
var released = []string{"invitation", "progress", "completed", "reminder", "declined", "voided", "expired", "undeliverable"}

// Kinds of later releases have rows of their own, and add nothing to these.
func TestMessagesThatFollowFromAnEvent(t *testing.T) {
	t.Parallel()
	want := map[string][]notifyv1.Kind{
		"document.created":        {notifyv1.Kind_KIND_INVITATION},
		"document.sent":           {notifyv1.Kind_KIND_INVITATION},
		"recipient.signed":        {notifyv1.Kind_KIND_PROGRESS, notifyv1.Kind_KIND_INVITATION},
		"document.completed":      {notifyv1.Kind_KIND_COMPLETED},
		"document.declined":       {notifyv1.Kind_KIND_DECLINED},
		"recipient.declined":      {notifyv1.Kind_KIND_DECLINED},
		"document.voided":         {notifyv1.Kind_KIND_VOIDED},
		"document.expired":        {notifyv1.Kind_KIND_EXPIRED},
		"recipient.undeliverable": {notifyv1.Kind_KIND_UNDELIVERABLE},
		"notification.fallback":   {notifyv1.Kind_KIND_INVITATION, notifyv1.Kind_KIND_REMINDER, notifyv1.Kind_KIND_UNDELIVERABLE},
		"recipient.corrected":     {notifyv1.Kind_KIND_INVITATION},
		"reminder.due":            {notifyv1.Kind_KIND_REMINDER},
		"resend.requested":        {notifyv1.Kind_KIND_INVITATION},
	}
	got := map[string][]notifyv1.Kind{}
	for _, name := range event.TypesWithMessages() {
		for _, k := range event.KindsAfter(name) {
			if slices.Contains(released, event.KindName(k)) {
				got[name] = append(got[name], k)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, name := range []string{event.RecipientOptedOut, event.RecipientOptedIn, event.RecipientReplied} {
		if kinds := event.KindsAfter(name); kinds != nil { // the enricher would make a second reply
			t.Errorf("%s makes %v", name, kinds)
		}
	}
	if kinds := event.KindsAfter(event.DocumentUpdated); kinds != nil || event.KindOf(notifyv1.Kind(99)).After != nil {
		t.Errorf("from an addition: %v", kinds)
	}
}
