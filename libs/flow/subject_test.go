package flow_test

import (
	"testing"

	"github.com/signrelay/signrelay/libs/flow"
)

// Streams keep messages on these subjects across releases, so the subjects must not change.
func TestSubjectsAreStable(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		flow.LinkSubject("acme", "clickwrap", "a.b"):            "notify.v1.link.acme.clickwrap.YS5i",
		flow.SendSubject("sms", "acme", "clickwrap", ""):        "notify.v1.send.sms.acme.clickwrap._",
		flow.SendFilter("email"):                                "notify.v1.send.email.>",
		flow.QuarantineSubject("acme", "clickwrap", "not-json"): "quarantine.v1.acme.clickwrap.not-json",
		flow.StageNamed(flow.Enricher).DeadSubject():            "dlq.v1.enricher",
		flow.StageNamed(flow.Enricher).Replays():                "replay.v1.enricher.>",
		flow.ReplaySubject("enricher.SIGNING.7.1"):              "replay.v1.enricher.SIGNING.7.1",

		flow.LaterSubject("sms", "acme", "clickwrap", "d1", "n1"):    "later.v1.sms.wait.acme.clickwrap.d1.n1",
		flow.DueLaterSubject("sms", "acme", "clickwrap", "d1", "n1"): "later.v1.sms.due.acme.clickwrap.d1.n1",
		flow.LaterFilter("sms"):                                          "later.v1.sms.wait.>",
		flow.ReminderSubject("acme", "clickwrap", "d1", "eric"):          "remind.v1.acme.clickwrap.d1.eric",
		flow.DueSubject("acme", "clickwrap", "d1", "eric"):               "remind.v1.due.acme.clickwrap.d1.eric",
		flow.FallbackSubject("acme", "clickwrap", "d1", "eric", "n1"):    "remind.v1.fallback.acme.clickwrap.d1.eric.n1",
		flow.DueFallbackSubject("acme", "clickwrap", "d1", "eric", "n1"): "remind.v1.fallback-due.acme.clickwrap.d1.eric.n1",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestParseNotification(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]flow.Address{
		flow.LinkSubject("acme", "clickwrap", "d1"):          {Source: "acme", Provider: "clickwrap", Document: "d1"},
		flow.SendSubject("email", "acme", "clickwrap", "d1"): {Channel: "email", Source: "acme", Provider: "clickwrap", Document: "d1"},
	} {
		if at, ok := flow.ParseNotification(subject); !ok || at != want {
			t.Errorf("%s: %v, %v", subject, at, ok)
		}
	}
	for _, subject := range []string{"", "notify.v1.link.", "notify.v1.send.email", "notify.v1.link.acme.clickwrap", "notify.v1.send.sms.a.b.c.d", "notify.v1.other.a.b.c", "signing.v1.link.a.b.c"} {
		if at, ok := flow.ParseNotification(subject); ok || at != (flow.Address{}) {
			t.Errorf("%q: %v, %v", subject, at, ok)
		}
	}
}
