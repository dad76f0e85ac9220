// Package templates renders the messages to signers: one file for each kind, channel and locale, as text for SMS, and as subject, text
// and HTML for e-mail.
package templates

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/gsm7"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// ErrUnrenderable means that a notification can never be rendered: its kind has no template, or a value that the
// template needs is missing.
var ErrUnrenderable = errors.New("not renderable")

// Set is the set of all messages: the built-in ones, or an operator's replacements.
type Set struct{ messages messages }

// Open reads the messages. The files in dir, <locale>/<kind>.<channel>.tmpl, replace the built-in ones; an empty dir means only the built-in
// ones. It fails with one line for each mistake in dir, which begins with the file and the line. To find mistakes, it renders every message
// with sample facts: see docs/templates.md.
func Open(dir string) (*Set, error) {
	if dir == "" {
		return builtin(), nil
	}
	own, mistakes, err := readOwn(dir)
	if err != nil {
		return nil, err
	}
	found, unread := parse(shipped(), own)
	set := &Set{messages: found}
	mistakes = append(mistakes, unread...)
	if len(mistakes) == 0 { // templates that cannot be parsed cannot be rendered
		mistakes = try(set)
	}
	if len(mistakes) > 0 {
		return nil, oneError(dir, mistakes)
	}
	return set, nil
}

// builtin returns the messages embedded in the program.
var builtin = sync.OnceValue(func() *Set {
	found, mistakes := parse(shipped(), nil)
	if len(mistakes) > 0 {
		panic(errors.Join(mistakes...)) // the files are in the program, and a test parses every one
	}
	return &Set{messages: found}
})

// SMS returns n's text message. It is in the GSM 7-bit alphabet if no meaning is lost (see gsm7.Fold).
func (s *Set) SMS(n *notifyv1.Notification) (string, error) { return s.SMSFrom(n, TextSender{}) }

// TextSender describes the sender of a text message.
type TextSender struct {
	// NoReplies is true if the sender cannot receive replies. Then each text to a signer says how to get no more texts: the law requires that if
	// a person cannot reply STOP.
	NoReplies bool
	Contact   string // another way to opt out; empty names the sender
}

// SMSFrom is SMS for a sender.
func (s *Set) SMSFrom(n *notifyv1.Notification, from TextSender) (string, error) {
	about, m, err := s.prepare(n, sms)
	if err != nil {
		return "", err
	}
	about.Contact = Sender(from.Contact)
	whose, whoseErr := m.whose(about)
	text, err := render(m.text, "sms", about)
	if from.NoReplies && !about.ToSender && err == nil {
		var ending string
		ending, err = render(m.text, "no-replies", about)
		text += " " + ending
	}
	return gsm7.Fold(whose + text), errors.Join(whoseErr, err)
}

// Email returns n's e-mail: its subject on one line, its text, and the same as HTML.
func (s *Set) Email(n *notifyv1.Notification) (subject, text, html string, err error) {
	about, m, err := s.prepare(n, email)
	if err != nil {
		return "", "", "", err
	}
	whose, whoseErr := m.whose(about)
	subject, subjectErr := render(m.text, "subject", about)
	subject = whose + subject
	// "=?utf-8?q?=0D=0A?=" is plain ASCII that mail programs decode (RFC 2047). It could add every character that harmless removes.
	subject = strings.ReplaceAll(subject, "=?", "= ?")
	text, textErr := render(m.text, "text", about)
	html, htmlErr := render(m.html, "html", about)
	return subject, text, html, errors.Join(whoseErr, subjectErr, textErr, htmlErr)
}

// Version names the template of n's message: its file and a hash of everything that it is made of, "en/invitation.sms@0123456789abcdef". It is
// empty if there is none.
func (s *Set) Version(n *notifyv1.Notification) string {
	m, _ := s.messages.find(n.GetLocale(), event.KindName(n.GetKind())+"."+event.ChannelName(n.GetChannel()))
	return m.version
}

// whose returns the beginning of a text or a subject to an address that several signers share; otherwise it is empty. It is in every message,
// also in an operator's own: without it two signers would get the same text twice, and could not find out which link belongs to which person.
func (m message) whose(about facts) (string, error) {
	if about.Together == 0 {
		return "", nil
	}
	whose, err := render(m.text, "for", about)
	return whose + " ", err
}

func (s *Set) prepare(n *notifyv1.Notification, channel string) (facts, message, error) {
	m, ok := s.messages.find(n.GetLocale(), event.KindName(n.GetKind())+"."+channel)
	if !ok {
		return facts{}, message{}, fmt.Errorf("%w: no text for kind %d", ErrUnrenderable, n.GetKind())
	}
	about, err := factsOf(n)
	about.Locale = m.localeFor(n.GetLocale())
	return about, m, err
}

// template is the common interface of text/template and html/template.
type template interface {
	ExecuteTemplate(w io.Writer, name string, data any) error
}

func render(t template, part string, about facts) (string, error) {
	var b strings.Builder
	if err := t.ExecuteTemplate(&b, part, about); err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrUnrenderable, part, err)
	}
	return strings.TrimSpace(b.String()), nil
}
