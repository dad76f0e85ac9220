package evidence

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signrelay/signrelay/libs/event"
)

// noPrevious is the hash of the event before the first one.
var noPrevious = strings.Repeat("0", 64)

// eventName returns the name of the member of the n-th event, from 1.
func eventName(n int) string { return fmt.Sprintf("%s%06d.json", eventsFolder, n) }

// link is the content of an event's member.
type link struct {
	Previous string          `json:"previous"` // the SHA-256 of the member of the event before; 64 zeros in the first one
	Sequence uint64          `json:"sequence"` // in the log
	Stored   string          `json:"stored"`   // by the clock of the log's server, RFC 3339, UTC
	Subject  string          `json:"subject"`
	Event    json.RawMessage `json:"event"` // protobuf's JSON of signrelay.signing.v1.SigningEvent
}

// addEvent writes the member of the next event, and returns it.
func (b *builder) addEvent(s event.Stored) (member, error) {
	data, err := protojson.Marshal(s.Event)
	if err != nil {
		return member{}, fmt.Errorf("encode event %s: %w", s.Event.GetId(), err)
	}
	// The protobuf library adds spaces at places that depend on the program. Marshal removes them.
	data, err = json.Marshal(link{
		Previous: b.chain.Head, Sequence: s.Sequence, Stored: s.Time.UTC().Format(time.RFC3339Nano), Subject: s.Subject, Event: data,
	})
	if err != nil {
		return member{}, fmt.Errorf("encode event %s: %w", s.Event.GetId(), err)
	}
	var text bytes.Buffer
	if err := json.Indent(&text, data, "", " "); err != nil {
		return member{}, fmt.Errorf("encode event %s: %w", s.Event.GetId(), err)
	}
	text.WriteByte('\n')
	m, err := b.zip.add(eventName(b.chain.Events+1), text.Bytes())
	if err != nil {
		return member{}, fmt.Errorf("event %s: %w", s.Event.GetId(), err)
	}
	b.chain = Chain{Events: b.chain.Events + 1, Head: hex.EncodeToString(m.sum[:])}
	return m, nil
}
