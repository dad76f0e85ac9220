package event_test

import (
	"testing"

	"github.com/signrelay/signrelay/libs/event"
)

// The parser reads every subject that the builder makes.
func TestASubjectIsParsed(t *testing.T) {
	t.Parallel()
	for _, typ := range event.Types {
		want := event.Address{Source: "acme", Provider: "clickwrap", Type: typ.Name, Document: "YS5i"}
		if at, ok := event.ParseSubject(event.SubjectOf("acme", "clickwrap", typ.Name, "a.b")); !ok || at != want {
			t.Errorf("%s: %v, %v", typ.Name, at, ok)
		}
	}
	if at, ok := event.ParseSubject("signing.v1.acme.esign-v1.recipient.awaiting-witness._"); !ok || at.Document != event.None {
		t.Errorf("of no document: %v, %v", at, ok)
	}
	for _, subject := range []string{
		"", "signing.v1.", "signing.v1.acme.clickwrap.document.sent", "signing.v1.acme.clickwrap.document.sent.d1.more", "signing.v1.acme..document.sent.d1",
		"signing.v2.acme.clickwrap.document.sent.d1", "notify.v1.link.acme.clickwrap.document.d1",
	} {
		if at, ok := event.ParseSubject(subject); ok || at != (event.Address{}) {
			t.Errorf("%q: %v, %v", subject, at, ok)
		}
	}
}

// Subscribers' filters and the server's permissions contain these filters, so they must not change from release to release.
func TestFiltersAreStable(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		event.Everything:                                  "signing.v1.>",
		event.SubjectForm:                                 "signing.v1.<source>.<provider>.<entity>.<action>.<document>",
		event.TypeFilter(event.RecipientSigned):           "signing.v1.*.*.recipient.signed.>",
		event.TypeFilter(event.EntityNotification + ".*"): "signing.v1.*.*.notification.*.>",
		event.EntityFilter(event.EntityLink):              "signing.v1.*.*.link.>",
		event.DocumentFilter("a.b"):                       "signing.v1.*.*.*.*.YS5i",
		event.SubjectOf("s", "p", event.DocumentSent, ""): "signing.v1.s.p.document.sent._",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if got != event.SubjectForm && !event.MatchesLog(got) {
			t.Errorf("%s matches nothing", got)
		}
	}
	for _, filter := range []string{"", ">.a", "notify.v1.>", "signing", "signing.v2.>", "signing.v1.*", "signing.v1.a.b.c.d.e.f", "signing.v1..>", "signing.v1.a.b.c.d.e.>"} {
		if event.MatchesLog(filter) {
			t.Errorf("%q matches the log", filter)
		}
	}
	for _, filter := range []string{">", "*.*.acme.>", "signing.*.*.*.*.*.*", "signing.v1.a.b.c.d.e"} {
		if !event.MatchesLog(filter) {
			t.Errorf("%q does not match the log", filter)
		}
	}
}

// Ingest builds a subject once for every stored event, and once for every query to the log.
func BenchmarkSubject(b *testing.B) {
	e := signed()
	b.ReportAllocs()
	for b.Loop() {
		if event.Subject(e) == "" {
			b.Fatal("no subject")
		}
	}
}

func BenchmarkHappensOnce(b *testing.B) {
	e := signed()
	b.ReportAllocs()
	for b.Loop() {
		if !event.HappensOnce(e) {
			b.Fatal("a signature happens once")
		}
	}
}
