package console

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"pgregory.net/rapid"
)

// The console decides as the server does whether a message is an input of a consumer.
func TestFiltersMatchAsInTheServer(t *testing.T) {
	t.Parallel()
	token, wild := rapid.SampledFrom([]string{"a", "b", "signing"}), rapid.SampledFrom([]string{"a", "b", "signing", "*", "*"})
	rapid.Check(t, func(t *rapid.T) {
		subject := strings.Join(rapid.SliceOfN(token, 1, 4).Draw(t, "subject"), ".")
		filter := strings.Join(append(rapid.SliceOfN(wild, 1, 4).Draw(t, "filter"), rapid.SampledFrom([][]string{nil, {">"}}).Draw(t, "end")...), ".")
		if got, want := matches(filter, subject), server.SubjectMatchesFilter(subject, filter); got != want {
			t.Errorf("%s matches %s: %t, want %t", filter, subject, got, want)
		}
	})
	if !matches(">", "a.b") {
		t.Error("> matches nothing")
	}
}
