package event_test

import (
	"regexp"
	"testing"

	"github.com/signrelay/signrelay/libs/event"
)

// A type's name is two tokens of a subject and a part of ce-type; its meaning is one sentence in docs/asyncapi.yaml.
func TestEachTypeHasALegalNameOnce(t *testing.T) {
	t.Parallel()
	name, meaning := regexp.MustCompile(`^[a-z]+\.[a-z]+(-[a-z]+)*$`), regexp.MustCompile(`^[A-Z].*\.$`)
	seen := map[string]bool{}
	for _, typ := range event.Types {
		if seen[typ.Name] || !name.MatchString(typ.Name) || !meaning.MatchString(typ.Meaning) {
			t.Errorf("%q: %q", typ.Name, typ.Meaning)
		}
		if typ.Entity()+"."+typ.Action() != typ.Name {
			t.Errorf("%s is %s and %s", typ.Name, typ.Entity(), typ.Action())
		}
		seen[typ.Name] = true
	}
}

// The list of types that happen once determines how ids are made, so it must not change from release to release.
func TestTypesThatHappenOnce(t *testing.T) {
	t.Parallel()
	once := map[string]bool{
		"document.sent": true, "document.completed": true, "document.declined": true, "document.voided": true, "document.expired": true,
		"recipient.signed": true, "recipient.declined": true,
	}
	for _, typ := range event.Types {
		e := signed()
		e.Type = typ.Name
		if event.HappensOnce(e) != once[typ.Name] {
			t.Errorf("%s happens once: %v", typ.Name, event.HappensOnce(e))
		}
	}
}
