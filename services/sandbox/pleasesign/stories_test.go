package pleasesign_test

import (
	"encoding/json"
	"net/url"
	"testing"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

// The callbacks of each story, and the events that the pack reads from them.
func TestStoriesHaveAuthenticCallbacks(t *testing.T) {
	t.Parallel()
	mails, mailedAgain := 0, make(chan struct{}) // PleaseSign's own e-mails to Ava Martin
	sandboxtest.Stories(t, "pleasesign", []sandboxtest.Story{
		{
			Name:      "one-signer",
			Callbacks: []string{"document.created", "recipient.opened", "recipient.complete", "document.complete"},
			Events:    []string{"document.sent", "recipient.opened", "recipient.signed", "document.completed"},
		},
		{
			Name:      "two-signers",
			Callbacks: []string{"document.created", "recipient.complete", "recipient.complete", "document.complete"},
			Events:    []string{"document.sent", "recipient.signed", "recipient.signed", "document.completed"},
		},
		{
			Name:      "ordered-signing",
			Callbacks: []string{"document.created", "recipient.complete", "recipient.complete", "document.complete"},
			Events:    []string{"document.sent", "recipient.signed", "recipient.signed", "document.completed"},
		},
		{
			Name:      "declined",
			Callbacks: []string{"document.created", "document.void"},
			Events:    []string{"document.sent", "document.declined", "recipient.declined"},
		},
		{
			Name:      "bounced",
			Callbacks: []string{"document.created", "recipient.sent", "recipient.failed"},
			Events:    []string{"document.sent", "recipient.sent", "recipient.undeliverable"},
		},
		{
			Name:      "corrected",
			Callbacks: []string{"document.created", "recipient.sent", "recipient.failed"},
			Events: []string{
				"document.sent", "recipient.sent", "recipient.undeliverable", "recipient.sent", "recipient.opened", "recipient.signed", "document.completed",
			},
			Meanwhile: func(w sandboxtest.World, c sandboxtest.Call) {
				switch c.Fields["event"] {
				case "recipient.failed":
					w.WriteToSender("Retainer Agreement", func(form url.Values) {
						correct(w, c, form)
						<-mailedAgain // PleaseSign reports it at the same time as its response
					})
				case "recipient.sent":
					if mails++; mails == 2 {
						close(mailedAgain)
					}
				}
			},
		},
		{
			Name:      "corrected-silent",
			Callbacks: []string{"document.created"},
			Events:    []string{"document.sent", "recipient.opened", "recipient.signed", "document.completed"},
			Meanwhile: func(w sandboxtest.World, c sandboxtest.Call) {
				if c.Fields["event"] == "document.created" {
					w.WriteToSender("Franchise Agreement", func(form url.Values) {
						correct(w, c, form)
						w.Write(form.Get("email"), "Franchise Agreement", w.Link(pageOf(w, c.Fields["document_id"].(string), 0)))
					})
				}
			},
		},
		{
			Name:      "mixed",
			Callbacks: []string{"document.created", "recipient.sent", "recipient.opened", "recipient.complete", "recipient.complete", "document.complete"},
			Events:    []string{"document.sent", "recipient.sent", "recipient.opened", "recipient.signed", "recipient.signed", "document.completed"},
		},
	})
}

// correct corrects the first recipient of a callback's document as the form says.
func correct(w sandboxtest.World, c sandboxtest.Call, form url.Values) {
	to := map[string]string{}
	for name := range form {
		to[name] = form.Get(name)
	}
	body, err := json.Marshal(to)
	if err != nil {
		w.T.Error(err)
	}
	d := pleasesign(w, c.Fields["document_id"].(string))
	if a := w.Do("POST", "/recipient/"+d.Recipients[0].ID+"/correct", string(body), pleasesignKeys); a.Status != 200 {
		w.T.Errorf("the correction: %d %s", a.Status, a.Body)
	}
}
