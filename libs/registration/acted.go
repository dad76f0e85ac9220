package registration

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Order is what an operator did to a source.
type Order struct {
	Action     string // "connect", "sign-in", "sign-out"
	By, Reason string
	Count      int // of changes at the provider
}

// Acted stores the event of what an operator did to a source.
func Acted(ctx context.Context, js jetstream.JetStream, src config.Source, o Order) error {
	e := &signingv1.SigningEvent{
		Source: src.Name, Provider: src.Provider, Type: event.OperatorActed, OccurredAt: timestamppb.Now(),
		Verification: signingv1.Verification_VERIFICATION_INTERNAL,
		Attributes:   map[string]string{event.AttributeAction: o.Action, "by": o.By, "reason": o.Reason, "count": strconv.Itoa(o.Count)},
	}
	e.Id = event.OccurrenceOf(e, o.Action, e.GetOccurredAt().AsTime().Format(time.RFC3339Nano))
	m, err := event.Message(ctx, e)
	if err == nil {
		_, err = js.PublishMsg(ctx, m)
	}
	if err != nil {
		return fmt.Errorf("it is done, but the event of it was not stored: %w", err)
	}
	return nil
}
