package event_test

import (
	"testing"

	"github.com/signrelay/signrelay/libs/event"
)

// Every event that ingest stores has its subject built once, and every question to the log.
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
