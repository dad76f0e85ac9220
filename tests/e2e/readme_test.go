package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/tests/testenv"
)

var (
	readmeCurl   = regexp.MustCompile("(?s)```sh\ncurl -i http://localhost:8080(\\S+) \\\\\n(.*?)\n```")
	readmeHeader = regexp.MustCompile(`-H '([^:']+): ([^']+)'`)
	readmeBody   = regexp.MustCompile(`(?s)-d '(.*)'`)
)

// The README's command for newcomers works: the event is in the log, and the signer got each message once.
func TestReadmeCurl(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join(testenv.Root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	curl := readmeCurl.FindStringSubmatch(string(readme))
	if curl == nil {
		t.Fatal("README.md shows no curl")
	}
	header := http.Header{}
	for _, h := range readmeHeader.FindAllStringSubmatch(curl[2], -1) {
		header.Set(h[1], h[2])
	}
	body := []byte(readmeBody.FindStringSubmatch(curl[2])[1])

	h := testenv.Standalone(t)
	if status, response := h.Callback(t, http.MethodPost, curl[1], nil, header, body); status != http.StatusAccepted || response["status"] != "accepted" {
		t.Fatalf("%d %v", status, response)
	}
	if status, response := h.Callback(t, http.MethodPost, curl[1], nil, header, body); status != http.StatusOK || response["status"] != "duplicate" {
		t.Fatalf("again: %d %v", status, response)
	}
	h.Until(t, "the text and the e-mail have arrived", func() bool { return len(h.Messages(t)) >= 2 })
	h.WaitIdle(t)
	channels := map[string]int{}
	for _, m := range h.Messages(t) {
		channels[m.Channel]++
		for _, l := range link.FindAllString(m.Text, -1) {
			followLink(t, l, http.StatusOK)
		}
	}
	if channels["sms"] != 1 || channels["email"] != 1 || len(channels) != 2 {
		t.Errorf("messages by channel: %v, want one each", channels)
	}
	timeline, err := h.Command(t, "timeline", "596f858584281715b3493d0c")
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range []string{"document.sent", "notification.sent", "link.opened"} {
		if !strings.Contains(timeline, typ) {
			t.Errorf("the timeline lacks %s:\n%s", typ, timeline)
		}
	}
}
