package esignv1

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/jsonflat"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// keepBeside keeps fields that the signature does not cover, under names that say so.
func keepBeside(e *signingv1.SigningEvent, beside *jsonflat.Object) {
	if beside == nil {
		return
	}
	for name, text := range beside.Attributes() {
		if e.Attributes == nil {
			e.Attributes = map[string]string{}
		}
		e.Attributes["unsigned."+name] = text
	}
}

// begin is a new event with what all events of one callback have in common.
func begin(stamp *signingv1.SigningEvent) *signingv1.SigningEvent {
	return &signingv1.SigningEvent{
		Source: stamp.GetSource(), Provider: stamp.GetProvider(),
		Verification: stamp.GetVerification(), ReceivedAt: stamp.GetReceivedAt(),
	}
}

// resource reads "/api/v1/signer/<id>/", "/api/v1/signers/<id>/", the same for documents, and all of them as whole URLs.
func resource(uri string) (entity, id string) {
	path, _, _ := strings.Cut(uri, "?")
	if _, rest, absolute := strings.Cut(path, "://"); absolute {
		_, path, _ = strings.Cut(rest, "/")
	}
	path = strings.Trim(path, "/")
	slash := strings.LastIndexByte(path, '/')
	if slash < 0 {
		return "", path
	}
	path, id = path[:slash], path[slash+1:]
	entity = path[strings.LastIndexByte(path, '/')+1:]
	switch entity {
	case "signers":
		entity = "signer"
	case "documents":
		entity = "document"
	}
	return entity, id
}

// The provider writes times without a zone and does not say which it is: UTC is taken, and the raw text is kept.
// Digits may lack their leading zero.
var layouts = []string{"2006-1-2T15:4:5", time.RFC3339, "2006-1-2 15:4:5"}

func occurredAt(text string) *timestamppb.Timestamp {
	for _, layout := range layouts {
		parsed, err := time.Parse(layout, text)
		if t := timestamppb.New(parsed); err == nil && t.IsValid() {
			return t
		}
	}
	return nil
}

// identify gives e its id. The provider has no ids of events: what cannot happen but once is known by its document and
// person (so that all and signed tell one fact), everything else by all fields of its item.
func identify(e *signingv1.SigningEvent, uri, name, value, timestamp string) string {
	if event.HappensOnce(e) {
		return event.TransitionID(e)
	}
	return event.OccurrenceID(e, uri, name, value, timestamp)
}
