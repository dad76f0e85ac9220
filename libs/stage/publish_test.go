package stage

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The streams refuse a known id for two minutes. An output that may have been published before that is published again only if
// the log does not hold it.
func TestTheLogIsReadBeforeAnOutputIsPublishedAgain(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_, err := h.outside.UpdateStream(t.Context(), jetstream.StreamConfig{
		Name: "SIGNING", Subjects: []string{"signing.v1.>"}, AllowDirect: true, Duplicates: 100 * time.Millisecond, // the shortest that the server accepts
	})
	h.must(err)
	now := time.Now()
	made := now.Add(-time.Hour) // the consumer
	at := func(number int, stored time.Time) *attempt {
		return &attempt{number: number, meta: &jetstream.MsgMetadata{Timestamp: stored}}
	}
	claimed := at(1, now)
	claimed.claimedBefore = true
	replayed := at(1, now)
	replayed.input.Replays = 1
	for name, c := range map[string]struct {
		attempt *attempt
		asks    bool
	}{
		"a first attempt":                    {at(1, now), false},
		"a first attempt after a long wait":  {at(1, now.Add(-30*time.Minute)), false},
		"a retry within the streams' window": {at(9, now.Add(-50*time.Second)), false},
		"a retry later":                      {at(2, now.Add(-3*time.Minute)), true},
		"a claim shows an earlier attempt":   {claimed, true},
		"a replay":                           {replayed, true},
		"an input older than its consumer":   {at(1, made.Add(-time.Second)), true},
		"a retry of an input older than it":  {at(2, made.Add(-time.Second)), true},
	} {
		subject := "signing.v1.acme.clickwrap.notification.requested." + nats.NewInbox()[7:]
		first := func() Out { return out(subject, name, "first") }
		other := out(subject, name+", another output", "other") // which no earlier attempt published
		h.must(publish(t.Context(), h.js, first()))
		h.must(publish(t.Context(), h.js, out("signing.v1.x", "the window of "+name, "")))
		for over := false; !over; {
			ack, err := h.js.PublishMsg(t.Context(), out("signing.v1.x", "the window of "+name, ""))
			h.must(err)
			over = !ack.Duplicate
		}
		h.must(publisher{h.js, made}.publish(t.Context(), c.attempt, []Out{first(), other}))
		want := 3
		if c.asks {
			want = 2
		}
		if n := h.count("SIGNING", subject); n != want {
			t.Errorf("%s: the log holds %d messages, want %d", name, n, want)
		}
	}
}

func (h *harness) count(stream, subject string) (n int) {
	s, err := h.outside.Stream(h.Context(), stream)
	h.must(err)
	info, err := s.Info(h.Context(), jetstream.WithSubjectFilter(subject))
	h.must(err)
	return int(info.State.Subjects[subject])
}
