package templates_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/templates"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// Ordinary titles stay readable. Most do not change.
func TestOrdinaryTitles(t *testing.T) {
	t.Parallel()
	for title, want := range map[string]string{
		"Lease v2.1 – Acme Co. Ltd., Nov. 2026":      "",
		"ООО «Ромашка»: договор № 12/2026":           "",
		"Договор аренды":                             "",
		"Σύμβαση μίσθωσης":                           "",
		"عقد إيجار رقم ٣":                            "",
		"می\u200cخواهم قرارداد":                      "",
		"租赁合同（2026年）：附件１":                            "租赁合同（2026年）：附件1",
		"租赁合同（甲方）：附件":                                "",
		"業務委託契約書":                                    "",
		"Tシャツ製造ＡＢＣ株式会社":                              "Tシャツ製造ABC株式会社",
		"계약서 A안":                                     "",
		"किराया समझौता":                              "",
		"Node.js consultancy":                        "",
		"Offer v1.2 (final).pdf":                     "",
		"Offer.pdf, Annex.docx":                      "",
		"\"Offer.pdf\"":                              "",
		"J.R.R. Tolkien Estate":                      "",
		"A/B-Test: either/or 3.5/4.0":                "",
		"Meeting 12:30–14:00, Room 3.OG":             "Meeting 12:30–14:00, Room 3. OG",
		"Sum of 1.234.567.890,00 EUR":                "",
		"Section 3.2.1 and 3.2.1.4":                  "Section 3.2.1 and 3. 2. 1. 4",
		"Acme.com Terms":                             "Acme. com Terms",
		"ASP.NET and .NET maintenance":               "ASP. NET and .NET maintenance",
		"Re:Lease":                                   "Re: Lease",
		"Dinner@Mike's":                              "Dinner @ Mike's",
		"100 m² at 20 °C, 5 kΩ, 3 µm, ½ share":       "100 m² at 20 °C, 5 kΩ, 3 µm, ½ share",
		"Acme™ & Sons®, 50 % off #1":                 "",
		"Contract 4500012345, order 2026-11-28-0042": "",
		"Lease 28.11.2026 to 27.11.2027":             "",
		"IBAN DE89 3704 0044 0532 0130 00":           "",
		"Договoр найма":                              "Договор найма", // the "o" was Latin
		"СRМ Lease":                                  "CRM Lease",     // the "С" and "М" were Cyrillic
		"ООО Ромашка and Acme":                       "",
		"Ромашка-Trade":                              "",
		"Yıldız Łódź Ørsted Þór Straße Œuvre":        "",
		"Việt Nam – Zoë Đặng":                        "",
		"α-Tocopherol supply":                        "",
		"👩\u200d🚀 ❤\ufe0f 🇩🇪 1\ufe0f\u20e3":          "",
		"Hello...and goodbye":                        "Hello... and goodbye",
		"Who/what? 50%/50%":                          "",
		"C:\\Contracts":                              "C: \\Contracts",
		"Call me on +44 20 7946 0000":                "Call me on +44 20...",
	} {
		if want == "" {
			want = title
		}
		if got := templates.Title(title); got != want {
			t.Errorf("%+q is shown as %q, want %q", title, got, want)
		}
	}
}

// bait are texts that some phones or mail programs make a link of, and imitations of such texts.
var bait = []string{
	"\u05d0\u200d\ufe0fhttp://evil.example", "x\u0430\u0301\u200d\u05d0", "http://evil.example", "HTTPS://EVIL.COM/x", "http://evil", "http:evil.com", "http:///evil.com", "http:\\\\evil.com", "//evil.com", "//localhost/x", "hxxp://evil.com",
	"evil.com", "EVIL.COM", "evil.com.", "evil.com:8080", "evil.com/x?y#z", "a.evil.com", "evil.zip", "evil.app", "evil.bank", "evil.xyz", "evil.c\u0301om",
	"www.evil", "www.4chan.org", "WWW.evil.com", "www2.evil.com", "xevil.com", "seeevil.comnow", "(evil.com)", "\"evil.com\"", "<evil.com>", "[x](evil.com)",
	"xn--e1awd7f.com", "xn--e1awd7f.xn--p1ai", "evil.xn--p1ai", "пример.рф", "例子.中国", "उदाहरण.भारत", "مثال.السعودية", "دامنه.ایران",
	"evil\u3002com", "evil\uff0ecom", "evil\uff61com", "evil\u2024com", "evil\ufe52com", "例子\u3002中国", "例子\uff0e中国", "ｅｖｉｌ．ｃｏｍ", "ｈｔｔｐ：／／ｅｖｉｌ．ｃｏｍ",
	"evil\u200b.com", "evil\u200d.com", "evil.\u200ccom", "evil\ufe0f.com", "evil.\u2060com", "evil\u00ad.com", "evil\u202e.com", "\u202emoc.live", "evil\u200f.com", "e\u034fvil.com",
	"192.168.0.1", "1692.168.8.0.1", "1.2.3.4.999", "http://3232235521", "http://0xC0A80001", "0300.0250.0.1", "0xC0.0xA8.0.1", "1.2.3.4:80", "1.2.3.4/x", "http://[::1]/", "http://[2001:db8::1]:80", "[::ffff:1.2.3.4]",
	"evil%2ecom", "http%3A%2F%2Fevil.com", "http://%65vil.com", "http://user:pw@evil.com", "user@evil.com", "user@localhost", "user@192.168.0.1", "user＠evil．com", "a@b@c.com", "mailto:user@evil.com",
	"tel:+442079460000", "sms:12345", "callto:x", "javascript:alert(1)", "data:text/html,x", "ftp://evil.com", "skype:x?call", "bitcoin:1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
	"+44 20 7946 0000", "(800) 555-0199", "1-800-555-0199", "0800 123 4567", "0044 20 7946 0000", "+1.800.555.0199", "01 23 45 67 89", "1300 975 707",
	"𝐞𝐯𝐢𝐥.𝐜𝐨𝐦", "ⓔⓥⓘⓛ.ⓒⓞⓜ", "🅴🆅🅸🅻.🅲🅾🅼", "еvil.соm", "evil.ϲοm", "ᴇᴠɪʟ.ᴄᴏᴍ", "evil.ⅽⅿ", "eviⅼ.com", "evil.ﬁ", "x.docx" + strings.Repeat("y", 200),
	strings.Repeat("x", 92) + ".do evil", strings.Repeat("x", 94) + ".docx and more", "a.pdf.com", "a.pdf/x.com", "a.pdf:80", "a.js@evil.com", "a.js?b.com",
}

// messages returns a text and all parts of an e-mail, with these outside words in all places.
func messages(t rapid.TB, words string) []string {
	n := example(notifyv1.Kind_KIND_PROGRESS)
	n.DocumentTitle, n.ActorName = words, words
	n.To.FirstName, n.To.LastName, n.To.SharedBy = words, "x", 2
	set, err := templates.Open("")
	if err != nil {
		t.Fatal(err)
	}
	text, err := set.SMS(n)
	subject, plain, html, emailErr := set.Email(n)
	if err != nil || emailErr != nil {
		t.Fatal(err, emailErr)
	}
	return []string{text, subject, plain, html}
}

// No linkifier finds a link in the displayed form of any title or name, in texts, subjects and e-mails.
func TestALinkifierFindsNothing(t *testing.T) {
	t.Parallel()
	linkify := realtest.Linkifier(t)
	for i, links := range linkify([]string{"see evil.com", "1.2.3.4", "user@evil.com", "例子.中国", "//evil.zip", "mailto:a@b.com"}) {
		if len(links) == 0 {
			t.Fatalf("the linkifier does not find the control %d", i)
		}
	}
	var texts, from []string
	add := func(words string, written ...string) {
		for _, text := range written {
			texts, from = append(texts, text), append(from, words)
		}
	}
	for _, words := range bait {
		for _, words := range []string{words, "see " + words + " now", "x" + words + "x"} {
			add(words, append(messages(t, words), shownTitle(t, words))...)
		}
	}
	piece := rapid.OneOf(
		rapid.SampledFrom(bait),
		rapid.SampledFrom([]string{
			".", ":", "/", "//", "@", "www", "www.", "com", "de", "http", "://", "[", "]", "(", ")", "%2e", "-", "_", "xn--", " ", "\u200d", "\u200c", "\ufe0f", "\u0301", "1", "255", "0x7f",
			"．", "。", "：", "／", "＠", "а", "о", "ο", "ж", "Ω", "中国", "ی", "।", "…", "‥", "'", "\"", "<", ">", "pdf", "js", "+", "00", "localhost",
		}),
		rapid.StringN(0, 4, -1),
	)
	rapid.Check(t, func(t *rapid.T) {
		for i := range 50 {
			words := strings.Join(rapid.SliceOfN(piece, 1, 8).Draw(t, "pieces"), "")
			if add(words, shownTitle(t, words)); i == 0 {
				add(words, messages(t, words)[:3]...)
			}
		}
	})
	for i, links := range linkify(texts) {
		if len(links) > 0 {
			t.Errorf("%+q contains the links %q: %q", from[i], links, texts[i])
		}
	}
}

// shownTitle returns the displayed form of a title. It fails if the form is too long, or if it is not cut and changes when it is shown again.
func shownTitle(t rapid.TB, words string) string {
	shown := templates.Title(words)
	if again := templates.Title(shown); again != shown && !strings.Contains(shown, "...") {
		t.Fatalf("%+q is shown as %+q, and that as %+q", words, shown, again)
	}
	if n := utf8.RuneCountInString(shown); n > 100 {
		t.Fatalf("%+q is shown in %d characters", words, n)
	}
	return shown
}

// Numbers that phones offer to call are cut, in every notation. Other numbers stay.
func TestNoNumberCanBeCalled(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]string{
		"+٤٤ ٢٠ ٧٩٤٦ ٠٠٠٠": "+٤٤ ٢٠...", "+४४ २० ७९४६ ००००": "+४४ २०...", "＋44 20 7946 0000": "＋44 20...", "+44–20–7946–0000": "+44–20...", "+44‐20‐7946‐0000": "+44‐20...", "+44 (0)20 7946 0000": "+44 (0)2...",
		"+44~20~7946~0000": "+44~20...", "+44·20·7946·0000": "+44·20...", "+44[20]79460000": "+44[20...", "（020）7946 0000": "（020）7...", "+49 / 30 / 123456789": "+49 / 30...",
		"0171/1234567": "0171...", "0171-1234567": "0171...", "03-1234-5678": "03-12...", "090-1234-5678": "090-1...", "06-12-34-56-78": "06-12...", "030 / 123 456 78": "030 / 1...", "020-7946-0000": "020-7...",
		"0 30 12 34 56 78": "0 30 1...", "(0)30 1234567": "(0)30 1...", "8 (495) 123-45-67": "8 (495...", "(11) 98765-4321": "(11) 98...", "8-800-555-35-35": "8-800...", "98765 43210": "9876...", "138 0013 8000": "138 0...",
		"11 98765-4321": "11 98...", "800–555–0199": "800–5...", "800 555–0199": "800 5...", "1‑800‑555‑0199": "1‑800...", "1/800/555/0199": "1/800...", "Room 5 +44 20 7946 0000": "Room 5 +44 20...", "5 (800) 555-0199": "5 (800...",
		"12345 +44 20 7946 0000": "12345 +44 20...", "Lot 7 0800 123 4567": "Lot 7 0800...",
		// These stay.
		"01.12.2026-31.12.2026": "", "01.12.26-31.12.26": "", "01/12/2026 - 31/12/2026": "", "01-02-2026 1400": "", "28.11.2026": "", "01712345678": "", "IBAN DE89 3704 0044 0532 0130 00": "", "Card 4111 1111 1111 1111": "",
		"Order 2026-11-28-0042": "", "Sum 1 234 567,00": "", "Section 12 (3) 45": "", "رقم ١٢٣٤": "", "555-0199": "", "2026–2027": "", "A4 210 × 297": "", "Lots 100-200-300": "",
	} {
		if want == "" {
			want = number
		}
		if got := templates.Title(number); got != want {
			t.Errorf("%+q is shown as %q, want %q", number, got, want)
		}
	}
}

// Letters that look like Latin ones become Latin, or are separated from them by a space.
func TestLookAlikes(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"pаypаl":        "paypal", // Cyrillic а
		"раураl":        "paypal",
		"раураӏ Inc":    "paypai Inc", // all Cyrillic beside a Latin word
		"gοοgle":        "google",     // Greek ο
		"аmаzоn":        "amazon",
		"Αpple":         "Apple", // Greek Α
		"micrоsoft":     "microsoft",
		"ｐａｙｐａｌ":        "paypal",
		"𝐩𝐚𝐲𝐩𝐚𝐥 𝟏𝟐":     "paypal 12",
		"𝓅𝒶𝓎𝓅𝒶𝓁":        "paypal",
		"ⓟⓐⓨⓟⓐⓛ":        "paypal",
		"🅿🅰🆈🅿🅰🅻":        "PAYPAL",
		"ᴘᴀʏᴘᴀʟ":        "paypal",
		"pɑypɑl":        "paypal",
		"ᵖᵃʸᵖᵃˡ":        "paypal",
		"ⅿicrosoft":     "microsoft",
		"ﬁnance":        "finance",
		"ՕԼՔ lease":     "ՕԼՔ lease", // clearly Armenian
		"Ꭺpple":         "Apple",
		"paypaж":        "раураж", // ж is clearly Cyrillic, so the whole word is Cyrillic
		"раypaж":        "раураж",
		"Gооgleж":       "G оо gle ж",
		"faceвook":      "face в ook",
		"ABCбанк":       "АВСбанк",
		"pаy-pаl":       "pay-pal",
		"раура":         "раура", // no Latin beside it
		"С Уважением":   "С Уважением",
		"Zоë":           "Zoë",
		"Тёма":          "Тёма",
		"paypа\u0301l":  "paypál",
		"ＡＢＣ (Japan)":   "ABC (Japan)",
		"Hi р а":        "Hi р а", // single letters imitate no word
		"5’‑nucleotide": "5’‑nucleotide",
		"g๐๐gle":        "g00gle", // Thai zeros
		"g०ogle":        "g0ogle",
		"g٥٥gle":        "g55gle",
		"gഠഠgle":        "g ഠഠ gle",
		"paყpal":        "pa ყ pal", // Georgian
		"DᕼL":           "D ᕼ L",    // Canadian syllabics
		"m𐐬ney":         "m 𐐬 ney",  // Deseret
		"paypঃl":        "payp ঃ l",
		"สัญญาABC":      "สัญญา ABC",
		"हिन्दी":        "हिन्दी",
	} {
		if got := templates.Title(words); got != want {
			t.Errorf("%+q is shown as %q (%+q), want %q", words, got, got, want)
		}
	}
}

// If two numbers are side by side, neither can be called.
func TestNumbersSideBySide(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"+1.800.555.0199 +1.800.555.0199":       "+1.800... +1.800...",
		"call 020 7946 0000 / 020 7946 0001":    "call 020 7... / 020 7...",
		"Lease 12 +44 20 7946 0000":             "Lease 12 +44 20...",
		"IBAN DE89 3704 0440 0532 0130 00, due": "IBAN DE89 3704 0440 0532 0130 00, due",
	} {
		if got := templates.Title(words); got != want {
			t.Errorf("%q is shown as %q, want %q", words, got, want)
		}
	}
}

// A title of megabytes costs no more than its beginning. With a joiner after each letter it once took hours.
func TestALongTitle(t *testing.T) {
	t.Parallel()
	if got, want := templates.Title(strings.Repeat("a\u200d", 2<<20)), strings.Repeat("a", 97)+"..."; got != want {
		t.Errorf("got %q", got)
	}
}
