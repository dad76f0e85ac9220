package templates_test

import (
	"errors"
	"fmt"
	htmlpkg "html"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/templates"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

func example(kind notifyv1.Kind) *notifyv1.Notification {
	return &notifyv1.Notification{
		Id: "0123456789abcdefghijklmnop", Kind: kind, Locale: "en-AU", SenderName: "PactSafe",
		DocumentTitle: "PS Employment Agreement", ActorName: "Eric Smith", SignaturesMissing: 1,
		To:   &notifyv1.Person{FirstName: "Eric"},
		Link: &notifyv1.Link{Target: "https://provider.example/secret", Short: "https://bit.ly/2131NDa"},
	}
}

// The three example texts of the provider's own article, unchanged.
func TestSMSFollowsTheProvidersExamples(t *testing.T) {
	t.Parallel()
	progress := example(notifyv1.Kind_KIND_PROGRESS)
	progress.DocumentTitle = "Employment Agreement"
	for want, n := range map[string]*notifyv1.Notification{
		`You've been sent "PS Employment Agreement" by PactSafe. Please review & sign: https://bit.ly/2131NDa`:            example(notifyv1.Kind_KIND_INVITATION),
		`Eric Smith has signed "Employment Agreement". One more signature is needed to complete the document.`:            progress,
		`"PS Employment Agreement" has been accepted by all parties. Download your document here: https://bit.ly/2131NDa`: example(notifyv1.Kind_KIND_COMPLETED),
	} {
		got, err := builtin(t).SMS(n)
		if err != nil || got != want {
			t.Errorf("SMS = %q, %v; want %q", got, err, want)
		}
	}
}

func TestMissingSignaturesAreCountedInWords(t *testing.T) {
	t.Parallel()
	for missing, want := range map[uint32]string{
		1:  "One more signature is needed",
		2:  "Two more signatures are needed",
		10: "Ten more signatures are needed",
		11: "11 more signatures are needed",
	} {
		n := example(notifyv1.Kind_KIND_PROGRESS)
		n.SignaturesMissing = missing
		got, err := builtin(t).SMS(n)
		if err != nil || !strings.Contains(got, ". "+want+" to complete the document.") {
			t.Errorf("%d missing: SMS = %q, %v; want %q in it", missing, got, err, want)
		}
	}
}

func TestEveryKindHasTemplates(t *testing.T) {
	t.Parallel()
	for kind, name := range notifyv1.Kind_name {
		if kind == 0 {
			continue
		}
		n := example(notifyv1.Kind(kind))
		sms, err := builtin(t).SMS(n)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		subject, text, html, err := builtin(t).Email(n)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		about := "PS Employment Agreement"
		if event.KindOf(notifyv1.Kind(kind)).Replies { // it is about all texts of the sender
			about = "PactSafe"
		}
		for part, s := range map[string]string{"sms": sms, "subject": subject, "text": text, "html": html} {
			if !strings.Contains(s, about) || strings.Contains(s, "<no value>") || strings.Contains(s, "provider.example") {
				t.Errorf("%s, %s = %q", name, part, s)
			}
		}
		if strings.ContainsAny(sms+subject, "\r\n") {
			t.Errorf("%s breaks the line: %q, %q", name, sms, subject)
		}
	}
}

func TestEmailCarriesTheLinkToReadAndToClick(t *testing.T) {
	t.Parallel()
	for _, locale := range []string{"en-AU", "de"} {
		for _, kind := range []notifyv1.Kind{notifyv1.Kind_KIND_INVITATION, notifyv1.Kind_KIND_REMINDER, notifyv1.Kind_KIND_COMPLETED} {
			n := example(kind)
			n.Locale = locale
			_, text, html, err := builtin(t).Email(n)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(text, "https://bit.ly/2131NDa") != 1 {
				t.Errorf("%v in %s: text = %q", kind, locale, text)
			}
			// A button, and the whole address as a link.
			if strings.Count(html, `href="https://bit.ly/2131NDa"`) != 2 || !strings.Contains(html, `>https://bit.ly/2131NDa</a>`) || !strings.Contains(html, `lang="`+locale+`"`) {
				t.Errorf("%v in %s: html = %q", kind, locale, html)
			}
		}
	}
}

// An e-mail names its sender and its reason, and tells a reader who did not expect it to ignore it. So it does not look like phishing.
func TestEmailsNameSenderAndReason(t *testing.T) {
	t.Parallel()
	why := map[string][4]string{ // to a signer; without a sender's name; if the message was not expected; to the sender
		"en": {"because PactSafe named you", "because the sender named you", "If you did not expect it, you can ignore it", "because you sent this document"},
		"de": {"weil PactSafe Sie", "weil der Absender Sie", "Wenn Sie sie nicht erwartet haben", "weil Sie dieses Dokument"},
	}
	for number := range notifyv1.Kind_name {
		kind := notifyv1.Kind(number)
		if kind == notifyv1.Kind_KIND_UNSPECIFIED {
			continue
		}
		for locale, says := range why {
			for _, test := range []struct {
				sender   string
				toSender bool
				want     []string
				not      string
			}{
				{"PactSafe", false, []string{says[0], says[2]}, says[3]},
				{"", false, []string{says[1], says[2]}, says[3]},
				{"PactSafe", true, []string{says[3]}, says[2]},
			} {
				n := example(kind)
				n.Locale, n.SenderName, n.To.Sender = locale, test.sender, test.toSender
				subject, text, html, err := builtin(t).Email(n)
				if err != nil {
					t.Fatal(err)
				}
				for part, s := range map[string]string{"text": text, "html": html} {
					for _, want := range test.want {
						if !strings.Contains(s, want) || strings.Contains(s, test.not) {
							t.Errorf("%v in %s, %s: want %q and not %q in\n%s", kind, locale, part, want, test.not, s)
						}
					}
				}
				if _, title, found := strings.Cut(html, "<title>"); !found || !strings.HasPrefix(htmlpkg.UnescapeString(title), subject+"</title>") {
					t.Errorf("%v in %s: the title is not %q:\n%s", kind, locale, subject, html)
				}
			}
		}
	}
}

func TestOutsideTextsAreHarmless(t *testing.T) {
	t.Parallel()
	n := example(notifyv1.Kind_KIND_PROGRESS)
	n.ActorName = "Eric\r\nBcc: all@example.com\u202e\u2066\u2028 \x07 Smith"
	n.DocumentTitle = "<b>Offer</b> & \"Terms\"\n\n\tpage 1 " + strings.Repeat("x", 200)

	sms, err := builtin(t).SMS(n)
	if err != nil {
		t.Fatal(err)
	}
	if want := `Eric Bcc: all @ example. com Smith has signed "<b>Offer</b> & "Terms" page 1 xxx`; !strings.HasPrefix(sms, want) {
		t.Errorf("SMS = %q, want it to begin with %q", sms, want)
	}
	if !strings.Contains(sms, `x...". One`) || len(sms) > 250 {
		t.Errorf("the long title is not cut: %q", sms)
	}
	subject, _, html, err := builtin(t).Email(n)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(subject, "\r\n\u202e\u2028\x07") {
		t.Errorf("subject = %q", subject)
	}
	if strings.Contains(html, "<b>Offer") || !strings.Contains(html, "&lt;b&gt;Offer") {
		t.Errorf("html is not escaped: %q", html)
	}
}

func TestNamesKeepTheirLetters(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Zoë O'Brien-Łukasz", "می\u200cخواهم", "李小龍", "👩\u200d🚀"} {
		n := example(notifyv1.Kind_KIND_PROGRESS)
		n.ActorName = name
		got, err := builtin(t).SMS(n)
		if err != nil || !strings.HasPrefix(got, name+" has signed") {
			t.Errorf("SMS = %q, %v; want it to begin with %q", got, err, name)
		}
	}
}

func TestMissingFactsAreLeftOut(t *testing.T) {
	t.Parallel()
	n := example(notifyv1.Kind_KIND_INVITATION)
	n.DocumentTitle, n.SenderName, n.Locale, n.To = "", "", "", nil
	got, err := builtin(t).SMS(n)
	if want := "You've been sent a document. Please review & sign: https://bit.ly/2131NDa"; err != nil || got != want {
		t.Errorf("SMS = %q, %v; want %q", got, err, want)
	}
	n = example(notifyv1.Kind_KIND_PROGRESS)
	n.ActorName, n.Locale = "", "fr"
	got, err = builtin(t).SMS(n)
	if err != nil || !strings.HasPrefix(got, "Somebody has signed") {
		t.Errorf("SMS = %q, %v", got, err)
	}
}

// A message to the sender omits facts that only a signer needs, and the sender's own name.
func TestMessagesToTheSender(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind             notifyv1.Kind
		locale           string
		toSigner, sender string
	}{
		{
			notifyv1.Kind_KIND_DECLINED, "en",
			`Eric Smith has declined to sign "PS Employment Agreement". Nothing more is needed from you.`,
			`Eric Smith has declined to sign "PS Employment Agreement".`,
		},
		{
			notifyv1.Kind_KIND_VOIDED, "en",
			`"PS Employment Agreement" from PactSafe has been withdrawn. Nothing more is needed from you.`,
			`"PS Employment Agreement" has been withdrawn.`,
		},
		{
			notifyv1.Kind_KIND_EXPIRED, "en",
			`"PS Employment Agreement" from PactSafe has expired and can no longer be signed.`,
			`"PS Employment Agreement" has expired and can no longer be signed.`,
		},
		{
			notifyv1.Kind_KIND_UNDELIVERABLE, "en",
			`Eric Smith could not be reached and has not received "PS Employment Agreement".`,
			`Eric Smith could not be reached and has not received "PS Employment Agreement".`,
		},
		{
			notifyv1.Kind_KIND_DECLINED, "de",
			`Eric Smith möchte "PS Employment Agreement" nicht unterschreiben. Sie müssen nichts weiter tun.`,
			`Eric Smith möchte "PS Employment Agreement" nicht unterschreiben.`,
		},
		{
			notifyv1.Kind_KIND_VOIDED, "de",
			`"PS Employment Agreement" von PactSafe wurde zurückgezogen. Sie müssen nichts weiter tun.`,
			`"PS Employment Agreement" wurde zurückgezogen.`,
		},
	} {
		n := example(test.kind)
		n.Locale, n.Link = test.locale, nil
		for want, sender := range map[string]bool{test.toSigner: false, test.sender: true} {
			if test.toSigner == test.sender && !sender {
				continue
			}
			n.To.Sender = sender
			got, err := builtin(t).SMS(n)
			if err != nil || got != want {
				t.Errorf("sender %v: %q, %v; want %q", sender, got, err, want)
			}
			_, text, html, err := builtin(t).Email(n)
			if err != nil || !strings.Contains(text, want) || !strings.Contains(html, strings.ReplaceAll(want, `"`, "&#34;")) && !strings.Contains(html, want) {
				t.Errorf("sender %v: text %q, html %s, %v; want %q", sender, text, html, err, want)
			}
		}
	}
}

// The sender can correct a person if the message has a link for it.
func TestTheLinkWithWhichTheSenderCorrects(t *testing.T) {
	t.Parallel()
	for locale, wants := range map[string][2]string{
		"en": {`Eric Smith could not be reached and has not received "PS Employment Agreement". Correct it here: https://bit.ly/2131NDa`, "Correct the name or the address here"},
		"de": {`Eric Smith war nicht erreichbar und hat "PS Employment Agreement" nicht erhalten. Hier korrigieren: https://bit.ly/2131NDa`, "Korrigieren Sie hier den Namen oder die Adresse"},
	} {
		n := example(notifyv1.Kind_KIND_UNDELIVERABLE)
		n.Locale, n.To.Sender, n.Link.Purpose = locale, true, notifyv1.Link_PURPOSE_CORRECT
		if got, err := builtin(t).SMS(n); err != nil || got != wants[0] {
			t.Errorf("%q, %v; want %q", got, err, wants[0])
		}
		_, text, html, err := builtin(t).Email(n)
		if err != nil || !strings.Contains(text, wants[1]) || !strings.Contains(text, "\nhttps://bit.ly/2131NDa\n") ||
			!strings.Contains(html, wants[1]) || !strings.Contains(html, `<a href="https://bit.ly/2131NDa"`) {
			t.Errorf("text %q, html %s, %v", text, html, err)
		}
		n.Link = nil
		if _, text, html, err = builtin(t).Email(n); err != nil || strings.Contains(text+html, wants[1]) {
			t.Errorf("without a link: text %q, html %s, %v", text, html, err)
		}
	}
}

func TestGerman(t *testing.T) {
	t.Parallel()
	nameless := example(notifyv1.Kind_KIND_INVITATION)
	nameless.DocumentTitle, nameless.SenderName = "", ""
	three := example(notifyv1.Kind_KIND_PROGRESS)
	three.SignaturesMissing = 3
	for want, n := range map[string]*notifyv1.Notification{
		`PactSafe hat Ihnen "PS Employment Agreement" gesendet. Bitte prüfen und unterschreiben: https://bit.ly/2131NDa`:                       example(notifyv1.Kind_KIND_INVITATION),
		`Sie haben ein Dokument erhalten. Bitte prüfen und unterschreiben: https://bit.ly/2131NDa`:                                             nameless,
		`Eric Smith hat "PS Employment Agreement" unterschrieben. Es fehlt noch eine Unterschrift.`:                                            example(notifyv1.Kind_KIND_PROGRESS),
		`Eric Smith hat "PS Employment Agreement" unterschrieben. Es fehlen noch drei Unterschriften.`:                                         three,
		`"PS Employment Agreement" wurde von allen Beteiligten angenommen. Hier können Sie das Dokument herunterladen: https://bit.ly/2131NDa`: example(notifyv1.Kind_KIND_COMPLETED),
		`"PS Employment Agreement" von PactSafe wartet noch auf Ihre Unterschrift. Bitte prüfen und unterschreiben: https://bit.ly/2131NDa`:    example(notifyv1.Kind_KIND_REMINDER),
	} {
		n.Locale = "de-CH"
		got, err := builtin(t).SMS(n)
		if err != nil || got != want {
			t.Errorf("SMS = %q, %v; want %q", got, err, want)
		}
	}
}

// The replies to a person's own text name the sender, and the words with which the person can change it.
func TestRepliesToTexts(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		kind    notifyv1.Kind
		locale  string
		contact string
		want    string
	}{
		{notifyv1.Kind_KIND_STOPPED, "en", "", "You will get no more texts from PactSafe. Reply START to get them again."},
		{notifyv1.Kind_KIND_STARTED, "en", "", "You will get texts from PactSafe again. Reply STOP to end them, or HELP for help."},
		{notifyv1.Kind_KIND_HELP, "en", "", "PactSafe sends you documents to sign. Reply STOP to get no more texts."},
		{notifyv1.Kind_KIND_HELP, "en", "+1 317 555 0100", "PactSafe sends you documents to sign. Contact: +1 317 555 0100. Reply STOP to get no more texts."},
		{notifyv1.Kind_KIND_STOPPED, "de", "", "Sie erhalten keine SMS mehr von PactSafe. Mit der Antwort START erhalten Sie wieder welche."},
		{notifyv1.Kind_KIND_HELP, "de", "", "PactSafe sendet Ihnen Dokumente zur Unterschrift. Mit der Antwort STOP erhalten Sie keine SMS mehr."},
	} {
		n := example(row.kind)
		n.Locale = row.locale
		if got, err := builtin(t).SMSFrom(n, templates.TextSender{Contact: row.contact}); err != nil || got != row.want {
			t.Errorf("%q, %v; want %q", got, err, row.want)
		}
	}
}

// A person cannot reply STOP to a name, so each text to a signer says what to do.
func TestTextsFromASenderThatCannotReceiveReplies(t *testing.T) {
	t.Parallel()
	const invitation = `You've been sent "PS Employment Agreement" by PactSafe. Please review & sign: https://bit.ly/2131NDa`
	for _, row := range []struct {
		contact, sender, locale string
		toSender                bool
		want                    string
	}{
		{"", "PactSafe", "en", false, invitation + " To get no more texts, ask PactSafe."},
		{"stop@acme.example", "PactSafe", "en", false, invitation + " To get no more texts: stop@acme.example"},
		{"stop@acme.example", "PactSafe", "en", true, invitation},
		{"", "", "de", false, `Sie haben "PS Employment Agreement" erhalten. Bitte prüfen und unterschreiben: https://bit.ly/2131NDa Keine SMS mehr? Bitte an den Absender wenden.`},
	} {
		n := example(notifyv1.Kind_KIND_INVITATION)
		n.SenderName, n.Locale, n.To.Sender = row.sender, row.locale, row.toSender
		if got, err := builtin(t).SMSFrom(n, templates.TextSender{NoReplies: true, Contact: row.contact}); err != nil || got != row.want {
			t.Errorf("%q, %v; want %q", got, err, row.want)
		}
	}
}

// gsm has the characters of the alphabet of text messages (GSM 03.38).
const gsm = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"

// No built-in text needs more than two parts (306 septets), or characters outside the alphabet, with which a part holds only 67.
func TestTextMessagesAreShort(t *testing.T) {
	t.Parallel()
	for _, locale := range []string{"en", "de"} {
		for number := range notifyv1.Kind_name {
			kind := notifyv1.Kind(number)
			if kind == notifyv1.Kind_KIND_UNSPECIFIED {
				continue
			}
			if locale != "en" && texts(t, builtin(t), kind, locale) == texts(t, builtin(t), kind, "en") {
				t.Errorf("%v has no text in %s", kind, locale)
			}
			n := example(kind)
			n.Locale, n.SignaturesMissing = locale, 10
			n.DocumentTitle = strings.Repeat("Vertrag ", 5)[:40]
			n.SenderName, n.ActorName = "Acme Personalabteilung", "Maximiliane Musterfrau"
			n.Link.Short = "https://sign.acme.example/l/" + strings.Repeat("x", 12)
			text, err := builtin(t).SMS(n)
			if err != nil {
				t.Fatal(err)
			}
			if strange := strings.Map(func(r rune) rune {
				if strings.ContainsRune(gsm, r) {
					return -1
				}
				return r
			}, text); strange != "" || len([]rune(text)) > 306 {
				t.Errorf("%v in %s: %d characters, %q among them: %q", kind, locale, len([]rune(text)), strange, text)
			}
		}
	}
}

// A typographic character does not double the cost of a text. A letter outside the alphabet stays.
func TestTypographyCostsNothing(t *testing.T) {
	t.Parallel()
	for title, want := range map[string]string{
		"Eric’s “Offer” – 2026…":          `Eric's "Offer" - 2026...`,
		"Cafe\u0301 Non‑Compete\u202f€ 5": "Café Non-Compete € 5",
		"Łódź – 2026":                     "Łódź – 2026",
	} {
		n := example(notifyv1.Kind_KIND_INVITATION)
		n.DocumentTitle = title
		got, err := builtin(t).SMS(n)
		if err != nil || !strings.Contains(got, `"`+want+`" by PactSafe`) {
			t.Errorf("%q is %q, %v; want %q in it", title, got, err, want)
		}
		if subject, _, _, err := builtin(t).Email(n); err != nil || !strings.Contains(subject, strings.ReplaceAll(title, "\u202f", " ")) {
			t.Errorf("an e-mail shows %q as %q, %v", title, subject, err)
		}
	}
}

func TestUnrenderable(t *testing.T) {
	t.Parallel()
	unshortened := example(notifyv1.Kind_KIND_INVITATION)
	unshortened.Link.Short = ""
	nothingMissing := example(notifyv1.Kind_KIND_PROGRESS)
	nothingMissing.SignaturesMissing = 0
	for name, n := range map[string]*notifyv1.Notification{
		"no kind":                   example(notifyv1.Kind_KIND_UNSPECIFIED),
		"a kind of a later release": example(notifyv1.Kind(99)),
		"no short link":             unshortened,
		"no signature missing":      nothingMissing,
	} {
		if s, err := builtin(t).SMS(n); !errors.Is(err, templates.ErrUnrenderable) {
			t.Errorf("%s: SMS = %q, %v", name, s, err)
		}
		if _, _, _, err := builtin(t).Email(n); !errors.Is(err, templates.ErrUnrenderable) || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%s: Email: %v", name, err)
		}
	}
}

func builtin(t *testing.T) *templates.Set {
	t.Helper()
	s, err := templates.Open("")
	if err != nil {
		t.Fatal(err)
	}
	return s
}
