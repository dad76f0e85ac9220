package party

import (
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/event"
)

func TestAFullInboxDeletesItsOldestMessages(t *testing.T) {
	t.Parallel()
	b := newInbox(3 * (messageBytes + 3))
	for _, text := range []string{"one", "two", "3rd", "4th"} {
		b.Receive(Message{Channel: event.ChannelName(event.SMS), Text: text})
	}
	if got := b.List("", ""); len(got) != 3 || got[0].Text != "two" || got[2].Text != "4th" {
		t.Errorf("kept %+v, want the last three", got)
	}
	b.Receive(Message{Channel: event.ChannelName(event.Email), Text: strings.Repeat("x", 10_000)})
	if got := b.List("", ""); len(got) != 1 || got[0].Channel != event.ChannelName(event.Email) {
		t.Errorf("kept %d messages, want the large one alone", len(got))
	}
	if _, ok := b.Email(5); !ok {
		t.Error("the fifth message is not found by its number")
	}
	b.Clear()
	for range 3 {
		b.Receive(Message{Text: "abc"})
	}
	if got := b.List("", ""); len(got) != 3 {
		t.Errorf("kept %d messages after clearing, want 3", len(got))
	}
}
