package examples

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Line is the line that every example prints for a signature.
func Line(e *signingv1.SigningEvent) string {
	when := e.GetReceivedAt()
	if e.GetOccurredAt() != nil {
		when = e.GetOccurredAt()
	}
	return strings.Join([]string{
		when.AsTime().Format(time.RFC3339), e.GetId(), e.GetSource() + "/" + e.GetProvider(),
		"document=" + e.GetDocument().GetId(), "recipient=" + e.GetRecipient().GetId(), fmt.Sprintf("%q", e.GetDocument().GetTitle()),
	}, " ")
}

// Signature is the n-th of a series of signatures.
func Signature(n int) *signingv1.SigningEvent {
	return &signingv1.SigningEvent{
		Id: fmt.Sprintf("signature-%04d", n), Source: "acme", Provider: "clickwrap", Type: "recipient.signed",
		OccurredAt: timestamppb.New(time.Unix(1_700_000_000+int64(n), 120_000_000)),
		Document:   &signingv1.Document{Id: fmt.Sprintf("document-%d", n%7), Title: "Employment Agreement"},
		Recipient:  &signingv1.Recipient{Id: fmt.Sprintf("recipient-%d", n)},
	}
}
