package optout_test

import (
	"context"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/optout"
	"github.com/signrelay/signrelay/libs/realtest"
)

// BenchmarkOut is what the check costs a text: one request for the number's two scopes and the person, in a bucket with 1,000 entries.
func BenchmarkOut(b *testing.B) {
	_, js := realtest.NATS(b).Connect()
	if err := flow.Provision(b.Context(), js, 1); err != nil {
		b.Fatal(err)
	}
	s, err := optout.Open(b.Context(), js, keyring.New(nil))
	if err != nil {
		b.Fatal(err)
	}
	for i := range 1000 {
		if _, err := s.Change(context.Background(), optout.State{Out: true, At: time.Now(), Message: "m"}, optout.Number(time.Duration(i).String(), "acme")); err != nil {
			b.Fatal(err)
		}
	}
	groups := [][]optout.Who{
		{optout.Number(number, "acme"), optout.Number(number, "")}, {optout.Person(event.Signer{Source: "acme", Document: "d", Recipient: "r"})},
	}
	for b.Loop() {
		if _, err := s.Out(context.Background(), groups...); err != nil {
			b.Fatal(err)
		}
	}
}
