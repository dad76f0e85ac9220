package emailsender_test

import (
	"bytes"
	netmail "net/mail"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/servicetest"
	emailsender "github.com/signrelay/signrelay/services/email-sender"
)

// A local part outside ASCII needs SMTPUTF8. If the server supports it, the message is sent. Otherwise it is not sent, and the log has the
// reason. Messages to other people are still sent.
func TestLocalPartsOutsideASCII(t *testing.T) {
	t.Parallel()
	for name, has := range map[string]bool{"with SMTPUTF8": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newMailServer(t, func(s *smtp.Server) { s.EnableSMTPUTF8 = has })
			b := servicetest.New(t, settings(p))
			b.Start(emailsender.RunSoon)
			n := invitation("user")
			n.To.Email = "用户@reader.example"
			publish(t, b, n)
			publish(t, b, invitation("eric"))
			b.Settled(flow.EmailSender)
			if messages := p.got("eric"); len(messages) != 1 {
				t.Errorf("%d messages to a name in ASCII", len(messages))
			}
			messages := p.got("用户")
			if !has {
				e := decode(t, b.Await(flow.Signing, "signing.v1.acme.clickwrap.notification.failed.doc1", 1)[0])
				if len(messages) != 0 || e.GetNotice().GetReason() != "smtputf8-missing" {
					t.Errorf("%d messages, %v", len(messages), e)
				}
				b.NeverLogged("用户", "reader.example")
				return
			}
			b.Await(flow.Signing, "signing.v1.acme.clickwrap.notification.sent.doc1", 2)
			if len(messages) != 1 {
				t.Fatalf("%d messages", len(messages))
			}
			got, err := netmail.ReadMessage(bytes.NewReader(messages[0].body))
			if err != nil {
				t.Fatal(err)
			}
			if to, err := got.Header.AddressList("To"); err != nil || len(to) != 1 || to[0].Address != "用户@reader.example" {
				t.Errorf("To is %q: %v, %v", got.Header.Get("To"), to, err)
			}
		})
	}
}
