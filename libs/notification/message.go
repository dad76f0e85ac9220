package notification

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/protobuf/proto"

	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// Message returns n as a message on a subject, with the trace of ctx. Its Nats-Msg-Id is msgID, which is not always n's id: a notification is
// in NOTIFY twice, for the shortener and for the sender. With one id, the stream would drop the second message as a duplicate.
func Message(ctx context.Context, subject, msgID string, n *notifyv1.Notification) (*nats.Msg, error) {
	if n.GetId() == "" || msgID == "" {
		return nil, errors.New("notification without an id")
	}
	data, err := proto.Marshal(n)
	if err != nil {
		return nil, fmt.Errorf("encode notification %s: %w", n.GetId(), err)
	}
	trace := propagation.MapCarrier{}
	otel.GetTextMapPropagator().Inject(ctx, trace)
	h := nats.Header{"Nats-Msg-Id": {msgID}}
	for key, value := range trace {
		h[key] = []string{value}
	}
	return &nats.Msg{Subject: subject, Header: h, Data: data}, nil
}

// Decode reads a message's payload.
func Decode(data []byte) (*notifyv1.Notification, error) {
	n := new(notifyv1.Notification)
	if err := proto.Unmarshal(data, n); err != nil {
		return nil, fmt.Errorf("not a Notification: %w", err)
	}
	if n.GetId() == "" {
		return nil, errors.New("a Notification without an id")
	}
	return n, nil
}
