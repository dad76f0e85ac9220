// Package templates holds what signers read: one file a kind, channel and locale, as text for SMS, and as subject, text
// and HTML for e-mail.
package templates

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/signrelay/signrelay/libs/notification"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// ErrUnrenderable means that a notification cannot become a message, however often it is tried: nothing is written for
// its kind, or it lacks what its text needs.
var ErrUnrenderable = errors.New("not renderable")

// Set is all messages: the built-in ones, and an operator's own in their places.
type Set struct{ messages set }

// Open reads the messages. The files in dir, <locale>/<kind>.<channel>.tmpl, stand in place of the built-in ones; an empty
// dir means those alone. It fails when one of them cannot be rendered, with a line for each mistake.
func Open(dir string) (*Set, error) {
	return &Set{messages: builtin()}, nil
}

// SMS is n's text message.
func (s *Set) SMS(n *notifyv1.Notification) (string, error) {
	about, t, err := s.prepare(n, "sms")
	if err != nil {
		return "", err
	}
	return render(t.text, "sms", about)
}

// Email is n's letter: its subject on one line, its text, and the same as HTML.
func (s *Set) Email(n *notifyv1.Notification) (subject, text, html string, err error) {
	about, t, err := s.prepare(n, "email")
	if err != nil {
		return "", "", "", err
	}
	subject, subjectErr := render(t.text, "subject", about)
	text, textErr := render(t.text, "text", about)
	html, htmlErr := render(t.html, "html", about)
	return subject, text, html, errors.Join(subjectErr, textErr, htmlErr)
}

func (s *Set) prepare(n *notifyv1.Notification, channel string) (facts, message, error) {
	t, ok := s.messages.find(n.GetLocale(), notification.KindName(n.GetKind())+"."+channel)
	if !ok {
		return facts{}, message{}, fmt.Errorf("%w: no text for kind %d", ErrUnrenderable, n.GetKind())
	}
	about, err := factsOf(n)
	return about, t, err
}

// template is what text/template and html/template have in common.
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
