// Package collect finds everything that the streams have about a document, for its evidence file.
package collect

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/evidence"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/quarantine"
	"github.com/signrelay/signrelay/libs/stage"
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
			a := operate.AboutOf(dead)
			if a.Source != d.Source || a.Provider != d.Provider || a.Document != d.ID && a.Document != event.DocumentToken(d.ID) {
				continue
			}
			u, err := keptMessage{
				Number: dead.Number, Stage: dead.Stage, Subject: dead.Subject, Reason: dead.Reason, Detail: dead.Error, Header: dead.Header, Body: dead.Data,
			}.unprocessed("dead-letter", dead.Buried, fmt.Sprintf("The stage %s gave up the work on %s: %s", dead.Stage, a.What, dead.Reason))
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
			body, query := quarantine.Content(m.Header, m.Data)
			k := quarantine.Describe(m)
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

// unprocessed yields the document's dead letters and the quarantined callbacks that contain its id.
func unprocessed(ctx context.Context, js jetstream.JetStream, d evidence.Document) iter.Seq2[evidence.Unprocessed, error] {
	return func(yield func(evidence.Unprocessed, error) bool) {
		for u, err := range deadLettersOf(ctx, js, d) {
			if !yield(u, err) {
				return
			}
		}
		for u, err := range quarantinedOf(ctx, js, d) {
			if !yield(u, err) {
				return
			}
		}
	}
}

// beginOfLog returns the time of the first message that the log still holds, or the zero time if it holds its first message.
func beginOfLog(ctx context.Context, js jetstream.JetStream) (time.Time, error) {
	s, err := js.Stream(ctx, flow.Signing)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the state of %s: %w", flow.Signing, err)
	}
	if state := s.CachedInfo().State; state.FirstSeq > 1 {
		return state.FirstTime, nil
	}
	return time.Time{}, nil
}

// Documents returns the documents with a provider's id that have events in the log. Ids of two providers, or of two accounts, may be equal.
func Documents(ctx context.Context, js jetstream.JetStream, id string) (found []evidence.Document, err error) {
	subjects, err := event.Log{JS: js, Stream: flow.Signing}.Subjects(ctx, event.DocumentFilter(id))
	for _, subject := range slices.Sorted(maps.Keys(subjects)) {
		at, ok := event.ParseSubject(subject)
		if d := (evidence.Document{Source: at.Source, Provider: at.Provider, ID: id}); ok && !slices.Contains(found, d) {
			found = append(found, d)
		}
	}
	return found, err
}

// Evidence completes the source of an evidence file (evidence.Make) with everything that the streams have about its document. It changes nothing,
// so it needs no plan, and is no event: an event would be a part of the next file (docs/adr/0041).
func Evidence(ctx context.Context, js jetstream.JetStream, s evidence.Source) (evidence.Source, error) {
	var err error
	if s.LogSince, err = beginOfLog(ctx, js); err != nil {
		return evidence.Source{}, err
	}
	d := s.Document
	s.Events = event.Log{JS: js, Stream: flow.Signing}.Life(ctx, event.Signer{Source: d.Source, Provider: d.Provider, Document: d.ID})
	s.Unprocessed = unprocessed(ctx, js, d)
	return s, nil
}
