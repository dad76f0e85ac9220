package shortener

import (
	"fmt"
	"math"
	"time"

	"golang.org/x/text/language"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

// translation contains the texts of the pages in one language.
type translation struct {
	language string
	texts    map[string]pageText // by the page's outcome
	comeBack func(in time.Duration) string
	// stop asks for no more messages about the document, and back returns to the document.
	stop, back string
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
			text: "Your link is fine. Please try again in a moment.", button: "Try again"},
		"busy": {heading: "The document cannot be reached right now",
			text: "Your link is fine, and nothing is lost. Please try again in a few minutes.", button: "Try again"},
		"limited": {heading: "Too many links at once",
			text: "Many links were opened from your network in a short time. Please try again in a minute.", button: "Try again"},
		string(pack.AlreadySigned): {heading: "You have already signed",
			text: "There is nothing left for you to do here. Thank you!"},
		string(pack.Ended): {heading: "This document is closed",
			text: "It was declined or withdrawn, or its time ran out. If you did not expect that, please ask its sender."},
		string(pack.NotYet): {heading: "The document is not ready yet",
			text: "Someone else has to sign first, or it is being fetched from the archive.", button: "Try again"},
		"gone": {heading: "This document is no longer there",
			text: "Please ask its sender to send it again."},

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
			text: "Ihr Link ist in Ordnung. Bitte versuchen Sie es gleich noch einmal.", button: "Noch einmal versuchen"},
		"busy": {heading: "Das Dokument ist gerade nicht erreichbar",
			text: "Ihr Link ist in Ordnung, und nichts geht verloren. Bitte versuchen Sie es in ein paar Minuten noch einmal.", button: "Noch einmal versuchen"},
		"limited": {heading: "Zu viele Links auf einmal",
			text: "Aus Ihrem Netz wurden in kurzer Zeit viele Links geöffnet. Bitte versuchen Sie es in einer Minute noch einmal.", button: "Noch einmal versuchen"},
		string(pack.AlreadySigned): {heading: "Sie haben schon unterschrieben",
			text: "Hier gibt es für Sie nichts mehr zu tun. Vielen Dank!"},
		string(pack.Ended): {heading: "Dieses Dokument ist geschlossen",
			text: "Es wurde abgelehnt oder zurückgezogen, oder seine Frist ist abgelaufen. Wenn Sie das nicht erwartet haben, fragen Sie bitte den Absender."},
		string(pack.NotYet): {heading: "Das Dokument ist noch nicht bereit",
			text: "Jemand anderes muss zuerst unterschreiben, oder es wird gerade aus dem Archiv geholt.", button: "Noch einmal versuchen"},
		"gone": {heading: "Dieses Dokument gibt es nicht mehr",
			text: "Bitte lassen Sie es sich vom Absender noch einmal senden."},

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
