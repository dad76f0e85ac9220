package ingest

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// each calls visit for every text of a message, and makes the messages that it lacks.
func each(m protoreflect.Message, visit func(m protoreflect.Message, f protoreflect.FieldDescriptor)) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		switch f := fields.Get(i); {
		case f.Name() == "callback": // redacted before it is added
		case f.IsMap():
			visit(m, f)
		case f.IsList():
			if m.Get(f).List().Len() == 0 {
				m.Mutable(f).List().AppendMutable()
			}
			each(m.Get(f).List().Get(0).Message(), visit)
		case f.Message() != nil:
			each(m.Mutable(f).Message(), visit)
		case f.Kind() == protoreflect.StringKind:
			visit(m, f)
		}
	}
}

func TestRedactCoversEveryText(t *testing.T) {
	t.Parallel()
	const secret = "v3rify-key_of-the-source"
	for eventType, want := range map[string]map[protoreflect.FullName]bool{ // the texts that are not redacted
		"recipient.signed": {"id": true, "source": true, "provider": true, "type": true, "provider_type": true},
		"other.recorded":   {"id": true, "source": true, "provider": true, "type": true},
	} {
		e := new(signingv1.SigningEvent)
		texts := 0
		each(e.ProtoReflect(), func(m protoreflect.Message, f protoreflect.FieldDescriptor) {
			texts++
			if f.IsMap() {
				m.Mutable(f).Map().Set(protoreflect.ValueOfString("x").MapKey(), protoreflect.ValueOfString("before "+secret+" after"))
				return
			}
			m.Set(f, protoreflect.ValueOfString("before "+secret+" after"))
		})
		e.Type = eventType
		redact(e, pack.NewSecrets(secret))
		kept := 0
		each(e.ProtoReflect(), func(m protoreflect.Message, f protoreflect.FieldDescriptor) {
			text := m.Get(f).String()
			if f.IsMap() {
				text = m.Get(f).Map().Get(protoreflect.ValueOfString("x").MapKey()).String()
			}
			if text == "before [redacted] after" {
				return
			}
			kept++
			if m.Descriptor().Name() != "SigningEvent" || !want[protoreflect.FullName(f.Name())] {
				t.Errorf("%s: %s is not redacted: %q", eventType, f.FullName(), text)
			}
		})
		if kept != len(want) || texts < 30 {
			t.Errorf("%s: %d of %d texts were kept, want %d", eventType, kept, texts, len(want))
		}
	}
}
