package pleasesign_test

import (
	"testing"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

// The callbacks of each story, and the events that the pack reads from them.
func TestStoriesHaveAuthenticCallbacks(t *testing.T) {
	t.Parallel()
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
			Name:      "mixed",
			Callbacks: []string{"document.created", "recipient.sent", "recipient.opened", "recipient.complete", "recipient.complete", "document.complete"},
			Events:    []string{"document.sent", "recipient.sent", "recipient.opened", "recipient.signed", "recipient.signed", "document.completed"},
		},
	})
}
