package event_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

func TestStandingOfAPerson(t *testing.T) {
	t.Parallel()
	js := connected(t)
	begin := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	for i, row := range []struct {
		name string
		// Events in the order in which they happened, an hour apart: "type person"; "~" before it means without authentication.
		past    []string
		over    string
		sending int // the index of the event that is the latest sending; -1 for none
	}{
		{"nothing", nil, "", -1},
		{"sent", []string{"document.sent"}, "", 0},
		{"sent twice", []string{"document.sent", "document.sent"}, "", 1},
		{"signed", []string{"document.sent", "recipient.signed eric"}, event.OverSigned, 0},
		{"another person has signed", []string{"document.sent", "recipient.signed anna"}, "", 0},
		{"a signature without a person", []string{"document.sent", "recipient.signed"}, "", 0},
		{"both have signed", []string{"recipient.signed anna", "recipient.signed eric"}, event.OverSigned, -1},
		{"a forged signature", []string{"document.sent", "~recipient.signed eric"}, "", 0},
		{"completed", []string{"document.sent", "document.completed"}, event.OverDocument, 0},
		{"voided", []string{"document.sent", "document.voided"}, event.OverDocument, 0},
		{"expired", []string{"document.sent", "document.expired"}, event.OverDocument, 0},
		{"declined by the document", []string{"document.sent", "document.declined"}, event.OverDocument, 0},
		{"declined", []string{"document.sent", "recipient.declined eric"}, event.OverDeclined, 0},
		{"another person has declined", []string{"document.sent", "recipient.declined anna"}, event.OverDocument, 0},
		{"declined, then signed", []string{"document.sent", "recipient.declined anna", "recipient.signed anna"}, "", 0},
		{"a forged end", []string{"document.sent", "~document.voided"}, "", 0},
		{"expired and sent again", []string{"document.sent", "document.expired", "document.sent"}, "", 2},
		{"declined and sent again", []string{"document.sent", "recipient.declined eric", "document.sent"}, "", 2},
		{"completed and sent again", []string{"document.completed", "document.sent"}, event.OverDocument, 1},
		{"opted out", []string{"document.sent", "recipient.opted-out eric all"}, event.OverOptedOut, 0},
		{"opted out of texts", []string{"document.sent", "recipient.opted-out eric sms"}, "", 0},
		{"another person has opted out", []string{"document.sent", "recipient.opted-out anna all"}, "", 0},
		{"opted out, then in", []string{"document.sent", "recipient.opted-out eric all", "recipient.opted-in eric all"}, "", 0},
		{"opted out and sent again", []string{"document.sent", "recipient.opted-out eric all", "document.sent"}, event.OverOptedOut, 2},
		{"opted out and signed", []string{"document.sent", "recipient.opted-out eric all", "recipient.signed eric"}, event.OverSigned, 0},
		{"corrected", []string{"document.sent", "recipient.corrected eric"}, "", 1},
		{"corrected, and sent again", []string{"document.sent", "recipient.corrected eric", "document.sent"}, "", 2},
		{"corrected twice", []string{"document.sent", "recipient.corrected eric", "recipient.corrected eric"}, "", 2},
		{"another person was corrected", []string{"document.sent", "recipient.corrected anna"}, "", 0},
		{"a forged correction", []string{"document.sent", "~recipient.corrected eric"}, "", 0},
		{"replaced by another id", []string{"document.sent", "recipient.corrected new previous=eric"}, event.OverCorrected, 0},
		{"has the id after a correction", []string{"document.sent", "recipient.corrected eric previous=old"}, "", 1},
		{"signed and corrected", []string{"document.sent", "recipient.signed eric", "recipient.corrected eric"}, event.OverSigned, 2},
		{"a wrong person opted out", []string{"document.sent", "recipient.opted-out eric all", "recipient.corrected eric"}, "", 2},
		{"opted out after a correction", []string{"document.sent", "recipient.corrected eric", "recipient.opted-out eric all"}, event.OverOptedOut, 1},
		{"expired again", []string{"document.sent", "document.expired", "document.sent", "document.expired"}, event.OverDocument, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			who := event.Signer{Source: "acme", Provider: "clickwrap", Document: "document-" + strconv.Itoa(i), Recipient: "eric"}
			ids := map[int]string{-1: event.TransitionID(&signingv1.SigningEvent{
				Source: who.Source, Provider: who.Provider, Type: event.DocumentSent, Document: &signingv1.Document{Id: who.Document},
			})}
			for j, text := range row.past {
				typ, person, _ := strings.Cut(text, " ")
				e := &signingv1.SigningEvent{
					Id: who.Document + "/" + strconv.Itoa(j), Source: who.Source, Provider: who.Provider, Type: strings.TrimPrefix(typ, "~"),
					OccurredAt: timestamppb.New(begin.Add(time.Duration(j) * time.Hour)), Document: &signingv1.Document{Id: who.Document},
					Verification: signingv1.Verification_VERIFICATION_HMAC,
				}
				if strings.HasPrefix(typ, "~") {
					e.Verification = signingv1.Verification_VERIFICATION_NONE
				}
				if name, channel, found := strings.Cut(person, " "); found {
					key, value, other := strings.Cut(channel, "=")
					if !other {
						key, value = "channel", channel
					}
					person, e.Attributes = name, map[string]string{key: value}
				}
				if person != "" {
					e.Recipient = &signingv1.Recipient{Id: person}
				}
				ids[j] = e.GetId()
				m, err := event.Message(t.Context(), e)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := js.PublishMsg(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			is, err := event.Log{JS: js, Stream: flow.Signing}.Standing(t.Context(), who)
			if err != nil || is.Over != row.over || is.Sending != ids[row.sending] {
				t.Errorf("%v: %+v, want over %q and the sending %s", err, is, row.over, ids[row.sending])
			}
		})
	}
}
