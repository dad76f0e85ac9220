package stage

import (
	"context"
	"errors"
	"testing"
)

// keeps makes a stage's outputs again from their data alone.
func keeps(h *harness, r *Runner[string]) {
	r.Keep = func(outs []Out) []byte {
		if string(outs[0].Data) == "too much" {
			return nil
		}
		return outs[0].Data
	}
	r.Rebuild = func(_ context.Context, _ Event[string], kept []byte) ([]Out, error) {
		if string(kept) == "damaged" {
			return nil, errors.New("damaged")
		}
		h.record("rebuild")
		return []Out{out("out.sent", "sent", string(kept))}, nil
	}
}

// The dedupe store keeps only the data that Keep returns. A redelivery makes the output again. An output that Rebuild would not make is stored
// whole, and an entry of an earlier version is read.
func TestAnOutputIsMadeAgain(t *testing.T) {
	t.Parallel()
	const whole = `[{"s":"out.sent","h":{"Nats-Msg-Id":["sent"]},"d":"dG9vIG11Y2g="}]`
	for name, c := range map[string]struct{ data, stored string }{
		"kept":      {"it was sent", "\x01it was sent"},
		"not kept":  {"too much", whole},
		"not equal": {"it was sent", `[{"s":"out.sent","h":{"Nats-Msg-Id":["other"]},"d":"aXQgd2FzIHNlbnQ="}]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.refuse("OUT", "out.>", true)
			m := h.memory()
			r := h.effect(m)
			keeps(h, &r)
			r.Do = func(context.Context, Event[string]) ([]Out, error) {
				id := "sent"
				if name == "not equal" {
					id = "other"
				}
				return []Out{out("out.sent", id, c.data)}, nil
			}
			h.run(r)
			h.publish("input", withID("a"))
			for line := h.next(); line != "confirm"; line = h.next() {
			}
			m.mu.Lock()
			stored := string(m.entries["a"].result)
			m.mu.Unlock()
			if stored != c.stored {
				t.Errorf("stored %q, want %q", stored, c.stored)
			}
			h.refuse("OUT", "out.>", false)
			for line := h.next(); line != "+ACK"; line = h.next() {
			}
			if all := h.stored("OUT"); len(all) != 1 || string(all[0].Data) != c.data {
				t.Errorf("published %v", all)
			}
		})
	}
	h := setup(t)
	m := h.memory()
	m.put("a", entry{confirmed: true, result: []byte(whole)})
	r := h.effect(m)
	keeps(h, &r)
	h.run(r)
	h.publish("input", withID("a"))
	h.expect("claim: confirmed", "out.sent", "+ACK")
}

// An entry that cannot be read does not end its input: a newer program may read it.
func TestADamagedEntryIsTriedAgain(t *testing.T) {
	t.Parallel()
	h := setup(t)
	m := h.memory()
	m.put("a", entry{confirmed: true, result: []byte("\x01damaged")})
	r := h.effect(m)
	keeps(h, &r)
	h.run(r)
	h.publish("input", withID("a"))
	for range 4 { // more often than MaxAttempts
		h.expect("claim: confirmed", "-NAK after")
	}
}
