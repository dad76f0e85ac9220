package emailsender

import (
	"errors"
	"fmt"
	"net/textproto"
	"regexp"
	"strings"

	"github.com/wneessen/go-mail"

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

// authenticationRequired is the one code of 500 and more that is about the account (RFC 4954).
const authenticationRequired = 530

// verdictOfDialling is about the way to the server: connecting, the greeting, TLS, authentication. Nothing was sent.
func verdictOfDialling(err error) error {
	var said *textproto.Error
	switch {
	case !errors.As(err, &said):
		return notification.Again("unreachable", err)
	case said.Code >= 500:
		// The server's words could quote the account's name; its code says enough.
		return notification.OperatorMustAct(fmt.Sprintf("smtp-%d", said.Code), errors.New("the server refused before the letter"))
	default:
		return notification.Again(fmt.Sprintf("smtp-%d", said.Code), errors.New("the server put off before the letter"))
	}
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
