package e2e

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// varies are the parts of a sentence that differ from run to run: how long ago it was, and the number of a person whom no event names.
var varies = regexp.MustCompile(`(Signer) \d+| just now| [\d.]+ (?:ms|s|min) ago`)

// sentences are what the console says about the documents of the stories, in the order of the stories. A message to a person names the person.
var sentences = []string{
	"clickwrap: Both have signed, both were notified, and the signed file is archived.",
	"clickwrap: Sam Lee is the last to sign, was notified by text and e-mail, and opened the link.",
	"clickwrap: Eric Smith has signed, was notified, and the signed file is archived.",
	"clickwrap: Both have signed, both were notified, and the signed file is archived.",
	"clickwrap: Jane Roe and Eric Smith have not signed; both were notified, and both opened the link.",
	"clickwrap: Eric Smith declined, and the sender and the other signer were notified.",
	"clickwrap: Rita Moss has not signed, was notified by e-mail, and opened the link.",
	"clickwrap: Eric Smith is the last to sign, was notified by text and e-mail, and opened the link.",
	"pleasesign: Olivia Nguyen has signed, was notified, and the signed file is archived.",
	"pleasesign: Both have signed, both were notified, and the signed file is archived.",
	"pleasesign: Both have signed, both were notified, and the signed file is archived.",
	"pleasesign: Olivia Nguyen declined, and the sender and the other signer were notified.",
	"pleasesign: Mia Kelly has not signed, and the invitation by text was not made: PleaseSign has no address for this channel.",
	"pleasesign: Ava Martin has signed, was notified, and the signed file is archived.",
	"pleasesign: Noah Taylor has signed, was notified, and the signed file is archived.",
	"pleasesign: Both have signed, both were notified, and the signed file is archived.",
	"esign-v1: Amelia Clarke has signed, was notified, and the signed file is archived.",
	"esign-v1: Both have signed, both were notified, and the signed file is archived.",
	"esign-v1: Both have signed, and both were notified.",
	"esign-v1: Isla Morgan has not signed, was notified by e-mail, and opened the link.",
	"esign-v1: Amelia Clarke declined, and the sender and the other signer were notified.",
	"esign-v1: Grace Evans has signed, was notified, and the signed file is archived.",
}

// everyDocumentIsExplained folds the log as the index does and compares the sentence of each document.
func everyDocumentIsExplained(t *testing.T, h *testenv.Env) {
	t.Helper()
	type key struct{ source, provider, document string }
	var order []key
	events := map[key][]event.Stored{}
	people := map[string]key{} // esign-v1 reports a person without the document
	var unnamed []event.Stored
	log := event.Log{JS: h.JetStream(t), Stream: flow.Signing}
	for m, err := range log.Messages(t.Context(), "signing.v1.>", allOfIt) {
		if err != nil {
			t.Fatal(err)
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		s := event.Stored{RawStreamMsg: m, Event: e}
		if e.GetDocument().GetId() == "" {
			unnamed = append(unnamed, s)
			continue
		}
		k := key{e.GetSource(), e.GetProvider(), e.GetDocument().GetId()}
		if events[k] == nil {
			order = append(order, k)
		}
		events[k] = append(events[k], s)
		if id := e.GetRecipient().GetId(); id != "" {
			people[id] = k
		}
	}
	for _, s := range unnamed {
		if k, ok := people[s.Event.GetRecipient().GetId()]; ok {
			events[k] = append(events[k], s)
		}
	}
	var got []string
	for _, k := range order {
		slices.SortFunc(events[k], func(a, b event.Stored) int { return int(a.Sequence) - int(b.Sequence) })
		var d document.Document
		for _, s := range events[k] {
			d.Apply(s.Event, s.Sequence)
		}
		ex := document.Explain(&d, events[k], document.Facts{}, d.LastAt)
		sentence := varies.ReplaceAllString(ex.Sentence, "$1")
		sentence = strings.Replace(sentence, "Eric Smith and Jane Roe", "Jane Roe and Eric Smith", 1) // in the order in which the log has their invitations
		got = append(got, k.provider+": "+sentence)
		for _, l := range ex.Lanes {
			for _, track := range l.Tracks {
				for _, hop := range track.Hops {
					if hop.Lag < 0 {
						t.Errorf("%s: the hop %s of %s takes %v", sentence, hop.Name, track.Title, hop.Lag)
					}
				}
			}
		}
	}
	if diff := cmp.Diff(sentences, got); diff != "" {
		t.Errorf("sentences (-want +got):\n%s", diff)
	}
}
