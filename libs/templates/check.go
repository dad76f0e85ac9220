package templates

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/event"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// mistakes collects mistakes, each once: many messages use a shared text, and its mistake is in one place.
type mistakes struct{ lines []string }

func (m *mistakes) add(err error) {
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") { // each part of an e-mail may have one
		line = derived.ReplaceAllString(line, "")
		if at := place.FindStringIndex(line); at != nil {
			line = line[at[0]:] // without the prefix of the template packages
		}
		if !slices.Contains(m.lines, line) {
			m.lines = append(m.lines, line)
		}
	}
}

func (m *mistakes) all() []error {
	var all []error
	for _, line := range m.lines {
		all = append(all, errors.New(line))
	}
	return all
}

// derived is the suffix that html/template adds to the name of a block in another context than text, such as <title>.
var derived = regexp.MustCompile(`\$htmltemplate_\w+`)

// place is a file and a line.
var place = regexp.MustCompile(`[A-Za-z0-9-]+/[a-z.]+\.tmpl:\d+`)

// oneError returns all mistakes as one error, in the order of the files.
func oneError(dir string, all []error) error {
	lines := make([]string, len(all))
	for i, err := range all {
		lines[i] = "templates.dir: " + strings.TrimRight(dir, "/") + "/" + err.Error()
	}
	slices.Sort(lines)
	return errors.New(strings.Join(lines, "\n"))
}

// try renders every message for every sample, and collects the mistakes.
func try(s *Set) []error {
	var wrong mistakes
	for _, n := range samples() {
		for key, m := range s.messages {
			locale, name, _ := strings.Cut(key, "/")
			kind, channel, _ := strings.Cut(name, ".")
			if kind != event.KindName(n.GetKind()) {
				continue
			}
			n.Locale = locale
			for _, p := range layouts[channel].render(s, n) {
				err := p.err
				if err == nil {
					err = m.judge(n, p.name, p.text)
				}
				wrong.add(err)
			}
		}
	}
	return wrong.all()
}

// judge returns the mistake in a part that was rendered.
func (m message) judge(n *notifyv1.Notification, part, text string) error {
	block := m.text.Lookup(part)
	where, _ := block.ErrorContext(block.Root)
	switch link := n.GetLink().GetShort(); {
	case text == "":
		return fmt.Errorf("%s: %q is empty", where, part)
	case (part == "subject" || part == "sms") && strings.ContainsAny(text, "\r\n"):
		return fmt.Errorf("%s: %q is more than one line", where, part)
	case part != "subject" && link != "" && !strings.Contains(text, link):
		return fmt.Errorf("%s: %q does not show {{.Link}}, and without the link the document cannot be opened", where, part)
	default:
		return nil
	}
}

// samples returns notifications of every kind: one with all values, one with the fewest possible values, one with hostile values, one to the
// sender, and two to an address that signers share. For progress, it also returns one for each number that languages write as a word.
func samples() []*notifyv1.Notification {
	var all []*notifyv1.Notification
	for _, kind := range kinds() {
		full := &notifyv1.Notification{
			Kind: kind, DocumentTitle: "Employment Agreement", SenderName: "Acme", ActorName: "Eric Smith",
			To: &notifyv1.Person{FirstName: "Zoë"}, SignaturesMissing: 1,
		}
		if linked(kind) {
			full.Link = &notifyv1.Link{Short: "https://sign.acme.example/l/Ab3-_9xYz0123456"}
		}
		all = append(all, full,
			&notifyv1.Notification{Kind: kind, SignaturesMissing: 1, Link: full.GetLink()},
			&notifyv1.Notification{
				Kind: kind, DocumentTitle: `</a><script>"{{.}}" 'x'` + strings.Repeat(" لا", 100), SenderName: "<b>&amp;", ActorName: "{{template}}\n李小龍",
				To: &notifyv1.Person{FirstName: "\u202e\"><img>"}, SignaturesMissing: 1000, Link: full.GetLink(),
			},
			&notifyv1.Notification{
				Kind: kind, DocumentTitle: "Offer", SenderName: "Acme", ActorName: "Eric Smith",
				To: &notifyv1.Person{Sender: true}, SignaturesMissing: 1, Link: full.GetLink(),
			},
			&notifyv1.Notification{
				Kind: kind, DocumentTitle: "Deed", SignaturesMissing: 1, Link: full.GetLink(),
				To: &notifyv1.Person{FirstName: "Zoë", LastName: "Smith", SharedBy: 2},
			},
			&notifyv1.Notification{Kind: kind, SignaturesMissing: 1, Link: full.GetLink(), To: &notifyv1.Person{SharedBy: 3, SharedPlace: 3}})
		for missing := uint32(2); kind == notifyv1.Kind_KIND_PROGRESS && missing <= 12; missing++ {
			all = append(all, &notifyv1.Notification{Kind: kind, SignaturesMissing: missing})
		}
	}
	return all
}
