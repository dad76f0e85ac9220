package security

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
)

// row is the beginning of a line that a stranger has forged.
const row = "FAKE-ROW"

// Texts that control a terminal: they clear it, set its title, make a link, set colours, move the cursor, change the direction, or begin a line.
var escapes = []string{
	"\x1b[2J", "\x1b]0;owned\x07", "\x1b]8;;http://evil.example\x1b\\", "\u009b31m", "\u009d0;owned\u009c", "\x08\x08", "\x7f", "\r" + row, "\n" + row, "\r\n" + row, "\u0085" + row,
	"\u2028" + row, "\u202e", "\u2066", "\u200b", "\x00",
}

// For any characters in ids, types, titles, bodies, queries and headers, listings contain no control characters, and a record is
// one line. That holds for callbacks in the log, in quarantine, in the DLQ, and for held messages.
func operatorsTerminal(t *testing.T, s *stand) {
	const source = "terminal"
	hostile := strings.Join(escapes, "x") + row
	marshal := func(fields map[string]any) string {
		text, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	sent := func(n int, id string) callback {
		return clickwrap(source, marshal(map[string]any{
			"event_type": "request_sent", "request": id, "id": fmt.Sprintf("e%d-%s", n, hostile), "created_time": stamp(today), "description": hostile, hostile: hostile,
		}))
	}
	// A signer whose text is held, because the number is in none of the sources' countries.
	s.world.respondJSON("/v1.1/requests/terminal-held", clickwrapRequest("T"+hostile, signer{ID: "p" + hostile, First: "F" + hostile, Last: "L" + hostile, Mobile: "+18765551234", SigningURL: "https://sign.provider.example/x"}))
	s.world.response("/v1.1/requests/terminal-lost", func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = rw.Write([]byte(hostile))
	})
	id := "d" + strings.ReplaceAll(hostile, "\x00", "") // an argument of a command cannot contain it
	s.accepts(t, "one whose signer is held", sent(1, "terminal-held"))
	s.accepts(t, "one that its API refuses", sent(2, "terminal-lost"))
	s.accepts(t, "one whose id is not requested", sent(3, id))
	s.accepts(t, "one of another type, and a person", clickwrap(source, marshal(map[string]any{"event_type": "activity_" + hostile, "request": id, "signer_id": "p" + hostile, "id": "e4"})))

	agent := strings.Map(func(r rune) rune { // HTTP allows no other characters in a header
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, hostile)
	unreadable := []callback{
		clickwrap(source, `{"event_type":`+hostile), clickwrap(source, hostile), clickwrap(source, "\xff\x9b31m\xc2"),
		clickwrap(source, marshal(map[string]any{"event_type": map[string]any{hostile: 1}, "request": id})),
		s.esignAll(source, hostile), s.esignAll(source, `[{"name":`+marshal(map[string]any{"a": hostile})+`}]`),
	}
	byGET := clickwrap(source, "")
	byGET.method, byGET.query = http.MethodGet, "event_type=%1b%5b2J%0a"+row+"&id=%C2%9B31m&x=100%"
	for _, c := range append(unreadable, byGET) {
		c.header.Set("User-Agent", agent)
		if a := s.send(t, c); a.fields["status"] != "quarantined" {
			t.Errorf("%.60q: %d %s", c.body+c.query, a.status, a.text)
		}
	}
	s.Until(t, "a text is held", func() bool { return s.stored(t, "signing.v1."+source+".*.notification.deferred.terminal-held") == 1 })
	for _, given := range []string{"terminal-lost", id} {
		s.Until(t, "a callback is a dead letter", func() bool { return s.buried(t, "enricher", event.DocumentToken(given)) == 1 })
	}

	for _, format := range [][]string{{}, {"--json"}} {
		all := "signing.v1." + source + ".>"
		s.oneLineEach(t, s.stored(t, all), append([]string{"tail", "--no-follow", all}, format...)...)
		s.oneLineEach(t, s.stored(t, event.DocumentFilter(id)), append([]string{"timeline", id}, format...)...)
	}
	for _, listing := range [][]string{{"quarantine", "list"}, {"dlq", "list"}, {"held", "list"}} {
		s.shownSafely(t, listing...)
		if output := s.shownSafely(t, append(listing, "--json")...); !strings.Contains(output, source) {
			t.Errorf("%q does not show the source:\n%s", listing, output)
		}
	}
	if output := s.shownSafely(t, "quarantine", "list"); strings.Count(output, source+"/") != len(unreadable)+1 || !lines.MatchString(output) {
		t.Errorf("%d callbacks are in quarantine, and the list is:\n%s", len(unreadable)+1, output)
	}
	shown := ""
	for _, from := range []struct{ stream, filter, command string }{{"QUARANTINE", "quarantine.v1." + source + ".>", "quarantine"}, {"DLQ", "dlq.v1.enricher", "dlq"}} {
		s.each(t, from.stream, from.filter, func(m *jetstream.RawStreamMsg) {
			if from.command == "quarantine" || strings.Contains(m.Header.Get("Signrelay-Dlq-Subject"), "."+source+".") {
				shown += s.shownSafely(t, from.command, "show", strconv.FormatUint(m.Sequence, 10))
			}
		})
	}
	// The control: the hostile text was there.
	for _, want := range []string{row, `\x1b[2J`, `\u202e`, `\x9b31m`} {
		if !strings.Contains(shown, want) {
			t.Errorf("no output shows %s:\n%s", want, shown)
		}
	}
}

// lines matches the lines of a listing that begin with a number.
var lines = regexp.MustCompile(`^(\d+ [^\n]*\n)+$`)

// oneLineEach requires that a command prints this number of lines.
func (s *stand) oneLineEach(t *testing.T, records int, args ...string) {
	t.Helper()
	if output := s.shownSafely(t, args...); strings.Count(output, "\n") != records || records == 0 {
		t.Errorf("%.80q prints %d lines for %d records:\n%s", args, strings.Count(output, "\n"), records, output)
	}
}

// shownSafely requires that a command's output has no control character, and no line that begins with a stranger's text.
func (s *stand) shownSafely(t *testing.T, args ...string) string {
	t.Helper()
	output, err := s.Command(t, args...)
	if err != nil {
		t.Errorf("%.80q: %v", args, err)
	}
	for _, r := range output {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)) {
			t.Errorf("%.80q prints %U", args, r)
			break
		}
	}
	if !utf8.ValidString(output) || strings.Contains("\n"+output, "\n"+row) {
		t.Errorf("%.80q prints invalid UTF-8, or a stranger's line: %.2000q", args, output)
	}
	return output
}
