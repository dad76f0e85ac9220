package pack_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

func completed() *signingv1.SigningEvent {
	return &signingv1.SigningEvent{
		Id: "0123456789abcdefghijklmnop", Source: "acme", Provider: "esign-v1", Type: "document.completed", ProviderType: "signed",
		ReceivedAt: timestamppb.New(time.Unix(1, 0)), Verification: signingv1.Verification_VERIFICATION_TOKEN,
		Document: &signingv1.Document{Id: "D", Title: "Lease"}, Links: []*signingv1.Link{{Kind: "signed", Url: "https://one.example"}},
		Attributes: map[string]string{"tag": "a", "sent_to": "https://a.example"},
	}
}

func TestAdditionOfASecondReport(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*signingv1.SigningEvent)
		adds   bool
	}{
		"nothing": {func(*signingv1.SigningEvent) {}, false},
		"its arrival": {func(e *signingv1.SigningEvent) {
			e.ReceivedAt, e.ProviderEventId = timestamppb.New(time.Unix(2, 0)), "2"
		}, false},
		"its verification": {func(e *signingv1.SigningEvent) { e.Verification = signingv1.Verification_VERIFICATION_RSA }, false},
		"its name":         {func(e *signingv1.SigningEvent) { e.ProviderType = "document.status=30" }, false},
		"its delivery":     {func(e *signingv1.SigningEvent) { e.Attributes["sent_to"] = "https://b.example" }, false},
		"our own mark":     {func(e *signingv1.SigningEvent) { e.Attributes[pack.TimeUnread] = "timestamp" }, false},
		"less":             {func(e *signingv1.SigningEvent) { e.Document.Title, e.Attributes, e.Links = "", nil, nil }, false},
		"an empty field":   {func(e *signingv1.SigningEvent) { e.Attributes["note"] = "" }, false},
		"a field":          {func(e *signingv1.SigningEvent) { e.Attributes["note"] = "x" }, true},
		"another text":     {func(e *signingv1.SigningEvent) { e.Attributes["tag"] = "b" }, true},
		"a time":           {func(e *signingv1.SigningEvent) { e.OccurredAt = timestamppb.New(time.Unix(3, 0)) }, true},
		"a group":          {func(e *signingv1.SigningEvent) { e.Document.Group = "g" }, true},
		"a name":           {func(e *signingv1.SigningEvent) { e.Recipient = &signingv1.Recipient{FirstName: "Ann"} }, true},
		"an agreement":     {func(e *signingv1.SigningEvent) { e.Agreement = &signingv1.Agreement{Contract: "1"} }, true},
		"another address":  {func(e *signingv1.SigningEvent) { e.Links[0].Url = "https://two.example" }, true},
		"an endpoint test": {func(e *signingv1.SigningEvent) { e.Type, e.Attributes["note"] = "endpoint.tested", "x" }, false},
		"an update":        {func(e *signingv1.SigningEvent) { e.Type, e.Attributes["note"] = event.DocumentUpdated, "x" }, false},
	} {
		second := completed()
		c.change(second)
		before := proto.CloneOf(second)
		u := pack.Addition(completed(), second, "sent_to")
		if (u != nil) != c.adds {
			t.Errorf("%s: adds %v", name, u)
		}
		if !proto.Equal(before, second) {
			t.Errorf("%s: the report itself was changed", name)
		}
		if u == nil {
			continue
		}
		if u.GetType() != event.DocumentUpdated || u.GetAttributes()[pack.UpdatesAttribute] != second.GetId() || u.GetDocument().GetId() != "D" {
			t.Errorf("%s: %v", name, u)
		}
		second.ReceivedAt, second.Attributes["sent_to"] = timestamppb.New(time.Unix(9, 0)), "https://c.example"
		if again := pack.Addition(completed(), second, "sent_to"); again.GetId() != u.GetId() {
			t.Errorf("%s: its retry is another event", name)
		}
	}
}

// Subscribers and dedupe stores keep ids, so they must not change.
func TestAnUpdatesIDIsStable(t *testing.T) {
	t.Parallel()
	second := completed()
	second.Document.Group = "g"
	const want = "obvui4em3hr0rqm2vjq22j0te0"
	if u := pack.Addition(completed(), second, "sent_to"); u.GetId() != want {
		t.Errorf("id %s, want %s", u.GetId(), want)
	}
}
