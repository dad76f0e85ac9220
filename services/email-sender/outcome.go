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

// outcomeOf converts the end of a dialogue to a receipt, or to an error that decides the next step.
func outcomeOf(response string, err error) (notification.Receipt, error) {
	var failed *stepError
	switch {
	case err == nil:
		return notification.Receipt{Reference: queueID(response), Parts: 1}, nil
	case errors.As(err, &failed):
		return notification.Receipt{}, failed.outcome()
	default:
		return notification.Receipt{}, err
	}
}

// outcome converts an error of the message itself, from MAIL FROM to the reply to its final dot.
func (e *stepError) outcome() error {
	if reply := new(textproto.Error); errors.As(e.err, &reply) {
		return readReply(e.step, reply).outcome()
	}
	cause := fmt.Errorf("%s: no reply", e.step)
	if e.step == stepEnd { // the server may have accepted the message
		return outcome.Down(outcome.Unknown(outcome.Failure(outcome.Provider, "no-answer", cause)))
	}
	return outcome.Down(outcome.Failure(outcome.Provider, "connection-lost", cause)) // the server discards an incomplete message
}

// ended reports whether the server had ended a kept connection before the next message: its reply to MAIL FROM is 421, or there is none. Some
// servers end a connection after some messages or minutes.
func ended(err error) bool {
	var failed *stepError
	if !errors.As(err, &failed) || failed.step != stepMail {
		return false
	}
	var reply *textproto.Error
	return !errors.As(err, &reply) || reply.Code == serviceEnds
}

// serviceEnds is the code after which the server closes the connection (RFC 5321 §3.8).
const serviceEnds = 421

// replied reports whether the server still uses the connection after an error, so that it can be closed with QUIT.
func replied(err error) bool {
	var reply *textproto.Error
	return errors.As(err, &reply) && reply.Code != serviceEnds
}

// outcomeOfDial converts a failure before a message: connecting, the greeting, TLS, the login. Nothing was sent.
func outcomeOfDial(err error) error {
	var (
		reply     *textproto.Error
		untrusted *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &reply):
		return readReply(stepBegin, reply).outcome()
	case errors.As(err, &untrusted):
		return outcome.NeedsOperator(outcome.Account, "certificate", config.Explain("email.smtp", err))
	case temporary(err):
		return outcome.Down(outcome.Failure(outcome.Provider, "unreachable", err))
	default: // the server does not support what the settings require: TLS, or a way to log in
		return outcome.NeedsOperator(outcome.Account, "smtp-settings", err)
	}
}

// refusal reports whether the server refused the login or the connection.
func refusal(err error) bool {
	var reply *textproto.Error
	return errors.As(err, &reply) && reply.Code >= 500
}

// temporary reports whether the network failed, or the server did not reply, or not in SMTP.
func temporary(err error) bool {
	var (
		network net.Error
		garbage textproto.ProtocolError
	)
	return errors.As(err, &network) || errors.As(err, &garbage) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

var queued = regexp.MustCompile(`(?i)queued as ([[:graph:]]{1,64})`)

// longestReference limits the stored reply of a server without a queue id in a known form.
const longestReference = 120

// queueID returns the server's id of the message. Postfix and many others reply "queued as 4Xyz"; for other servers, the id is the whole
// reply.
func queueID(reply string) string {
	if found := queued.FindStringSubmatch(reply); found != nil {
		return found[1]
	}
	return strings.ToValidUTF8(reply[:min(len(reply), longestReference)], "")
}
