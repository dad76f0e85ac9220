package shortener

import (
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/recipient"
)

// translation contains the texts of the pages in one language.
type translation struct {
	language string
	texts    map[string]pageText // by the page's outcome
	comeBack func(in time.Duration) string
	// stop asks for no more messages about the document, and back returns to the document.
	stop, back string
	correction correctionWords
}

// correctionWords are the words of the form with which the sender corrects a person.
type correctionWords struct {
	firstName, lastName, email, mobile string
	save, resend, again                string            // buttons
	wrong, unchanged                   string            // what is wrong with the form
	mistakes                           map[string]string // other texts for those of recipient.CheckDetails
}

func (w correctionWords) mistake(m pack.Mistake) string {
	text := m.Text
	if translated := w.mistakes[text]; translated != "" {
		text = translated
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// pageText is the text of one page.
type pageText struct {
	heading, text string
	button        string                     // empty for none
	note          func(sender string) string // the reason for the link, on pages that show the document and ask for a click
}

// Languages of the pages, the fallback first.
var (
	languages = []translation{english, german}
	matcher   = language.NewMatcher([]language.Tag{language.English, language.German})
)

// translationFor returns the texts in the browser's language, otherwise in the language of the link's messages.
func translationFor(accepted, locale string) translation {
	tags, _, err := language.ParseAcceptLanguage(accepted)
	if err == nil {
		if _, i, confidence := matcher.Match(tags...); confidence > language.No {
			return languages[i]
		}
	}
	_, i, _ := matcher.Match(language.Make(locale))
	return languages[i]
}

// The button of pages that may show the document a moment later.
const (
	tryAgainEnglish = "Try again"
	tryAgainGerman  = "Noch einmal versuchen"
)

var english = translation{
	language: "en",
	texts: map[string]pageText{
		"button":          {heading: "Your document", text: "You have been asked to review and sign this document.", button: "Review and sign", note: whyEnglish},
		"button-download": {heading: "Your document", text: "This document has been accepted by all parties.", button: "Download document", note: whyEnglish},
		"robot":           {heading: "Open your document", text: "Press Continue to open it.", button: "Continue", note: whyEnglish},
		"prefetch":        {heading: "Open your document", text: "Press Continue to open it.", button: "Continue", note: whyEnglish},

		"unknown": {heading: "This link does not work",
			text: "Part of it may have been lost. Please open it from the message itself, or ask the sender to send it again."},
		"expired": {heading: "This link has expired",
			text: "Links work for a limited time. Please ask the sender of the document for a new one."},
		"failed": {heading: "We cannot open this right now",
			text: "Your link is fine. Please try again in a moment.", button: tryAgainEnglish},
		"busy": {heading: "The document cannot be reached right now",
			text: "Your link is fine, and nothing is lost. Please try again in a few minutes.", button: tryAgainEnglish},
		"limited": {heading: "Too many links at once",
			text: "Many links were opened from your network in a short time. Please try again in a minute.", button: tryAgainEnglish},
		string(pack.AlreadySigned): {heading: "You have already signed",
			text: "There is nothing left for you to do here. Thank you!"},
		string(pack.Ended): {heading: "This document is closed",
			text: "It was declined or withdrawn, or its time ran out. If you did not expect that, please ask its sender."},
		string(pack.NotYet): {heading: "The document is not ready yet",
			text: "Someone else has to sign first, or it is being fetched from the archive.", button: tryAgainEnglish},
		"gone": {heading: "This document is no longer there",
			text: "Please ask its sender to send it again."},

		"superseded": {heading: "This link was replaced",
			text: "The sender has corrected this document's addresses. Please use the link in the newest message, or ask the sender."},
		"button-correct": {heading: "A person could not be reached",
			text: "Our messages did not reach a person who should sign this document. You can correct the name and the addresses, or send the invitation again.", button: "Show the person"},
		"correct": {heading: "Correct this person",
			text: "Change what is wrong. The person gets a new invitation, and earlier links stop working."},
		"correct-pending": {heading: "One moment",
			text: "This page shows the result as soon as there is one."},
		"corrected": {heading: "The person is corrected",
			text: "A new invitation is on its way. Nothing more goes to the old address."},
		"resent": {heading: "The invitation is sent again",
			text: "There is nothing left for you to do here."},
		"correct-signed": {heading: "This person has signed",
			text: "There is nothing left to correct."},
		"correct-elsewhere": {heading: "This person cannot be corrected here",
			text: "Please correct the person where you sent the document."},
		"correct-refused": {heading: "That was not possible",
			text: "The signing service did not accept it."},

		"stop-ask": {heading: "Stop messages about this document?",
			text: "You will get no more e-mails, texts and reminders about it. Your link still works, and if you sign, you still get the completed document.", button: "Stop messages"},
		"stopped": {heading: "You will get no more messages about this document",
			text: "Your link still works. If you sign, you still get the completed document.", button: "Write to me again"},
		"started": {heading: "You will get messages about this document again",
			text: "Reminders that were cancelled do not come back."},
		"stop-failed": {heading: "That did not work right now",
			text: "Please go back and try again in a moment."},
	},
	stop: "Do not write to me about this document", back: "Back to the document",
	correction: correctionWords{
		firstName: "First name", lastName: "Last name", email: "E-mail address", mobile: "Mobile number",
		save: "Correct and send", resend: "All of this is right: send the invitation again", again: tryAgainEnglish,
		wrong: "Please look at the marked fields.", unchanged: "You have changed nothing. If all of this is right, send the invitation again.",
		mistakes: map[string]string{recipient.MistakeNeeded: "this is needed"}, // the sender does not know our word "provider"
	},
	comeBack: func(in time.Duration) string {
		return "Please come back " + formatDelay(in, "later", "in about one minute", "in about %.0f minutes", "in about one hour", "in about %.0f hours") + "."
	},
}

func whyEnglish(sender string) string {
	if sender == "" {
		sender = "The sender of this document"
	}
	return sender + " sent you this link. If you did not expect it, you can close this page."
}

var german = translation{
	language: "de",
	texts: map[string]pageText{
		"button":          {heading: "Ihr Dokument", text: "Sie wurden gebeten, dieses Dokument zu prüfen und zu unterschreiben.", button: "Prüfen und unterschreiben", note: whyGerman},
		"button-download": {heading: "Ihr Dokument", text: "Dieses Dokument wurde von allen Beteiligten angenommen.", button: "Dokument herunterladen", note: whyGerman},
		"robot":           {heading: "Öffnen Sie Ihr Dokument", text: "Mit Weiter öffnen Sie es.", button: "Weiter", note: whyGerman},
		"prefetch":        {heading: "Öffnen Sie Ihr Dokument", text: "Mit Weiter öffnen Sie es.", button: "Weiter", note: whyGerman},

		"unknown": {heading: "Dieser Link funktioniert nicht",
			text: "Vielleicht ist ein Teil davon verloren gegangen. Bitte öffnen Sie ihn direkt aus der Nachricht, oder bitten Sie den Absender, ihn noch einmal zu senden."},
		"expired": {heading: "Dieser Link ist abgelaufen",
			text: "Links gelten nur eine begrenzte Zeit. Bitte fragen Sie den Absender des Dokuments nach einem neuen."},
		"failed": {heading: "Das können wir gerade nicht öffnen",
			text: "Ihr Link ist in Ordnung. Bitte versuchen Sie es gleich noch einmal.", button: tryAgainGerman},
		"busy": {heading: "Das Dokument ist gerade nicht erreichbar",
			text: "Ihr Link ist in Ordnung, und nichts geht verloren. Bitte versuchen Sie es in ein paar Minuten noch einmal.", button: tryAgainGerman},
		"limited": {heading: "Zu viele Links auf einmal",
			text: "Aus Ihrem Netz wurden in kurzer Zeit viele Links geöffnet. Bitte versuchen Sie es in einer Minute noch einmal.", button: tryAgainGerman},
		string(pack.AlreadySigned): {heading: "Sie haben schon unterschrieben",
			text: "Hier gibt es für Sie nichts mehr zu tun. Vielen Dank!"},
		string(pack.Ended): {heading: "Dieses Dokument ist geschlossen",
			text: "Es wurde abgelehnt oder zurückgezogen, oder seine Frist ist abgelaufen. Wenn Sie das nicht erwartet haben, fragen Sie bitte den Absender."},
		string(pack.NotYet): {heading: "Das Dokument ist noch nicht bereit",
			text: "Jemand anderes muss zuerst unterschreiben, oder es wird gerade aus dem Archiv geholt.", button: tryAgainGerman},
		"gone": {heading: "Dieses Dokument gibt es nicht mehr",
			text: "Bitte lassen Sie es sich vom Absender noch einmal senden."},

		"superseded": {heading: "Dieser Link wurde ersetzt",
			text: "Der Absender hat die Adressen dieses Dokuments korrigiert. Bitte nehmen Sie den Link aus der neuesten Nachricht, oder fragen Sie den Absender."},
		"button-correct": {heading: "Eine Person war nicht erreichbar",
			text: "Unsere Nachrichten haben eine Person nicht erreicht, die dieses Dokument unterschreiben soll. Sie können Name und Adressen korrigieren oder die Einladung noch einmal senden.", button: "Person anzeigen"},
		"correct": {heading: "Diese Person korrigieren",
			text: "Ändern Sie, was falsch ist. Die Person erhält eine neue Einladung, und frühere Links funktionieren nicht mehr."},
		"correct-pending": {heading: "Einen Moment",
			text: "Diese Seite zeigt das Ergebnis, sobald es vorliegt."},
		"corrected": {heading: "Die Person ist korrigiert",
			text: "Eine neue Einladung ist unterwegs. An die alte Adresse geht nichts mehr."},
		"resent": {heading: "Die Einladung wird noch einmal gesendet",
			text: "Hier gibt es für Sie nichts mehr zu tun."},
		"correct-signed": {heading: "Diese Person hat unterschrieben",
			text: "Hier gibt es nichts mehr zu korrigieren."},
		"correct-elsewhere": {heading: "Diese Person kann hier nicht korrigiert werden",
			text: "Bitte korrigieren Sie die Person dort, wo Sie das Dokument gesendet haben."},
		"correct-refused": {heading: "Das war nicht möglich",
			text: "Der Signaturdienst hat es nicht angenommen."},

		"stop-ask": {heading: "Keine Nachrichten mehr zu diesem Dokument?",
			text: "Sie erhalten dazu keine E-Mails, SMS und Erinnerungen mehr. Ihr Link funktioniert weiter, und wenn Sie unterschreiben, erhalten Sie trotzdem das fertige Dokument.", button: "Keine Nachrichten mehr"},
		"stopped": {heading: "Sie erhalten keine Nachrichten mehr zu diesem Dokument",
			text: "Ihr Link funktioniert weiter. Wenn Sie unterschreiben, erhalten Sie trotzdem das fertige Dokument.", button: "Wieder benachrichtigen"},
		"started": {heading: "Sie erhalten wieder Nachrichten zu diesem Dokument",
			text: "Abgesagte Erinnerungen kommen nicht zurück."},
		"stop-failed": {heading: "Das hat gerade nicht geklappt",
			text: "Bitte gehen Sie zurück und versuchen Sie es gleich noch einmal."},
	},
	stop: "Keine Nachrichten mehr zu diesem Dokument", back: "Zurück zum Dokument",
	correction: correctionWords{
		firstName: "Vorname", lastName: "Nachname", email: "E-Mail-Adresse", mobile: "Handynummer",
		save: "Korrigieren und senden", resend: "Alles stimmt: Einladung noch einmal senden", again: tryAgainGerman,
		wrong: "Bitte sehen Sie sich die markierten Felder an.", unchanged: "Sie haben nichts geändert. Wenn alles stimmt, senden Sie die Einladung noch einmal.",
		mistakes: map[string]string{
			recipient.MistakeNeeded: "diese Angabe wird gebraucht", recipient.MistakeLong: "das sind mehr als 100 Zeichen",
			recipient.MistakeEmail: "das ist keine E-Mail-Adresse wie jane@example.com", recipient.MistakeEmails: "das ist mehr als eine Adresse",
			recipient.MistakeNoAddress: "eine E-Mail-Adresse oder eine Handynummer wird gebraucht",
			recipient.MistakeNumber:    "das ist keine Telefonnummer wie +49 1512 3456789", recipient.MistakeShort: "das sind zu wenige Ziffern",
			recipient.MistakeLetters: "bei den Buchstaben fehlen vielleicht Ziffern", recipient.MistakeNumbers: "das ist mehr als eine Nummer",
			recipient.MistakeLandline: "die Anmerkung daneben sagt, dass sie keine SMS empfängt",
		},
	},
	comeBack: func(in time.Duration) string {
		return "Bitte kommen Sie " + formatDelay(in, "später", "in etwa einer Minute", "in etwa %.0f Minuten", "in etwa einer Stunde", "in etwa %.0f Stunden") + " wieder."
	},
}

func whyGerman(sender string) string {
	if sender == "" {
		sender = "Der Absender dieses Dokuments"
	}
	return sender + " hat Ihnen diesen Link gesendet. Wenn Sie ihn nicht erwartet haben, können Sie diese Seite schließen."
}

// formatDelay returns the text for a delay, rounded up to a minute or an hour.
func formatDelay(d time.Duration, later, minute, minutes, hour, hours string) string {
	count := func(n float64, one, many string) string {
		if n = math.Ceil(n); n == 1 {
			return one
		}
		return fmt.Sprintf(many, n)
	}
	switch {
	case d <= 0:
		return later
	case d <= time.Hour:
		return count(d.Minutes(), minute, minutes)
	default:
		return count(d.Hours(), hour, hours)
	}
}
