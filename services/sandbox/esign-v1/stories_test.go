package esignv1_test

import (
	"net/url"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

// The callbacks of each story, and the events that the pack reads from them.
func TestStoriesHaveAuthenticCallbacks(t *testing.T) {
	t.Parallel()
	sandboxtest.Stories(t, "esign-v1", []sandboxtest.Story{
		{
			Name:      "one-signer",
			Callbacks: []string{"all", "all", "signed"},
			Events: []string{
				"document.created", "recipient.queued",
				"recipient.opened", "recipient.signed", "document.completed",
				"document.completed",
			},
		},
		{
			Name:      "two-signers",
			Callbacks: []string{"all", "all", "all"},
			Events: []string{
				"document.created", "recipient.queued", "recipient.queued",
				"recipient.opened", "recipient.signed",
				"recipient.opened", "recipient.signed", "document.completed",
			},
		},
		{
			Name:      "long-night",
			Callbacks: []string{"all", "all"},
			Events: slices.Repeat([]string{
				"document.created", "recipient.queued", "recipient.queued", "recipient.opened",
				"document.created", "recipient.queued",
				"recipient.signed", "recipient.opened", "recipient.signed", "document.completed",
			}, 2),
		},
		{
			Name:      "declined",
			Callbacks: []string{"all", "all"},
			Events:    []string{"document.created", "recipient.queued", "recipient.queued", "recipient.opened", "recipient.declined", "document.declined"},
		},
		{
			Name:      "corrected",
			Callbacks: []string{"all"},
			Events:    []string{"document.created", "recipient.queued", "recipient.opened", "recipient.signed", "document.completed", "document.completed"},
			Meanwhile: func(w sandboxtest.World, c sandboxtest.Call) {
				if len(w.Received("")) == 0 {
					w.WriteToSender("Catering Contract", func(form url.Values) {
						w.Write(form.Get("email"), "Catering Contract", w.Link(pageOf(w, documentID.FindStringSubmatch(c.Body)[1], 0)))
					})
				}
			},
		},
	})
}

// documentID finds the id of the document in a batch, whose body is a form.
var documentID = regexp.MustCompile(`document%2F([0-9a-f-]{36})%2F`)

func TestABatchThatIsSentTwiceHasTheSameEvents(t *testing.T) {
	t.Parallel()
	night := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, night.URL)
	got := w.Play("esign-v1", "long-night")
	if len(got.Documents) != 2 || len(night.Calls) != 2 || night.Calls[0].Fields["data"] != night.Calls[1].Fields["data"] {
		t.Fatalf("%d documents, %d batches", len(got.Documents), len(night.Calls))
	}
	events := sandboxtest.Normalized(t, night.Calls)
	first, last := events[0].Occurred, events[len(events)-1].Occurred
	if span := last.Sub(first); span < 6*time.Hour || span > 9*time.Hour || time.Since(last) > time.Minute {
		t.Errorf("the night lasted %v and ended at %v", span, last)
	}
}

func TestBothCallbacksOfACompleteDocumentReportOneFact(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	id := w.Play("esign-v1", "one-signer").Documents[0]
	var ends []sandboxtest.Event
	for _, e := range sandboxtest.Normalized(t, in.Calls) {
		if e.Kind == "document.completed" {
			ends = append(ends, e)
		}
	}
	if len(ends) != 2 || ends[0].ID != ends[1].ID || ends[0].Document != id {
		t.Errorf("the last callbacks are %+v, want the same fact of %s twice", ends, id)
	}
	if token := in.Calls[2].Query.Get("token"); in.Calls[2].Path != "POST /webhooks/esign-v1/gb/signed" || token != "demo" {
		t.Errorf("the second was sent to %s with the token %q", in.Calls[2].Path, token)
	}
}
