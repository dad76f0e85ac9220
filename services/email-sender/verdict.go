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

	"github.com/wneessen/go-mail"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/notification"
)

// verdict is what the end of a dialogue means: a receipt, or an error that says what happens next.
func verdict(letter *mail.Msg, err error) (notification.Receipt, error) {
	if letter.IsDelivered() {
		// The server said 250 to the letter. What went wrong afterwards, at the good-bye, is not the letter's concern.
		return notification.Receipt{Reference: queueID(letter.ServerResponse()), Parts: 1}, nil
	}
	var failed *mail.SendError
	switch {
	case errors.As(err, &failed):
		return notification.Receipt{}, verdictOfSending(failed)
	case err != nil:
		return notification.Receipt{}, verdictOfDialling(err)
	default:
		return notification.Receipt{}, notification.Doubtful("no-answer", nil)
	}
}

// verdictOfSending is about the letter itself, from MAIL FROM to the answer to its last line. The library's own text of
// the error has the recipient's address in it, and stays here.
func verdictOfSending(failed *mail.SendError) error {
	code := failed.ErrorCode()
	reason, cause := fmt.Sprintf("smtp-%d", code), fmt.Errorf("%s: code %d", failed.Reason, code)
	switch {
	case code >= 400 && code < 500:
		return notification.Again(reason, cause)
	case code == authenticationRequired:
		return notification.OperatorMustAct(reason, cause)
	case code >= 500 && code < 600 && failed.Reason == mail.ErrSMTPMailFrom:
		return notification.OperatorMustAct(reason, cause) // about our own address, which every letter bears
	case code >= 500 && code < 600:
		return notification.Refused(reason, cause)
	case failed.Reason == mail.ErrSMTPDataClose:
		return notification.Doubtful("no-answer", cause) // the last line was written: the server may have the letter
	case failed.Reason == mail.ErrGetSender, failed.Reason == mail.ErrGetRcpts, failed.Reason == mail.ErrNoUnencoded:
		return notification.Refused("not-sendable", cause)
	default:
		return notification.Again("connection-lost", cause) // before the last line: the server throws away what it has
	}
}

// authenticationRequired is the one code of 500 and more that is always about the account (RFC 4954).
const authenticationRequired = 530

// ended tells whether the server had ended a kept connection before it knew of the next letter: it says 421, or nothing
// at all, to MAIL FROM. Some do so after so many letters, or so many minutes.
func ended(err error) bool {
	var failed *mail.SendError
	if !errors.As(err, &failed) || failed.Reason != mail.ErrSMTPMailFrom && failed.Reason != mail.ErrConnCheck {
		return false
	}
	return failed.ErrorCode() == 0 || failed.ErrorCode() == serviceEnds
}

// serviceEnds is the code after which the server closes the connection (RFC 5321 §3.8).
const serviceEnds = 421

// answered tells whether the server is still there after an error, and can be taken leave of.
func answered(err error) bool {
	var failed *mail.SendError
	return errors.As(err, &failed) && failed.ErrorCode() != 0 && failed.ErrorCode() != serviceEnds
}

// verdictOfDialling is about the way to the server: connecting, the greeting, TLS, the login. Nothing was sent.
func verdictOfDialling(err error) error {
	var (
		said     *textproto.Error
		stranger *tls.CertificateVerificationError
	)
	switch {
	case refusal(err):
		errors.As(err, &said)
		// The server's words could quote the account's name; its code says enough.
		return notification.OperatorMustAct(fmt.Sprintf("smtp-%d", said.Code), errors.New("the server refused before the letter"))
	case errors.As(err, &said):
		return notification.Again(fmt.Sprintf("smtp-%d", said.Code), errors.New("the server put off before the letter"))
	case errors.As(err, &stranger):
		return notification.OperatorMustAct("certificate", config.Explain("email.smtp", err))
	case passing(err):
		return notification.Again("unreachable", err)
	default: // the server does not know what the settings want of it: TLS, or a way to log in
		return notification.OperatorMustAct("smtp-settings", err)
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
