package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/tests/house"
)

// The seed's three flows, and every message that comes of them: to whom, on which channel, and the text of the documentation
// word for word. L stands for a link, which must open; an e-mail shows by its subject.
//
// Eric Smith and Sam Lee want texts and e-mails, Jane Roe e-mails alone. The last signature makes no progress message.
var seedMessages = []string{
	`sms 13175551234: You've been sent "PS Employment Agreement" by PactSafe. Please review & sign: L`,
	`email eric.smith@example.com: Please review & sign "PS Employment Agreement" [1 link]`,
	`email jane.roe@example.com: Please review & sign "PS Employment Agreement" [1 link]`,
	`email jane.roe@example.com: Eric Smith has signed "PS Employment Agreement" [0 links]`,
	`sms 13175551234: "PS Employment Agreement" has been accepted by all parties. Download your document here: L`,
	`email eric.smith@example.com: "PS Employment Agreement" has been accepted by all parties [1 link]`,
	`email jane.roe@example.com: "PS Employment Agreement" has been accepted by all parties [1 link]`,

	`sms 13175551234: You've been sent "Employment Agreement" by PactSafe. Please review & sign: L`,
	`email eric.smith@example.com: Please review & sign "Employment Agreement" [1 link]`,
	`sms 13175550187: You've been sent "Employment Agreement" by PactSafe. Please review & sign: L`,
	`email sam.lee@example.com: Please review & sign "Employment Agreement" [1 link]`,
	`sms 13175550187: Eric Smith has signed "Employment Agreement". One more signature is needed to complete the document.`,
	`email sam.lee@example.com: Eric Smith has signed "Employment Agreement" [0 links]`,
}

func TestTheSeedsStory(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *house.House{
		"in one process":           house.Standalone,
		"with a process a service": house.Apart,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t)
			h.Play(t, "clickwrap", "seed")
			tellTheSeedsStory(t, h)
		})
	}
}

func tellTheSeedsStory(t *testing.T, h *house.House) {
	t.Helper()
	h.Until(t, "the messages have come", func() bool { return len(h.Messages(t)) >= len(seedMessages) })
	h.Idle(t)
	var got []string
	for _, m := range h.Messages(t) {
		text, links := withoutLinks(m.Text)
		if m.Channel == "email" {
			text = fmt.Sprintf("%s [%d link%s]", m.Subject, len(links), strings.Repeat("s", 1-min(len(links), 1)))
		}
		got = append(got, m.Channel+" "+m.To+": "+text)
		for _, link := range links {
			opens(t, link)
		}
	}
	slices.Sort(got)
	want := slices.Sorted(slices.Values(seedMessages))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

var link = regexp.MustCompile(`https?://\S+`)

func withoutLinks(text string) (string, []string) {
	links := link.FindAllString(text, -1)
	return strings.TrimSpace(link.ReplaceAllString(text, "L")), links
}

// opens follows a link as a signer's browser does.
func opens(t *testing.T, link string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, link, nil)
	if err != nil {
		t.Error(err)
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Errorf("a link does not open: %v", err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	page, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK || len(page) == 0 || resp.Request.URL.String() == link {
		t.Errorf("a link leads to %s: %s, %d bytes", resp.Request.URL.Host, resp.Status, len(page))
	}
}

// make demo is for people; here it only has to be right about itself.
func TestTheDemo(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), house.Program(t, "demo")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "All 13 messages came") {
		t.Errorf("the demo: %v\n%s", err, out)
	}
}
