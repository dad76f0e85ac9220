package esignv1

import (
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/instant"
	"github.com/signrelay/signrelay/libs/providers/jsonflat"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// keepBeside stores fields that the signature does not cover, under names that show that.
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

// begin returns a new event with the common fields of all events of one callback.
func begin(stamp *signingv1.SigningEvent) *signingv1.SigningEvent {
	return &signingv1.SigningEvent{
		Source: stamp.GetSource(), Provider: stamp.GetProvider(),
		Verification: stamp.GetVerification(), ReceivedAt: stamp.GetReceivedAt(),
	}
}

// resource reads "/api/v1/signer/<id>/", "/api/v1/signers/<id>/", the same for documents, and all of them as whole URLs.
func resource(uri string) (entity, id string) {
	path, _, _ := strings.Cut(strings.TrimSpace(uri), "?")
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
	if jsonflat.Absent(id) { // "/api/v1/signer/None/"
		id = ""
	}
	return entity, id
}

// identify sets the id of e. The provider has no event ids. The final states of a document are identified by the document, so that both
// routes report one fact. Those of a signer are identified by the signer and the event's time: a signer can be reset, and then sign or
// decline again (docs/adr/0011). Any other event is identified by all fields of its item, including its time.
func identify(e *signingv1.SigningEvent, item ...string) string {
	timestamp := item[len(item)-1]
	switch {
	case !event.HappensOnce(e):
		return event.OccurrenceID(e, item...)
	case e.GetDocument() != nil || timestamp == "":
		return event.TransitionID(e)
	}
	if t, ok := instant.Parse(timestamp); ok {
		timestamp = t.Format(time.RFC3339Nano)
	}
	return event.TransitionID(e, timestamp)
}
