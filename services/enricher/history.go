package enricher

import (
	"context"
	"fmt"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// history is what the log knows of a document's past.
type history struct {
	signed map[string]bool // by recipient id
	ended  bool            // completed, declined or voided: nobody is to be asked or told to wait any more
}

// history reads it. The provider's API may lag behind its own callbacks, and the log behind the provider: what either has
// heard has happened. The completed document is told about whatever came before, and nothing is read for it.
func (e *enricher) history(ctx context.Context, happened *signingv1.SigningEvent) (history, error) {
	past := history{signed: map[string]bool{}}
	if happened.GetType() == "document.completed" {
		return past, nil
	}
	prefix := "signing.v1." + happened.GetSource() + "." + happened.GetProvider()
	document := event.DocumentToken(happened.GetDocument().GetId())

	for m, err := range e.log.Messages(ctx, prefix+".recipient.signed."+document, time.Time{}) {
		if err != nil {
			return history{}, fmt.Errorf("read who has signed: %w", err)
		}
		signature, err := event.Decode(m.Data)
		if err != nil {
			return history{}, fmt.Errorf("read who has signed: %w", err)
		}
		past.signed[signerKey(signature)] = true
	}
	for m, err := range e.log.Messages(ctx, prefix+".document.*."+document, time.Time{}) {
		if err != nil {
			return history{}, fmt.Errorf("read what became of the document: %w", err)
		}
		switch m.Subject {
		case prefix + ".document.completed." + document, prefix + ".document.declined." + document, prefix + ".document.voided." + document:
			past.ended = true
		}
	}
	return past, nil
}

// signerKey tells signers apart: by the provider's id of the person; a signature of nobody in particular counts as one
// of its own.
func signerKey(signature *signingv1.SigningEvent) string {
	if id := signature.GetRecipient().GetId(); id != "" {
		return id
	}
	return "event/" + signature.GetId()
}
