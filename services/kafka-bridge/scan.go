package kafkabridge

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// names are the fields of an event that can be a record's key.
type names struct{ document, recipient, event string }

// scan reads the names in an encoded event without decoding it. It also checks the encoding as the decoder
// does: a string that is not UTF-8, or a truncated field, is not ok. Neither is an encoding that this program's contract does not know, such
// as a new field: then the caller decodes the event.
func scan(data []byte) (n names, ok bool) {
	ok = eventShape.scan(data, func(number protowire.Number, text []byte) bool {
		switch int32(number) {
		case 1:
			n.event = string(text)
		case 10:
			return scanName(documentShape, text, &n.document)
		case 11:
			return scanName(recipientShape, text, &n.recipient)
		}
		return true
	})
	return n, ok
}

// scanName scans a message whose field 1 is its name.
func scanName(s *shape, data []byte, name *string) bool {
	return s.scan(data, func(number protowire.Number, text []byte) bool {
		if number == 1 {
			*name = string(text)
		}
		return true
	})
}

var (
	eventShape     = newShape(new(signingv1.SigningEvent).ProtoReflect().Descriptor())
	documentShape  = newShape(new(signingv1.Document).ProtoReflect().Descriptor())
	recipientShape = newShape(new(signingv1.Recipient).ProtoReflect().Descriptor())
)

// shape has the fields of a message, by number.
type shape struct{ fields []shapeField }

// shapeField is the encoding of a field: a varint, a string, bytes, or a message if it has a shape. An empty one is no field, or has another
// encoding.
type shapeField struct {
	known   bool
	text    bool // a string, which must be UTF-8
	wire    protowire.Type
	message *shape
}

func newShape(d protoreflect.MessageDescriptor) *shape {
	s := new(shape)
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		for len(s.fields) <= int(f.Number()) {
			s.fields = append(s.fields, shapeField{})
		}
		at := &s.fields[f.Number()]
		switch f.Kind() {
		case protoreflect.StringKind:
			*at = shapeField{known: true, text: true, wire: protowire.BytesType}
		case protoreflect.BytesKind:
			*at = shapeField{known: true, wire: protowire.BytesType}
		case protoreflect.MessageKind:
			*at = shapeField{known: true, wire: protowire.BytesType, message: newShape(f.Message())}
		case protoreflect.BoolKind, protoreflect.EnumKind, protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Uint32Kind, protoreflect.Uint64Kind:
			if !f.IsList() { // a list of numbers has several encodings
				*at = shapeField{known: true, wire: protowire.VarintType}
			}
		default: // the events have none
		}
	}
	return s
}

// scan checks an encoded message, and passes each of its strings and messages to found, which reports whether it is right.
func (s *shape) scan(data []byte, found func(protowire.Number, []byte) bool) bool {
	for len(data) > 0 {
		number, wire, n := protowire.ConsumeTag(data)
		if n < 0 || int64(number) >= int64(len(s.fields)) {
			return false
		}
		f := s.fields[number]
		if !f.known || f.wire != wire {
			return false
		}
		data = data[n:]
		if wire == protowire.VarintType {
			if _, n = protowire.ConsumeVarint(data); n < 0 {
				return false
			}
			data = data[n:]
			continue
		}
		text, n := protowire.ConsumeBytes(data)
		if n < 0 {
			return false
		}
		data = data[n:]
		if f.text && !utf8.Valid(text) || f.message != nil && !f.message.scan(text, nil) || found != nil && !found(number, text) {
			return false
		}
	}
	return true
}
