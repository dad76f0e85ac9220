package security

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/tests/testenv"
)

// TestPumping uses the default limits. They bound the operator's cost if an attacker enters numbers at the provider.
func TestPumping(t *testing.T) {
	t.Parallel()
	s := newWorldStand(t)
	s.Env = testenv.Infrastructure(t, func(h *testenv.Env) string { return strings.Replace(s.settings(h), unlimited, "", 1) })
	for _, name := range []string{"ingest", flow.Enricher, flow.Shortener, flow.SMSSender} {
		s.StartService(t, name, name)
	}
	t.Run("one number", func(t *testing.T) { t.Parallel(); manySignersOnOneNumber(t, s) })
	t.Run("many numbers", func(t *testing.T) { t.Parallel(); manySignersOnManyNumbers(t, s) })
	t.Run("expensive numbers", func(t *testing.T) { t.Parallel(); textsToExpensiveNumbers(t, s) })
}

// perDay is the default number of texts to one number in 24 hours, and perHour that of the messages that may wait for room within an hour.
const perDay, perHour = 10, 30

// One callback about a document with 300 signers on one number sends 10 texts. 30 wait until there is room, and the others are held for the
// operator. The log has an event for each.
func manySignersOnOneNumber(t *testing.T, s *stand) {
	const document, signers = "pumped-one", 300
	var people []signer
	for i := range signers {
		people = append(people, signer{ID: fmt.Sprintf("p%d", i), First: fmt.Sprintf("F%d", i), Mobile: "+13175550142"})
	}
	s.world.respondJSON("/v1.1/requests/"+document, clickwrapRequest("Pumped-one", people...))
	s.accepts(t, "the document", clickwrap("pumping", clickwrapSent(document)))
	s.Until(t, "every text is sent or held", func() bool {
		return len(s.notices(t, document, "sent"))+len(s.notices(t, document, "deferred")) >= signers
	})
	if sent := len(s.world.textsWith("Pumped-one")); sent != perDay {
		t.Errorf("%d texts were sent, want %d", sent, perDay)
	}
	deferred := map[string]int{}
	for _, e := range s.notices(t, document, "deferred") {
		deferred[e.GetNotice().GetReason()+" "+e.GetNotice().GetFault()]++
	}
	want := map[string]int{"limit-texts-per-day ": perHour, "limit-number-per-hour operator": signers - perDay - perHour}
	if !maps.Equal(deferred, want) {
		t.Errorf("deferred: %v, want %v", deferred, want)
	}
}

// A document with 300 signers on 300 numbers is legitimate.
func manySignersOnManyNumbers(t *testing.T, s *stand) {
	const document, signers = "pumped-many", 300
	var people []signer
	for i := range signers {
		people = append(people, signer{ID: fmt.Sprintf("p%d", i), First: fmt.Sprintf("F%d", i), Mobile: fmt.Sprintf("+1317555%04d", 2000+i)})
	}
	s.world.respondJSON("/v1.1/requests/"+document, clickwrapRequest("Pumped-many", people...))
	s.accepts(t, "the document", clickwrap("other", clickwrapSent(document)))
	s.settled(t, document, signers)
	if sent := len(s.world.textsWith("Pumped-many")); sent != signers {
		t.Errorf("%d texts were sent, want %d", sent, signers)
	}
}

// Texts to expensive numbers are held, with the reason and, if the reason is the country, the country.
var costly = []struct{ number, reason, country string }{
	{"+19002345678", "number-type-premium-rate", "US"},
	{"+449012345678", "number-type-premium-rate", "GB"},
	{"+61190012345", "number-type-unknown", "AU"},
	{"+18003569377", "number-type-toll-free", "US"},
	{"+447012345678", "number-type-personal-number", "GB"},
	{"+447640123456", "number-type-pager", "GB"},
	{"+443001234567", "number-type-uan", "GB"},
	{"+611300123456", "number-type-shared-cost", "AU"},
	{"+442079460958", "number-type-fixed-line", "GB"},
	{"+61147101234", "number-type-voip", "AU"},
	{"+881612345678", "number-of-no-country", "001"},
	{"+8816123456789", "number-of-no-country", "001"},
	{"+870773111632", "number-of-no-country", "001"},
	{"+883140123456", "number-of-no-country", "001"},
	{"+979123456789", "number-of-no-country", "001"},
	{"+80812345678", "number-of-no-country", "001"},
	{"+18765551234", "country-not-allowed", "JM"},
	{"+12425551234", "country-not-allowed", "BS"},
	{"+4915112345678", "country-not-allowed", "DE"},
	{"+79541234567", "country-not-allowed", "RU"},
	{"+37126123456", "country-not-allowed", "LV"},
	{"+2522412345", "country-not-allowed", "SO"},
	{"+447797712345", "country-not-allowed", "JE"},
}

// Texts only go to mobile numbers in the countries of the sources; others are held, with their country.
func textsToExpensiveNumbers(t *testing.T, s *stand) {
	const document = "costly"
	honest := []string{"+13175550161", "+61412345678", "+447400123456"}
	var people []signer
	for _, number := range honest {
		people = append(people, signer{ID: "honest" + number[1:], Mobile: number})
	}
	for _, it := range costly {
		people = append(people, signer{ID: "costly" + it.number[1:], Mobile: it.number})
	}
	s.world.respondJSON("/v1.1/requests/"+document, clickwrapRequest("Costly", people...))
	s.accepts(t, "the document", clickwrap("messages", clickwrapSent(document)))
	noticesOf := func(what string) []*signingv1.SigningEvent { return s.notices(t, document, what) }
	s.Until(t, "every text is sent or held", func() bool {
		return len(noticesOf("sent"))+len(noticesOf("deferred"))+len(noticesOf("suppressed")) >= len(people)
	})
	var reached []string
	for _, form := range s.world.textsWith("Costly") {
		reached = append(reached, "+"+form["to"])
	}
	slices.Sort(reached)
	if want := slices.Sorted(slices.Values(honest)); !slices.Equal(reached, want) {
		t.Errorf("texts to %q, want %q", reached, want)
	}
	held := map[string]*signingv1.SigningEvent{}
	for _, e := range noticesOf("deferred") {
		held[e.GetRecipient().GetId()] = e
	}
	for _, e := range noticesOf("suppressed") { // the enricher does not accept it as a number
		held[e.GetRecipient().GetId()] = e
	}
	for _, it := range costly {
		e := held["costly"+it.number[1:]]
		if e.GetType() == "notification.suppressed" {
			continue
		}
		if e.GetNotice().GetReason() != it.reason || e.GetNotice().GetFault() != "operator" || e.GetAttributes()["country"] != it.country {
			t.Errorf("%s: %v %v, want %s in %s", it.number, e.GetNotice(), e.GetAttributes(), it.reason, it.country)
		}
	}
	out, err := s.Command(t, "held", "list", "--channel", "sms")
	if err != nil || !strings.Contains(out, "operator: country-not-allowed (JM)") || strings.Contains(out, "8765551234") {
		t.Errorf("held list: %v\n%s", err, out)
	}
}

// notices returns the events of one type about a document's messages.
func (s *stand) notices(t *testing.T, document, what string) []*signingv1.SigningEvent {
	t.Helper()
	var all []*signingv1.SigningEvent
	s.each(t, "SIGNING", "signing.v1.*.*.notification."+what+"."+document, func(m *jetstream.RawStreamMsg) {
		e, err := event.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	})
	return all
}
