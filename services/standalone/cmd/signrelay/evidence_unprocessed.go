package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/evidence"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/stage"
	"github.com/signrelay/signrelay/services/ingest"
)

// keptMessage is a message of DLQ or QUARANTINE in an evidence file.
type keptMessage struct {
	Number  uint64      `json:"number"`
	Stored  string      `json:"stored"` // RFC 3339, UTC
	Stage   string      `json:"stage,omitempty"`
	Subject string      `json:"subject"`
	Reason  string      `json:"reason"`
	Detail  string      `json:"detail,omitempty"`
	Header  nats.Header `json:"header"`
	Body    []byte      `json:"body"` // base64
}

func (k keptMessage) unprocessed(kind string, at time.Time, summary string) (evidence.Unprocessed, error) {
	k.Stored = at.UTC().Format(time.RFC3339Nano)
	data, err := json.MarshalIndent(k, "", " ")
	if err != nil {
		return evidence.Unprocessed{}, fmt.Errorf("encode number %d: %w", k.Number, err)
	}
	return evidence.Unprocessed{Kind: kind, At: at, Summary: summary, Data: append(data, '\n')}, nil
}

// deadLettersOf yields the dead letters about a document.
func deadLettersOf(ctx context.Context, js jetstream.JetStream, d evidence.Document) iter.Seq2[evidence.Unprocessed, error] {
	return func(yield func(evidence.Unprocessed, error) bool) {
		for dead, err := range (stage.DeadLetters{JS: js}).All(ctx) {
			if err != nil {
				yield(evidence.Unprocessed{}, err)
				return
			}
			a := aboutOf(dead)
			if a.source != d.Source || a.provider != d.Provider || a.document != d.ID && a.document != event.DocumentToken(d.ID) {
				continue
			}
			u, err := keptMessage{
				Number: dead.Number, Stage: dead.Stage, Subject: dead.Subject, Reason: dead.Reason, Detail: dead.Error, Header: dead.Header, Body: dead.Data,
			}.unprocessed("dead-letter", dead.Buried, fmt.Sprintf("The stage %s gave up the work on %s: %s", dead.Stage, a.what, dead.Reason))
			if !yield(u, err) || err != nil {
				return
			}
		}
	}
}

// shortestID is the shortest document id that is searched for in callbacks that could not be read, in bytes: a shorter one may occur by chance.
const shortestID = 8

// quarantinedOf yields the quarantined callbacks of the document's source that contain its id.
func quarantinedOf(ctx context.Context, js jetstream.JetStream, d evidence.Document) iter.Seq2[evidence.Unprocessed, error] {
	return func(yield func(evidence.Unprocessed, error) bool) {
		if len(d.ID) < shortestID {
			return
		}
		for m, err := range (event.Log{JS: js, Stream: flow.Quarantine}).Messages(ctx, flow.Quarantined, time.Time{}) {
			if err != nil {
				yield(evidence.Unprocessed{}, err)
				return
			}
			body, query := ingest.KeptContent(m.Header, m.Data)
			k := describe(m)
			if k.Source != d.Source || k.Provider != d.Provider || !bytes.Contains(body, []byte(d.ID)) && !strings.Contains(query, d.ID) {
				continue
			}
			header := nats.Header{}
			for name, values := range m.Header {
				if strings.HasPrefix(name, "Signrelay-") {
					header[name] = values
				}
			}
			u, err := keptMessage{
				Number: m.Sequence, Subject: m.Subject, Reason: k.Reason, Detail: k.Detail, Header: header, Body: m.Data,
			}.unprocessed("quarantined", k.Received, "A callback that has the document's id could not be read: "+k.Reason)
			if !yield(u, err) || err != nil {
				return
			}
		}
	}
}
