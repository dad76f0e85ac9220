package document_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/outcome"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

var threeReminders = facts(func(f *document.Facts) { f.ReminderDays = []time.Duration{3 * day, 7 * day, 14 * day} })

type row struct {
	name, provider string
	steps          []step
	state          document.State
	untold         int // in the index
	sentence       string
	why            string // of the first entry of those who were not notified, with its fault; empty for none
	next           string // the first thing that happens next
}

// stories are documents in the situations that an operator asks about, with the sentence on top of the page.
var stories = []row{
	{"nothing yet", "esign-v1", []step{reported(event.DocumentCreated, nil)}, document.Created, 0, "ESignature has the document, and no one was asked to sign yet.", "", ""},
	{"sent, no signer known", "pleasesign", []step{sent()}, document.Waiting, 0, "The document was sent, and the log names no signer yet.", "", ""},
	{"sent, no signer listed", "clickwrap", []step{sent(), suppressed(nil, "invitation", "", "no-signers")}, document.Waiting, 0,
		"The document was sent, and no signer was notified: Clickwrap listed no signers within an hour.", "Clickwrap listed no signers within an hour", ""},

	{"invited, no event has the name", "pleasesign", []step{sent(), invited(olivia)}, document.Waiting, 0,
		"Signer 1 has not signed, and was notified by text and e-mail; no person has opened the link.", "", "on signing"},
	{"invited", "clickwrap", []step{sent(), reported(event.RecipientSent, jack), handed(jack, "invitation", "email")}, document.Waiting, 0,
		"Jack Wilson has not signed, and was notified by e-mail; no person has opened the link.", "", "on signing"},
	{"invited", "esign-v1", []step{sent(), reported(event.RecipientSent, olivia), invited(olivia)}, document.Waiting, 0,
		"Olivia Nguyen has not signed, and was notified by text and e-mail; no person has opened the link.", "", "on signing"},
	{"on its way", "pleasesign", []step{sent(), reported(event.RecipientFilled, mia), requested(olivia, "invitation", "sms")}, document.Waiting, 0,
		"Mia Kelly and Signer 2 have not signed; 1 of them was notified, and 1 opened the link.", "", "on signing"},
	{"both invited", "pleasesign", []step{sent(), invited(olivia), invited(jack), openedAt(olivia), openedAt(jack)}, document.Waiting, 0,
		"Olivia Nguyen and Jack Wilson have not signed; both were notified, and both opened the link.", "", "on signing"},
	{"a mail scanner", "pleasesign", []step{sent(), reported(event.RecipientSent, olivia), invited(olivia), robot(olivia)}, document.Waiting, 0,
		"Olivia Nguyen has not signed, and was notified by text and e-mail; only a robot opened the link.", "", "on signing"},
	{"robot, then person", "clickwrap", []step{sent(), reported(event.RecipientSent, olivia), invited(olivia), robot(olivia), clicked(olivia), pass(23 * time.Minute)}, document.Waiting, 0,
		"Olivia Nguyen has not signed, was notified by text and e-mail, and opened the link 23 min ago.", "", "on signing"},

	{"one of two signed", "pleasesign", []step{sent(), invited(olivia), invited(jack), openedAt(jack), signed(olivia), pass(2 * time.Hour)}, document.Waiting, 0,
		"Jack Wilson is the last to sign, was notified by text and e-mail, and opened the document 2 h ago.", "", "on signing"},
	{"one of two signed", "clickwrap", []step{sent(), reported(event.RecipientSent, jack), invited(jack), signed(olivia)}, document.Waiting, 0,
		"Jack Wilson is the last to sign, and was notified by text and e-mail; no person has opened the link.", "", "on signing"},
	{"one of two signed, in an order", "esign-v1", []step{sent(), signers(olivia, jack), invited(olivia), signed(olivia), reported(event.RecipientSent, jack), invited(jack)}, document.Waiting, 0,
		"Jack Wilson is the last to sign, and was notified by text and e-mail; no person has opened the link.", "", "on signing"},
	{"the second waits for the first", "esign-v1", []step{sent(), reported(event.RecipientSent, olivia), invited(olivia), reported(event.RecipientQueued, jack)}, document.Waiting, 0,
		"Olivia Nguyen signs next, and was notified by text and e-mail; no person has opened the link.", "another person signs first", "on signing"},
	{"the provider lists one more", "pleasesign", []step{sent(), signers(olivia, jack), reported(event.RecipientSent, olivia), invited(olivia)}, document.Waiting, 0,
		"Olivia Nguyen signs next, and was notified by text and e-mail; no person has opened the link.", "another person signs first", "on signing"},
	{"a signature without a name", "esign-v1", []step{sent(), reported(event.RecipientSigned, nil), invited(olivia), openedAt(olivia)}, document.Waiting, 0,
		"Olivia Nguyen is the last to sign, was notified by text and e-mail, and opened the document just now.", "", "on signing"},

	{"completed", "pleasesign", []step{sent(), signed(olivia), signed(jack), completed(), handed(olivia, "completed", "sms"), handed(jack, "completed", "email"), archived()}, document.Completed, 0,
		"Both have signed, both were notified, and the signed file is archived.", "", ""},
	{"completed", "clickwrap", []step{sent(), completed(), signed(olivia), handed(olivia, "completed", "sms")}, document.Completed, 0,
		"Olivia Nguyen has signed, and was notified.", "", ""},
	{"completed, three", "esign-v1", []step{sent(), signed(olivia), signed(jack), signed(mia), completed(), requested(olivia, "completed", "sms")}, document.Completed, 0,
		"All 3 have signed, and the completion message is on its way.", "", ""},
	{"completed, one not told", "pleasesign", []step{sent(), signed(olivia), signed(jack), completed(), handed(olivia, "completed", "sms"), suppressed(jack, "completed", "email", "address-invalid")}, document.Completed, 1,
		"Both have signed, and Jack Wilson was not notified by e-mail: the text at PleaseSign is not an e-mail address.",
		"the text at PleaseSign is not an e-mail address", ""},
	{"completed before it was declined", "pleasesign", []step{sent(), signed(olivia), completed(), declined(jack)}, document.Completed, 0, "All signers have signed.", "", ""},

	{"declined", "pleasesign", []step{sent(), invited(jack), declined(olivia), reported(event.RecipientOpened, olivia), handed(nil, "declined", "email"), handed(jack, "declined", "sms"), pass(2 * time.Hour)},
		document.Declined, 0, "Olivia Nguyen declined 2 h ago, and the sender and the other signer were notified.", "", ""},
	{"declined", "clickwrap", []step{sent(), declined(olivia), pass(5 * day)}, document.Declined, 0, "Olivia Nguyen declined 5 days ago.", "", ""},
	{"declined", "esign-v1", []step{sent(), reported(event.DocumentDeclined, nil)}, document.Declined, 0, "A person declined just now.", "", ""},
	{"declined, the sender has no address", "pleasesign", []step{sent(), declined(olivia), suppressed(nil, "declined", "email", "no-sender-address")}, document.Declined, 0,
		"Olivia Nguyen declined just now, and the message about the refusal to the sender by e-mail was not made: neither the settings nor PleaseSign have an address of the sender.",
		"neither the settings nor PleaseSign have an address of the sender", ""},
	{"declined, and sent again", "clickwrap", []step{sent(), declined(olivia), pass(day), sent(), invited(olivia)}, document.Waiting, 0,
		"Olivia Nguyen has not signed, and was notified by text and e-mail; no person has opened the link.", "", "on signing"},
	{"voided", "esign-v1", []step{sent(), invited(olivia), invited(jack), reported(event.DocumentVoided, nil), handed(olivia, "voided", "sms"), handed(jack, "voided", "sms"), pass(time.Hour)},
		document.Voided, 0, "The sender withdrew the document 60 min ago, and both signers were notified.", "", ""},
	{"voided", "pleasesign", []step{sent(), reported(event.DocumentVoided, nil)}, document.Voided, 0, "The sender withdrew the document just now.", "", ""},
	{"expired", "clickwrap", []step{sent(), invited(olivia), pass(7 * day), reported(event.DocumentExpired, nil)}, document.Expired, 0,
		"No action needed: the document expired on 1 December, unsigned.", "", ""},
	{"expired, half signed", "clickwrap", []step{sent(), signed(olivia), invited(jack), reported(event.DocumentExpired, nil)}, document.Expired, 0,
		"No action needed: the document expired on 24 November with 1 of 2 signatures.", "", ""},

	{"suppressed, no number", "pleasesign", []step{sent(), reported(event.RecipientFilled, jack), suppressed(olivia, "invitation", "sms", "no-address")}, document.Waiting, 1,
		"Signer 2 has not signed, and the invitation by text was not made: PleaseSign has no address for this channel.", "PleaseSign has no address for this channel", "on signing"},
	{"held for the key", "pleasesign", []step{
		sent(), signers(olivia, jack), reported(event.RecipientSent, jack), invited(olivia), signed(olivia), invited(jack), threeReminders, pass(3 * day), reminder(event.ReminderDue, jack, 1, 3*day, ""),
		handed(jack, "reminder", "email"), held(jack, "reminder", "sms", "bad-credentials"), reminder(event.ReminderScheduled, jack, 2, 7*day, ""), pass(36 * time.Minute),
	}, document.Waiting, 1, "Jack Wilson is the last to sign, and the reminder by text has not left.", "Vonage refuses our API key, operator", "The text to Jack Wilson is tried again, attempt 4"},
	{"held for the mail server", "clickwrap", []step{sent(), reported(event.RecipientSent, olivia), held(olivia, "invitation", "email", "smtp-535")}, document.Waiting, 1,
		"Olivia Nguyen has not signed, and the invitation by e-mail has not left.", "the mail server refused the message with code 535, operator", "The e-mail to Olivia Nguyen is tried again, attempt 4"},
	{"held for a limit", "esign-v1", []step{sent(), openedAt(olivia), held(olivia, "invitation", "sms", "country-not-allowed"), facts(func(f *document.Facts) { f.Held[0].Limit = true })}, document.Waiting, 1,
		"Olivia Nguyen has not signed, and the invitation by text has not left.", "the settings do not allow texts to the number's country, operator", "The text to Olivia Nguyen leaves"},
	{"quiet hours", "pleasesign", []step{sent(), reported(event.RecipientFilled, jack), signed(jack), openedAt(olivia), deferred(olivia, "invitation", "sms", "quiet-hours", 9*time.Hour)}, document.Waiting, 0,
		"Olivia Nguyen is the last to sign, and opened the document just now.", "it is night where the person is", "The text to Olivia Nguyen leaves: the quiet hours end"},
	{"quiet hours, not notified", "clickwrap", []step{sent(), reported(event.RecipientQueued, olivia), deferred(olivia, "invitation", "sms", "quiet-hours", 9*time.Hour)}, document.Waiting, 0,
		"Olivia Nguyen has not signed; the invitation by text waits, because it is night where the person is.", "it is night where the person is", "The text to Olivia Nguyen leaves: the quiet hours end"},
	{"too many texts", "esign-v1", []step{sent(), reported(event.RecipientQueued, olivia), deferred(olivia, "invitation", "sms", "limit-texts-per-day", time.Hour)}, document.Waiting, 0,
		"Olivia Nguyen has not signed; the invitation by text waits, because the person got too many texts in 24 hours.", "the person got too many texts in 24 hours",
		"The text to Olivia Nguyen leaves: there is room under the daily limit again"},

	{"failed, and the e-mail went out", "clickwrap", []step{
		sent(), reported(event.RecipientQueued, olivia), lost(olivia, "invitation", "absent-subscriber", outcome.Recipient), fellBack(olivia, "invitation", "email", "failed"), handed(olivia, "invitation", "email"),
	}, document.Waiting, 0, "Olivia Nguyen has not signed, and was notified by e-mail; no person has opened the link.", "the phone was switched off or out of reach, recipient", "on signing"},
	{"failed, and no channel is left", "pleasesign", []step{sent(), reported(event.RecipientQueued, olivia), lost(olivia, "invitation", "unroutable", outcome.Provider), fellBack(olivia, "invitation", "sender", "failed")}, document.Waiting, 1,
		"Olivia Nguyen has not signed, and the invitation by text did not arrive.", "no carrier takes texts to the number, provider", "on signing"},
	{"given up", "esign-v1", []step{sent(), reported(event.RecipientQueued, olivia), givenUp(olivia, "invitation", "email", "smtp-550", outcome.Recipient)}, document.Waiting, 1,
		"Olivia Nguyen has not signed, and the invitation by e-mail was given up.", "the mail server refused the message with code 550, recipient", "on signing"},
	{"a dead letter that the log does not mention", "clickwrap", []step{
		sent(), reported(event.RecipientQueued, olivia), requested(olivia, "invitation", "sms"),
		facts(func(f *document.Facts) {
			f.Dead = []document.DeadLetter{{Key: "dead.7", Stage: "shortener", Person: olivia.GetId(), Kind: "invitation", Channel: "sms", Reason: "panic", Fault: "ours", Attempts: 40}}
		}),
	}, document.Waiting, 0, "Olivia Nguyen has not signed, and the invitation by text was given up.", "the stage shortener gave up, the reason is panic, ours", "on signing"},
	{"undeliverable", "pleasesign", []step{sent(), reported(event.RecipientSent, mia), reported(event.RecipientUndeliverable, mia)}, document.Waiting, 1,
		"Mia Kelly has not signed, and the invitation by e-mail did not arrive.", "PleaseSign could not reach the person by e-mail, recipient", "on signing"},
	{"two were not notified", "clickwrap", []step{sent(), reported(event.RecipientQueued, olivia), reported(event.RecipientQueued, jack), givenUp(olivia, "invitation", "sms", "number-barred", outcome.Recipient), suppressed(jack, "invitation", "sms", "landline")}, document.Waiting, 2,
		"0 of 2 have signed, and messages to Olivia Nguyen and Jack Wilson have not arrived.", "Vonage may not text this number, recipient", "on signing"},

	{"opted out", "pleasesign", []step{sent(), invited(jack), signed(jack), openedAt(olivia), own(event.RecipientOptedOut, olivia, map[string]string{"channel": "all"})}, document.Waiting, 0,
		"Olivia Nguyen is the last to sign, and wants no messages about the document.", "this person wants no messages about the document", "on signing"},
	{"opted out of texts", "clickwrap", []step{sent(), reported(event.RecipientQueued, olivia), own(event.RecipientOptedOut, olivia, map[string]string{"channel": "sms"}), suppressed(olivia, "invitation", "sms", "opted-out"), handed(olivia, "invitation", "email")}, document.Waiting, 0,
		"Olivia Nguyen has not signed, and was notified by e-mail; no person has opened the link.", "the person wants no messages on this channel", "on signing"},
	{"opted out, and in again", "pleasesign", []step{sent(), openedAt(olivia), own(event.RecipientOptedOut, olivia, map[string]string{"channel": "all"}), own(event.RecipientOptedIn, olivia, map[string]string{"channel": "all"}), pass(time.Minute)}, document.Waiting, 0,
		"Olivia Nguyen has not signed, and opened the document 60 s ago.", "", "on signing"},

	{"reminders", "clickwrap", []step{sent(), reported(event.RecipientSent, olivia), invited(olivia), threeReminders, reminder(event.ReminderScheduled, olivia, 1, 3*day, "")}, document.Waiting, 0,
		"Olivia Nguyen has not signed, and was notified by text and e-mail; no person has opened the link.", "", "Reminder 1 of 3 to Olivia Nguyen, by text and e-mail"},
	{"reminded", "esign-v1", []step{sent(), reported(event.RecipientSent, olivia), invited(olivia), threeReminders, pass(3 * day), reminder(event.ReminderDue, olivia, 1, 3*day, ""), handed(olivia, "reminder", "sms"), reminder(event.ReminderScheduled, olivia, 2, 7*day, "")}, document.Waiting, 0,
		"Olivia Nguyen has not signed, and was notified by text and e-mail; no person has opened the link.", "", "Reminder 2 of 3 to Olivia Nguyen, by text and e-mail"},
	{"reminders cancelled", "pleasesign", []step{sent(), invited(olivia), reminder(event.ReminderScheduled, olivia, 1, 3*day, ""), signed(olivia), reminder(event.ReminderCancelled, olivia, 1, 3*day, "signed")}, document.Waiting, 0,
		"Every signer in the log has signed, and the document is not completed yet.", "", ""},

	{"a person without an id", "clickwrap", []step{sent(), reported(event.RecipientSent, unnumbered)}, document.Waiting, 0,
		"Eric Smith has not signed, and was notified by e-mail; no person has opened the link.", "", "on signing"},
	{"erased", "pleasesign", []step{sent(), invited(olivia), invited(jack), completed(), pass(day), erased("document", "1-20")}, document.Erased, 0,
		"The document was erased on 25 November: what stays is that it was sent to 2 people.", "", ""},
	{"a person was erased", "clickwrap", []step{sent(), reported(event.RecipientSent, olivia), reported(event.RecipientSent, jack), erased("person", "2")}, document.Waiting, 0,
		"Jack Wilson has not signed, and was notified by e-mail; no person has opened the link.", "", "on signing"},
	{"forged", "clickwrap", []step{func(s *story) {
		completed()(s)
		s.events[0].Event.Verification = 1
	}}, document.Created, 0, "Nothing authenticated the callback about this document, so nothing follows from it.", "", ""},
}

func TestSentences(t *testing.T) {
	t.Parallel()
	for _, row := range stories {
		t.Run(row.provider+"/"+row.name, func(t *testing.T) {
			t.Parallel()
			s := play(t, row.provider, row.steps...)
			d := s.document()
			if d.State != row.state || d.Untold != row.untold {
				t.Errorf("state %s with %d untold, want %s with %d", d.State, d.Untold, row.state, row.untold)
			}
			ex := document.Explain(d, s.events, s.facts, s.now)
			if ex.Sentence != row.sentence {
				t.Errorf("sentence\n got  %s\n want %s", ex.Sentence, row.sentence)
			}
			why := ""
			if len(ex.Untold) > 0 {
				if why = ex.Untold[0].Because; ex.Untold[0].Fault != "" {
					why += ", " + string(ex.Untold[0].Fault)
				}
			}
			if why != row.why {
				t.Errorf("not notified because\n got  %s\n want %s", why, row.why)
			}
			next := ""
			if len(ex.Next) > 0 {
				next = ex.Next[0].Text
				if ex.Next[0].When == "on signing" {
					next = ex.Next[0].When
				}
			}
			if next != row.next {
				t.Errorf("next\n got  %s\n want %s", next, row.next)
			}
			copyRules(t, ex)
			hidden := document.Explain(d.Masked(), s.events, s.facts, s.now)
			copyRules(t, hidden)
			noPersonalData(t, s.events, d.Masked(), hidden)
		})
	}
}

// The sentence of a masked document names no one, and a person keeps the number.
func TestMaskedSentence(t *testing.T) {
	t.Parallel()
	i := slices.IndexFunc(stories, func(r row) bool { return r.name == "held for the key" })
	s := play(t, stories[i].provider, stories[i].steps...)
	ex := document.Explain(s.document().Masked(), s.events, s.facts, s.now)
	if want := "Signer 1 is the last to sign, and the reminder by text has not left."; ex.Sentence != want {
		t.Errorf("sentence %q, want %q", ex.Sentence, want)
	}
	if want := "Signer 1 has the invitation by text and e-mail and the reminder by e-mail; no person has opened the link."; ex.More != want {
		t.Errorf("more %q, want %q", ex.More, want)
	}
	if u := ex.Untold[0]; u.Name != "Signer 1" || u.Attempts != 3 || u.Others != 41 || u.Blame != "This is our fault, not the signer's: the text is held, not lost." {
		t.Errorf("not notified: %+v", u)
	}
}

var backtick = regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|")

// Each reason of a message that was not made has words of its own, and the document knows whether the person still has to be notified.
func TestEachReasonHasWords(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/subscribe.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "### Why a message was not made")
	table, _, _ = strings.Cut(table, "## Where to read")
	reasons := backtick.FindAllStringSubmatch(table, -1)
	if len(reasons) < 20 {
		t.Fatalf("found %d reasons in docs/subscribe.md", len(reasons))
	}
	needless := []string{"document-ended", "signed", "declined", "not-their-turn", "not-listed", "provider-reminds", "corrected"}
	for _, found := range reasons {
		reason := found[1]
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			for _, provider := range []string{"clickwrap", "pleasesign", "esign-v1"} {
				s := play(t, provider, sent(), reported(event.RecipientQueued, olivia), suppressed(olivia, "reminder", "sms", reason))
				d := s.document()
				ex := document.Explain(d, s.events, s.facts, s.now)
				wanted := 1
				if slices.Contains(needless, reason) {
					wanted = 0
				}
				if d.Untold != wanted {
					t.Errorf("%s: %d untold, want %d", provider, d.Untold, wanted)
				}
				title := ex.Timeline[0]
				if strings.Contains(title.Detail, "the reason is") || !strings.HasPrefix(title.Detail, "reminder; ") || strings.Contains(title.Detail, "{") {
					t.Errorf("%s: detail %q", provider, title.Detail)
				}
				if (title.Kind == document.KindProblem) != (wanted == 1) {
					t.Errorf("%s: kind %s", provider, title.Kind)
				}
			}
		})
	}
}

// noPersonalData searches the JSON for each name, address, number, title and text of the events.
func noPersonalData(t *testing.T, events []event.Stored, shown ...any) {
	t.Helper()
	data, err := json.Marshal(shown)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range events {
		for _, secret := range personal(s.Event) {
			if regexp.MustCompile(`(^|[^\pL\d])` + regexp.QuoteMeta(secret) + `($|[^\pL\d])`).Match(data) {
				t.Errorf("%q of %s is in the JSON of a masked document", secret, s.Event.GetType())
			}
		}
	}
}

// personal are the texts of an event that only a reader with the role may see.
func personal(e *signingv1.SigningEvent) []string {
	r, d := e.GetRecipient(), e.GetDocument()
	all := []string{r.GetId(), r.GetFirstName(), r.GetLastName(), r.GetEmail(), r.GetMobile(), r.GetUri(), d.GetTitle(), d.GetGroup(), e.GetNotice().GetText(), e.GetNotice().GetSubject()}
	for _, name := range []string{"description", "void_reason", "diag", "text", "sent_to", "tag"} {
		all = append(all, e.GetAttributes()[name])
	}
	for _, l := range e.GetLinks() {
		all = append(all, l.GetUrl())
	}
	return slices.DeleteFunc(all, func(text string) bool { return len(text) < 2 })
}

// All recorded callbacks of each provider together are one document: its masked form has no personal data of any of them.
func TestMaskedRecordedCallbacks(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"clickwrap", "pleasesign", "esign-v1"} {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			s := play(t, provider)
			for _, e := range s.recorded {
				s.add(e)
			}
			d := s.document()
			seen := 0
			plain, err := json.Marshal([]any{d, document.Explain(d, s.events, s.facts, s.now)})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range s.recorded {
				for _, text := range []string{e.GetRecipient().GetLastName(), e.GetRecipient().GetEmail(), e.GetDocument().GetTitle()} {
					if text != "" && strings.Contains(string(plain), text) {
						seen++
					}
				}
			}
			if seen == 0 {
				t.Error("the document that is not masked has no name, address or title: the search proves nothing")
			}
			noPersonalData(t, s.events, d.Masked(), document.Explain(d.Masked(), s.events, s.facts, s.now))
		})
	}
}

// copyRules checks the rules of every sentence: subject and verb end with a full stop, an e-mail is never delivered, the signer is never blamed.
func copyRules(t *testing.T, ex document.Explanation) {
	t.Helper()
	if !strings.HasSuffix(ex.Sentence, ".") || strings.ToUpper(ex.Sentence[:1]) != ex.Sentence[:1] || strings.Count(ex.Sentence, ". ") > 0 {
		t.Errorf("not one sentence: %s", ex.Sentence)
	}
	for _, e := range ex.Timeline {
		if strings.HasSuffix(e.Title, ".") || e.Title == "" || strings.ToUpper(e.Title[:1]) != e.Title[:1] {
			t.Errorf("title %q of %s", e.Title, e.Type)
		}
		if strings.HasPrefix(e.Title, "E-mail") && strings.Contains(e.Title, "delivered") {
			t.Errorf("an e-mail was delivered: %s", e.Title)
		}
	}
	for _, l := range ex.Lanes {
		for _, track := range l.Tracks {
			for _, h := range track.Hops {
				if h.Lag < 0 || track.Channel == "email" && h.Name == "Delivered" {
					t.Errorf("hop %+v of %s by %s", h, track.Title, track.Channel)
				}
			}
		}
	}
	for _, u := range ex.Untold {
		if u.Name == "" || u.Because == "" || strings.HasSuffix(u.Because, ".") || strings.Contains(u.Blame, "the signer's fault") {
			t.Errorf("not notified: %+v", u)
		}
	}
}
