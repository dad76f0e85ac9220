package security

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/signrelay/signrelay/libs/realtest"
)

// Titles and names that strangers choose. Messages must show them as plain text.
var hostile = []string{
	"\r\nBcc: victim@evil.example", "\nX-Injected: yes", "\r\n\r\n<script>alert(1)</script>", "\r\n.\r\nMAIL FROM:<x@evil.example>",
	`<img src="http://evil.example/x.gif">`, `"><script>alert(1)</script>`, `<a href="javascript:alert(1)">x</a>`, "<!--", "</p></body></html>",
	`{{.Link}}{{template "x"}}{{printf "%s" .}}`, "http://evil.example/pay", "https://evil.example", "www.evil.example/x",
	"&to=447700900999&text=other", "\x00\x07\x1b[31m", "\u202egpj.exe", "\u2028\u2029", "\ufeff\u200b", "--boundary--",
	"=?utf-8?q?=0d=0aBcc:_victim=40evil.example?=", "=?utf-8?q?=E2=80=AEgpj.exe?=", "%0d%0aBcc:%20victim@evil.example",
	// Texts that phones and mail programs turn into links.
	"xn--e1awd7f.xn--p1ai", "evil.com.", "evil.com:8080", "evil.zip", "пример.рф", "例子.中国", "192.168.0.1", "http://3232235521", "http://0xC0A80001/", "http://[::1]/",
	"http://%65vil.com", "evil%2ecom", "user@evil.com", "user@localhost", "user＠evil．com", "ｈｔｔｐ：／／ｅｖｉｌ．ｃｏｍ", "evil\u3002com", "evil\u2024com", "evil\u200d.com",
	"evil.\ufe0fcom", "xevil.comx", "еvil.соm", "𝐞𝐯𝐢𝐥.𝐜𝐨𝐦", "mailto:user@evil.com", "tel:+442079460000", "//evil.com", "call +44 20 7946 0000 now", "call +44–20–7946–0000 now",
	"call +٤٤ ٢٠ ٧٩٤٦ ٠٠٠٠ now", "room 5 +44 20 7946 0000",
}

// linkable is a phone number that can be called.
var linkable = regexp.MustCompile(`\+44[ –]20[ –]7946|٧٩٤٦`)

// A stranger's input creates no header, markup, recipient or link in any e-mail or text message.
func hostileTexts(t *testing.T, s *stand) {
	linkify := realtest.Linkifier(t)
	var seen, about []string
	const source, good, mobile = "messages", "good@signer.example", "+13175550144"
	for i, hostileText := range hostile {
		title := func(provider string) string { return fmt.Sprintf("W%s%02d %s", provider, i, hostileText) }
		document := func(provider string) string { return fmt.Sprintf("words-%s-%02d", provider, i) }
		s.world.respondJSON("/v1.1/requests/"+document("cw"), clickwrapRequest(title("cw"), signer{ID: "p", First: hostileText, Last: hostileText, Email: good, Mobile: mobile}))
		s.world.respondJSON("/document/"+document("ps"), pleasesignDocument(title("ps"), person{ID: "p", First: hostileText, Last: hostileText, Email: good, Mobile: mobile}))
		s.world.respondJSON("/api/v1/document/"+document("es")+"/", esignDocument(title("es"), party{ID: "p", First: hostileText, Last: hostileText, Email: good, Tel: mobile}))
		s.accepts(t, "clickwrap", clickwrap(source, clickwrapSent(document("cw"))))
		s.accepts(t, "pleasesign", pleasesign(source, pleasesignSent(document("ps"))))
		s.accepts(t, "esign", s.esignAll(source, esignSent(document("es"))))
	}
	for i, hostileText := range hostile {
		for _, provider := range []string{"cw", "ps", "es"} {
			s.settled(t, fmt.Sprintf("words-%s-%02d", provider, i), 2)
			marker := fmt.Sprintf("W%s%02d", provider, i)
			emails, texts := s.world.emailsWith(marker), s.world.textsWith(marker)
			if len(emails) != 1 || len(texts) != 1 {
				t.Errorf("%q: %d e-mails and %d texts", hostileText, len(emails), len(texts))
				continue
			}
			if !slices.Equal(emails[0].to, []string{good}) {
				t.Errorf("%q: the e-mail goes to %q", hostileText, emails[0].to)
			}
			s.harmless(t, hostileText, emails[0].raw)
			if to := texts[0]["to"]; to != strings.TrimPrefix(mobile, "+") {
				t.Errorf("%q: the text goes to %q", hostileText, to)
			}
			s.oneLine(t, hostileText, texts[0]["text"])
			s.oneLink(t, hostileText, texts[0]["text"])
			seen, about = append(seen, texts[0]["text"]), append(about, hostileText)
			for _, text := range readable(t, emails[0].raw) {
				seen, about = append(seen, text), append(about, hostileText)
			}
		}
	}
	for i, links := range linkify(append(seen, "an honest "+s.links()+"abc")) {
		if i == len(seen) {
			if len(links) == 0 {
				t.Error("the linkifier does not find our own link")
			}
			break
		}
		for _, link := range links {
			if !strings.Contains(link, strings.TrimPrefix(s.links(), "http://")) && !strings.HasPrefix(link, "http://www.w3.org/") {
				t.Errorf("%q: a linkifier links %q in %q", about[i], link, seen[i])
			}
		}
		if linkable.MatchString(seen[i]) {
			t.Errorf("%q: a phone calls the number in %q", about[i], seen[i])
		}
	}
	honest := "honest-words"
	s.world.respondJSON("/v1.1/requests/"+honest, clickwrapRequest("Lease v2.1 – ООО Ромашка, Node.js", signer{ID: "p", Email: good, Mobile: mobile}))
	s.accepts(t, "an honest title", clickwrap(source, clickwrapSent(honest)))
	s.settled(t, honest, 2)
	if texts := s.world.textsWith("Lease v2.1 – ООО Ромашка, Node.js"); len(texts) != 1 {
		t.Errorf("%d texts with the honest title", len(texts))
	}
}

// readable returns the text of an e-mail: its subject and its bodies.
func readable(t *testing.T, raw string) []string {
	t.Helper()
	l, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(l.Header.Get("Subject"))
	if err != nil {
		t.Error(err)
	}
	texts := []string{subject}
	for _, text := range parts(t, l) {
		texts = append(texts, text)
	}
	return texts
}

// headers are the headers of our e-mails.
var headers = []string{
	"Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To", "User-Agent", "X-Mailer",
}

func (s *stand) harmless(t *testing.T, hostileText, raw string) {
	t.Helper()
	l, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Errorf("%q: the e-mail cannot be parsed: %v", hostileText, err)
		return
	}
	for name, values := range l.Header {
		if !slices.Contains(headers, name) || len(values) != 1 {
			t.Errorf("%q: the header %s: %q", hostileText, name, values)
		}
	}
	if to, err := l.Header.AddressList("To"); err != nil || len(to) != 1 || to[0].Address != "good@signer.example" {
		t.Errorf("%q: To: %v, %v", hostileText, to, err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(l.Header.Get("Subject"))
	if err != nil {
		t.Errorf("%q: the subject cannot be decoded: %v", hostileText, err)
	}
	s.oneLine(t, hostileText, subject)
	for kind, text := range parts(t, l) {
		switch kind {
		case "text/plain":
			s.oneLink(t, hostileText, text)
		case "text/html":
			for _, tag := range []string{"<script", "<img", "<a href=\"javascript", "<!--"} {
				if strings.Contains(strings.ToLower(text), tag) {
					t.Errorf("%q: %s in the HTML:\n%s", hostileText, tag, text)
				}
			}
			for _, to := range regexp.MustCompile(`<[^>]*(?:href|src|action)="?([^" >]*)`).FindAllStringSubmatch(text, -1) {
				if !strings.HasPrefix(to[1], s.links()) {
					t.Errorf("%q: the HTML leads to %s", hostileText, to[1])
				}
			}
			if strings.Count(text, "</html>") != 1 || !strings.HasSuffix(strings.TrimSpace(text), "</html>") {
				t.Errorf("%q: the HTML ends early:\n%s", hostileText, text)
			}
		default:
			t.Errorf("%q: a part of type %s", hostileText, kind)
		}
	}
}

// parts returns an e-mail's decoded bodies by their types.
func parts(t *testing.T, l *mail.Message) map[string]string {
	t.Helper()
	found := map[string]string{}
	_, params, err := mime.ParseMediaType(l.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	reader := multipart.NewReader(l.Body, params["boundary"])
	for {
		part, err := reader.NextRawPart()
		if err != nil {
			break
		}
		raw, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		if part.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
			if raw, err = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(raw))); err != nil {
				t.Fatal(err)
			}
		}
		kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
		found[kind] += string(raw)
	}
	if len(found) != 2 {
		t.Errorf("an e-mail of %d parts", len(found))
	}
	return found
}

// links is the prefix of every link that a signer gets.
func (s *stand) links() string { return "http://" + s.Address("SIGNRELAY_LINKS_ADDR") + "/l/" }

// Phones turn text into a link if it has a scheme or begins with www.
var address = regexp.MustCompile(`(?i)\S*(?:://|www\.\S)\S*`)

// oneLink requires that the text's only link is ours.
func (s *stand) oneLink(t *testing.T, hostileText, text string) {
	t.Helper()
	found := address.FindAllString(text, -1)
	if len(found) != 1 || !strings.HasPrefix(found[0], s.links()) {
		t.Errorf("%q: the links %q in %q", hostileText, found, text)
	}
}

// oneLine requires a text without line breaks, control characters, and characters that change the direction.
func (s *stand) oneLine(t *testing.T, hostileText, text string) {
	t.Helper()
	if i := strings.IndexFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) }); i >= 0 {
		t.Errorf("%q: %q in %q", hostileText, text[i:], text)
	}
}

// A message to an address from the provider's API reaches one person, or is not sent.
func hostileAddresses(t *testing.T, s *stand) {
	const source, good = "messages", "good@signer.example"
	// Each input reaches the one address that it names. If it names several addresses or none, no e-mail is sent.
	emails := []struct{ text, to string }{
		{"a@signer.example\r\nRCPT TO:<victim@evil.example>", ""},
		{"a@signer.example, victim@evil.example", ""},
		{"a@signer.example,victim@evil.example", ""},
		{"a@signer.example;victim@evil.example", ""},
		{"a@signer.example <victim@evil.example>", ""},
		{"\"a@signer.example\" <victim@evil.example>", ""},
		{"a@signer.example (victim@evil.example)", ""},
		{"a@signer.example\nBcc: victim@evil.example", ""},
		{"a@signer.example> SIZE=1 <victim@evil.example", ""},
		{"\"a\r\nBcc: victim@evil.example\"@signer.example", ""},
		{"victim@evil.example>", ""},
		{"group: victim@evil.example;", ""},
		{"@signer.example:victim@evil.example", ""},
		{"mailto:a@signer.example,victim@evil.example", ""},
		{"Good <b@signer.example>", "b@signer.example"},
		{"<c@signer.example>", "c@signer.example"},
		{"d@signer.example(comment)", "d@signer.example"},
		{"e@signer.example\x00", "e@signer.example"},
		{"mailto:f@signer.example?bcc=victim@evil.example", "f@signer.example"},
		// The mail server would deliver messages to these addresses inside its own network.
		{"victim@localhost", ""}, {"victim@LOCALHOST.", ""}, {"victim@127.0.0.1", ""}, {"victim@[127.0.0.1]", ""}, {"victim@[IPv6:::1]", ""}, {"victim@127.1", ""},
		{"victim@0x7f.0.0.1", ""}, {"victim@１２７.0.0.1", ""}, {"victim@mailserver", ""}, {"victim@db.internal.", ""}, {"victim@printer.local", ""},
		{"", ""},
	}
	mobiles := []string{
		"+13175550155&to=447700900999", "+13175550155\r\n&to=447700900999", "+13175550155,+447700900999", "+13175550155;447700900999",
		"+99999999999999999999", "tel:+13175550155;phone-context=evil.example", "+1317555015５", "*#06#", "abc", "+0", "",
	}
	people := []signer{{ID: "good", Email: good, Mobile: "+13175550155"}}
	planned := 2
	want := []string{good}
	for i, email := range emails {
		people = append(people, signer{ID: fmt.Sprintf("e%d", i), Email: email.text})
		planned++
		if email.to != "" {
			want = append(want, email.to)
		}
	}
	for i, mobile := range mobiles {
		people = append(people, signer{ID: fmt.Sprintf("m%d", i), Mobile: mobile})
		planned++
	}
	s.world.respondJSON("/v1.1/requests/addresses", clickwrapRequest("Addresses", people...))
	s.accepts(t, "the document", clickwrap(source, clickwrapSent("addresses")))
	s.settled(t, "addresses", planned)

	var reached []string
	for _, l := range s.world.emailsWith("Addresses") {
		if reached = append(reached, l.to...); len(l.to) != 1 || strings.Contains(l.raw, "victim") {
			t.Errorf("an e-mail to %q:\n%s", l.to, l.raw)
		}
	}
	texts := s.world.textsWith("Addresses")
	for _, form := range texts {
		if form["to"] != "13175550155" {
			t.Errorf("a text to %q", form["to"])
		}
	}
	slices.Sort(reached)
	slices.Sort(want)
	if !slices.Equal(reached, want) || len(texts) == 0 {
		t.Errorf("e-mails to %q, want %q; %d texts", reached, want, len(texts))
	}
}
