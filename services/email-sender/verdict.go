package emailsender

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"regexp"
	"strings"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
)

// verdict is what the end of a dialogue means: a receipt, or an error that says what happens next.
func verdict(response string, err error) (notification.Receipt, error) {
	var failed *stepError
	switch {
	case err == nil:
		return notification.Receipt{Reference: queueID(response), Parts: 1}, nil
	case errors.As(err, &failed):
		return notification.Receipt{}, failed.verdict()
	default:
		return notification.Receipt{}, err
	}
}

// verdict is about the letter itself, from MAIL FROM to the reply to its final dot.
func (e *stepError) verdict() error {
	if said := new(textproto.Error); errors.As(e.err, &said) {
		return readReply(e.step, said).verdict()
	}
	cause := fmt.Errorf("%s: no reply", e.step)
	if e.step == stepEnd { // the server may have the letter
		return outcome.Down(outcome.Unknown(outcome.Failure(outcome.Provider, "no-answer", cause)))
	}
	return outcome.Down(outcome.Failure(outcome.Provider, "connection-lost", cause)) // the server discards an incomplete message
}

// ended tells whether the server had ended a kept connection before it knew of the next letter: it says 421, or nothing
// at all, to MAIL FROM. Some do so after so many letters, or so many minutes.
func ended(err error) bool {
	var failed *stepError
	if !errors.As(err, &failed) || failed.step != stepMail {
		return false
	}
	var said *textproto.Error
	return !errors.As(err, &said) || said.Code == serviceEnds
}

// serviceEnds is the code after which the server closes the connection (RFC 5321 §3.8).
const serviceEnds = 421

// answered tells whether the server is still there after an error, and can be taken leave of.
func answered(err error) bool {
	var said *textproto.Error
	return errors.As(err, &said) && said.Code != serviceEnds
}

// verdictOfDialling is about the way to the server: connecting, the greeting, TLS, the login. Nothing was sent.
func verdictOfDialling(err error) error {
	var (
		said     *textproto.Error
		stranger *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &said):
		return readReply(stepBegin, said).verdict()
	case errors.As(err, &stranger):
		return outcome.NeedsOperator(outcome.Account, "certificate", config.Explain("email.smtp", err))
	case passing(err):
		return outcome.Down(outcome.Failure(outcome.Provider, "unreachable", err))
	default: // the server does not know what the settings want of it: TLS, or a way to log in
		return outcome.NeedsOperator(outcome.Account, "smtp-settings", err)
	}
}

// refusal tells whether the server refused us before any letter: our password, or us.
func refusal(err error) bool {
	var said *textproto.Error
	return errors.As(err, &said) && said.Code >= 500
}

// passing tells whether the network, or a server that fell silent or babbles, was the trouble.
func passing(err error) bool {
	var (
		network net.Error
		babble  textproto.ProtocolError
	)
	return errors.As(err, &network) || errors.As(err, &babble) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

var queued = regexp.MustCompile(`(?i)queued as ([[:graph:]]{1,64})`)

// longestAnswer bounds a server's answer that names no queue id in a known way.
const longestAnswer = 120

// queueID is the server's own name of the letter: Postfix and many others say "queued as 4Xyz"; of the others it is all
// they said.
func queueID(answer string) string {
	if found := queued.FindStringSubmatch(answer); found != nil {
		return found[1]
	}
	return strings.ToValidUTF8(answer[:min(len(answer), longestAnswer)], "")
}
