package emailsender

import (
	"bufio"
	"errors"
	"io"
	"net/textproto"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/signrelay/signrelay/libs/outcome"
)

var replyPattern = regexp.MustCompile(`^[a-zA-Z ]+: SMTP code [0-9]{3}( [0-9]\.[0-9]{1,3}\.[0-9]{1,3})?$`)

// For every reply of a mail server at every step, the error has the reply's codes and never its text. After a temporary refusal, a message is
// never given up because of the recipient or its content. After a reply to the final dot that cannot be read, the outcome is unknown.
func FuzzSMTPReply(f *testing.F) {
	for step := range uint8(6) {
		for _, wire := range []string{
			"550 5.1.1 <eric@reader.example>: Recipient address rejected: User unknown", "450 4.2.2 mailbox full", "421 closing", "250 2.0.0 Ok: queued as 4XyzAB",
			"550-5.7.26 Unauthenticated email from acme.example\r\n550 5.7.26 is not accepted", "454 4.7.0 Temporary authentication failure", "554", "550 5.999.1000 x",
			"553 5.1.8 sender rejected", "535 5.7.8 bad password", "999 what", "", "550 5.1.1\x00\xff", "452-4.3.1",
		} {
			f.Add(step, wire+"\r\n")
		}
	}
	steps := []step{stepBegin, stepMail, stepRcpt, stepData, stepContent, stepEnd}
	f.Fuzz(func(t *testing.T, at uint8, wire string) {
		step := steps[int(at)%len(steps)]
		_, text, err := textproto.NewReader(bufio.NewReader(strings.NewReader(wire))).ReadResponse(2)
		if err == nil {
			receipt, err := outcomeOf(text, nil)
			if err != nil || receipt.Parts != 1 || len(receipt.Reference) > longestReference || !utf8.ValidString(receipt.Reference) && utf8.ValidString(text) {
				t.Fatalf("%+v, %v", receipt, err)
			}
			return
		}
		_, got := outcomeOf("", &stepError{step, err})
		why, text := outcome.Of(got), strings.TrimPrefix(got.Error(), outcome.Of(got).Cause()+": ")
		if why.Fault() == "" || text == got.Error() {
			t.Fatalf("%T %v", got, got)
		}
		var reply *textproto.Error
		if !errors.As(err, &reply) {
			if want := map[bool]string{true: "no-answer", false: "connection-lost"}[step == stepEnd]; why.Cause() != want {
				t.Fatalf("%v after %s: %s", err, step, why.Cause())
			}
			return
		}
		if !replyPattern.MatchString(text) || !regexp.MustCompile(`^smtp-[0-9]{3}$`).MatchString(why.Cause()) {
			t.Fatalf("%s: %v", why.Cause(), text)
		}
		if k := readReply(step, reply).kind(); reply.Code >= 400 && reply.Code < 500 && (k == recipients || k == contents) {
			t.Fatalf("after %d %q at %s the message is given up", reply.Code, reply.Msg, step)
		}
		if _, err := outcomeOf("", &stepError{step, io.EOF}); err == nil {
			t.Fatal("a missing reply counts as a receipt")
		}
	})
}
