package erase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Held is a document under a legal hold.
type Held struct {
	Document `json:"-"`
	Since    time.Time `json:"since"`
	By       string    `json:"by"`
	Reason   string    `json:"reason"`
}

func holdKey(d Document) string { return d.Source + "." + d.Provider + "." + d.Token }

// HeldSequence is the header of a copy in HOLD with the sequence of the event in the log.
const HeldSequence = "Signrelay-Hold-Sequence"

// Holds returns the documents under a legal hold.
func Holds(ctx context.Context, js jetstream.JetStream) (map[Document]Held, error) {
	all := map[Document]Held{}
	const prefix = "$KV." + flow.Holds + "."
	for m, err := range (event.Log{JS: js, Stream: bucketPrefix + flow.Holds}).Messages(ctx, prefix+">", time.Time{}) {
		if err != nil {
			if err = missing(err); err == nil {
				return all, nil
			}
			return nil, fmt.Errorf("read the legal holds: %w", err)
		}
		var h Held
		parts := strings.Split(m.Subject[len(prefix):], ".")
		if len(parts) != 3 || json.Unmarshal(m.Data, &h) != nil {
			continue // it was released
		}
		h.Document = Document{parts[0], parts[1], parts[2]}
		all[h.Document] = h
	}
	return all, nil
}

// HoldOf returns the legal hold of a document, or false if it is not held. It reads one entry.
func HoldOf(ctx context.Context, js jetstream.JetStream, d Document) (h Held, held bool, err error) {
	for m, err := range (event.Log{JS: js, Stream: bucketPrefix + flow.Holds}).Last(ctx, "$KV."+flow.Holds+"."+holdKey(d)) {
		if err != nil {
			return Held{}, false, fmt.Errorf("read a legal hold: %w", err)
		}
		if json.Unmarshal(m.Data, &h) == nil { // otherwise it was released
			h.Document, held = d, true
		}
	}
	return h, held, nil
}

// Hold puts a document under a legal hold, and copies its events into HOLD. It returns the number of copies.
func Hold(ctx context.Context, js jetstream.JetStream, d Document, o Order, at time.Time) (copies int, err error) {
	bucket, err := js.KeyValue(ctx, flow.Holds)
	if err != nil {
		return 0, fmt.Errorf("open bucket %s: %w", flow.Holds, err)
	}
	value, err := json.Marshal(Held{Since: at.UTC().Truncate(time.Second), By: o.By, Reason: o.Reason})
	if err != nil {
		return 0, err
	}
	// The hold comes first: no erasure removes the events while they are copied.
	if _, err = bucket.Create(ctx, holdKey(d), value); err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
		return 0, fmt.Errorf("store the hold: %w", err)
	}
	if err == nil {
		if err := publish(ctx, js, operatorsEvent(event.DocumentHeld, d, o, at)); err != nil {
			return 0, err
		}
	}
	return CopyHeld(ctx, js, d)
}

// Release ends the hold of a document and removes the copies of its events. The document then has the age of the log again.
func Release(ctx context.Context, js jetstream.JetStream, h Held, o Order, at time.Time) error {
	if err := publish(ctx, js, operatorsEvent(event.DocumentReleased, h.Document, o, at)); err != nil {
		return err
	}
	copies, err := js.Stream(ctx, flow.Hold)
	if err != nil {
		return fmt.Errorf("open %s: %w", flow.Hold, err)
	}
	for m, err := range (event.Log{JS: js, Stream: flow.Hold}).Messages(ctx, flow.HeldOf(h.Source, h.Provider, h.Token), time.Time{}) {
		if err != nil {
			return err
		}
		if err := secureDelete(ctx, copies, m.Sequence); err != nil {
			return err
		}
	}
	holds, err := js.Stream(ctx, bucketPrefix+flow.Holds)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", flow.Holds, err)
	}
	return purgeEntry(ctx, holds, "$KV."+flow.Holds+"."+holdKey(h.Document))
}

// CopyHeld copies the events of a document into HOLD that are not there yet, and returns their number. It may run at any time, several times at
// once.
func CopyHeld(ctx context.Context, js jetstream.JetStream, d Document) (copies int, err error) {
	known := map[string]bool{}
	for m, err := range (event.Log{JS: js, Stream: flow.Hold}).Messages(ctx, flow.HeldOf(d.Source, d.Provider, d.Token), time.Time{}) {
		if err != nil {
			return 0, fmt.Errorf("read the copies of held events: %w", err)
		}
		known[m.Header.Get(HeldSequence)] = true
	}
	log := event.Log{JS: js, Stream: flow.Signing}
	subjects := make([]string, len(event.Types))
	for i, t := range event.Types {
		subjects[i] = event.SubjectOfToken(d.Source, d.Provider, t.Name, d.Token)
	}
	present, err := log.Present(ctx, subjects...)
	if err != nil {
		return 0, err
	}
	for subject := range present {
		for m, err := range log.Messages(ctx, subject, time.Time{}) {
			if err != nil {
				return copies, err
			}
			sequence := strconv.FormatUint(m.Sequence, 10)
			if known[sequence] {
				continue
			}
			a, _ := event.ParseSubject(m.Subject)
			kept := &nats.Msg{Subject: flow.HoldSubject(a), Header: nats.Header{}, Data: m.Data}
			for key, values := range m.Header {
				if !strings.HasPrefix(key, "Nats-") {
					kept.Header[key] = values
				}
			}
			kept.Header.Set(HeldSequence, sequence)
			kept.Header.Set(jetstream.MsgIDHeader, "hold-"+sequence)
			if _, err := js.PublishMsg(ctx, kept); err != nil {
				return copies, fmt.Errorf("copy an event of a held document: %w", err)
			}
			copies++
		}
	}
	return copies, nil
}

// operatorsEvent returns the event that an operator did something with a document.
func operatorsEvent(eventType string, d Document, o Order, at time.Time) *signingv1.SigningEvent {
	e := &signingv1.SigningEvent{
		Source: d.Source, Provider: d.Provider, Type: eventType, OccurredAt: timestamppb.New(at), Verification: signingv1.Verification_VERIFICATION_INTERNAL,
		Document: &signingv1.Document{Id: d.Token}, Attributes: map[string]string{"by": o.By, "reason": o.Reason},
	}
	e.Id = event.OccurrenceID(e, d.Token, at.UTC().Format(time.RFC3339Nano))
	return e
}

func publish(ctx context.Context, js jetstream.JetStream, e *signingv1.SigningEvent) error {
	m, err := event.Message(ctx, e)
	if err == nil {
		_, err = js.PublishMsg(ctx, m)
	}
	if err != nil {
		return fmt.Errorf("publish %s: %w", e.GetType(), err)
	}
	return nil
}

// DocumentsOf returns the documents with a provider's id that have events in the log or copies in HOLD. source narrows them if it is not
// empty.
func DocumentsOf(ctx context.Context, js jetstream.JetStream, id, source string) ([]Document, error) {
	subjects, err := event.Log{JS: js, Stream: flow.Signing}.Subjects(ctx, event.DocumentFilter(id))
	if err != nil {
		return nil, err
	}
	all := map[Document]bool{}
	for subject := range subjects {
		if a, ok := event.ParseSubject(subject); ok && (source == "" || a.Source == source) {
			all[Document{a.Source, a.Provider, a.Document}] = true
		}
	}
	return slices.SortedFunc(maps.Keys(all), compare), nil
}

func compare(a, b Document) int { return strings.Compare(holdKey(a), holdKey(b)) }
