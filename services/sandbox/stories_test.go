package sandbox_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

// listedStory is a story in the response to GET /api/stories, with its literal names.
type listedStory struct {
	Provider    string
	Story       string
	Title       string
	Description string
	Messages    []struct{ Kind, Channel, To string }
}

func TestStoriesAreListedWithTheirMessages(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	listed := sandboxtest.Read[[]listedStory](t, w.Get("/api/stories"))
	var names []string
	for _, s := range listed {
		names = append(names, s.Provider+"/"+s.Story)
		if s.Title == "" || s.Description == "" || len(s.Messages) == 0 {
			t.Errorf("%s/%s is listed as %+v", s.Provider, s.Story, s)
		}
		for _, m := range s.Messages {
			number := strings.Trim(m.To, "0123456789") == "" && len(m.To) >= 11
			address := strings.HasSuffix(m.To, "@example.com") || m.To == "sender"
			if (m.Channel == "sms" && !number) || (m.Channel == "email" && !address) {
				t.Errorf("%s/%s: a message is %+v", s.Provider, s.Story, m)
			}
		}
	}
	first := []string{
		"clickwrap/seed", "clickwrap/one-signer", "clickwrap/two-signers", "clickwrap/resend", "clickwrap/declined", "clickwrap/unsigned", "clickwrap/lost-text",
		"clickwrap/stop",
		"pleasesign/one-signer", "pleasesign/two-signers", "pleasesign/ordered-signing", "pleasesign/declined", "pleasesign/bounced", "pleasesign/corrected", "pleasesign/corrected-silent",
		"pleasesign/mixed",
		"esign-v1/one-signer", "esign-v1/two-signers", "esign-v1/long-night", "esign-v1/declined", "esign-v1/corrected",
	}
	if !slices.Equal(names[:min(len(first), len(names))], first) {
		t.Errorf("the stories are %q, want first %q", names, first)
	}
	for _, name := range names[min(len(first), len(names)):] { // the party's own tests have its list
		if provider, _, _ := strings.Cut(name, "/"); slices.ContainsFunc(first, func(s string) bool { return strings.HasPrefix(s, provider+"/") }) {
			t.Errorf("%s is not in the list", name)
		}
	}
	for _, p := range providers.All {
		if !slices.ContainsFunc(names, func(s string) bool { return strings.HasPrefix(s, p.Name+"/") }) {
			t.Errorf("services/sandbox/parties.go: no party has stories of %s", p.Name)
		}
	}
	if got := len(listed[0].Messages); got != 13 {
		t.Errorf("the guide's flows make %d messages, want 13", got)
	}
}
