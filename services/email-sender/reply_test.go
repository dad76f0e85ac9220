package emailsender

import (
	"net/textproto"
	"strings"
	"testing"
)

// The kind of a server's reply. The texts are those of Postfix, Exim, Exchange, Gmail, Amazon SES, SendGrid, Mailgun,
// Office 365 and others.
func TestReplies(t *testing.T) {
	t.Parallel()
	names := map[kind]string{passes: "passes", recipients: "recipient", contents: "contents", accounts: "account", reasons: "operator"}
	for _, c := range []struct {
		step step
		code int
		text string
		want string
	}{
		{stepRcpt, 550, "5.1.1 <eric@reader.example>: Recipient address rejected: User unknown in relay recipient table", "recipient"},
		{stepRcpt, 550, "5.1.1 The email account that you tried to reach does not exist", "recipient"},
		{stepRcpt, 550, "5.2.1 The email account that you tried to reach is disabled", "recipient"},
		{stepRcpt, 552, "5.2.2 The recipient's inbox is out of storage space", "recipient"},
		{stepRcpt, 550, "5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", "recipient"},
		{stepRcpt, 550, "5.1.2 host unknown", "recipient"},
		{stepRcpt, 550, "No such user here", "recipient"},
		{stepRcpt, 550, "unrouteable address", "recipient"},
		{stepRcpt, 550, "mailbox unavailable", "recipient"},
		{stepRcpt, 550, "nobody", "recipient"},
		{stepRcpt, 554, "mailbox quota exceeded", "recipient"},
		{stepRcpt, 550, "5.7.17 mailbox owner has changed", "recipient"},
		{stepEnd, 550, "5.1.1 no such user", "recipient"},
		{stepEnd, 554, "delivery error: user does not exist", "recipient"},

		{stepRcpt, 554, "5.7.1 <eric@reader.example>: Relay access denied", "operator"},
		{stepRcpt, 550, "5.7.1 Unable to relay", "operator"},
		{stepRcpt, 550, "relay not permitted", "operator"},
		{stepRcpt, 551, "we do not relay", "operator"},
		{stepRcpt, 454, "4.7.1 <eric@reader.example>: Relay access denied", "operator"},
		{stepRcpt, 550, "5.7.0 whatever", "operator"},
		{stepEnd, 550, "5.7.26 Unauthenticated email from acme.example is not accepted due to domain's DMARC policy", "operator"},
		{stepEnd, 550, "5.7.23 The message was rejected because of Sender Policy Framework violation", "operator"},

		{stepMail, 553, "that is not your address", "account"},
		{stepMail, 550, "5.7.60 SMTP; Client does not have permissions to send as this sender", "account"},
		{stepRcpt, 553, "5.1.8 <no-reply@acme.example>: Sender address rejected: Domain not found", "account"},
		{stepRcpt, 550, "Sender verify failed", "account"},
		{stepRcpt, 554, "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", "operator or account"},
		{stepRcpt, 504, "5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname", "account"},
		{stepRcpt, 450, "4.7.1 Client host rejected: cannot find your hostname, [192.0.2.1]", "account"},
		{stepRcpt, 550, "5.4.5 Daily user sending limit exceeded", "account"},
		{stepRcpt, 550, "5.4.5 Daily SMTP relay sending limit exceeded", "account"},
		{stepRcpt, 454, "Throttling failure: Daily message quota exceeded.", "account"},
		{stepRcpt, 530, "5.7.0 Must issue a STARTTLS command first", "account"},
		{stepRcpt, 530, "5.5.1 Authentication Required", "account"},
		{stepRcpt, 550, "authentication required", "account"},
		{stepRcpt, 503, "5.5.1 need to authenticate first", "account"},
		{stepEnd, 554, "Message rejected: Email address is not verified. The following identities failed the check in region EU-WEST-1: no-reply@acme.example", "account"},
		{stepEnd, 554, "Sending paused for this account", "account"},
		{stepEnd, 550, "5.1.8 Access denied, bad outbound sender", "account"},
		{stepEnd, 451, "Maximum credits exceeded", "account"},
		{stepBegin, 554, "not you", "account"},
		{stepBegin, 535, "5.7.8 authentication failed", "account"},
		{stepBegin, 550, "HELO refused", "account"},

		{stepEnd, 554, "5.7.1 Message rejected as spam", "contents"},
		{stepEnd, 552, "5.3.4 Message too big for system", "contents"},
		{stepEnd, 550, "5.6.0 bad content", "contents"},
		{stepEnd, 554, "no", "contents"},
		{stepData, 554, "no valid recipients", "contents"},

		{stepRcpt, 450, "4.2.0 Greylisted, see https://postgrey.example", "passes"},
		{stepRcpt, 451, "4.7.1 Greylisting in action, please come back later", "passes"},
		{stepRcpt, 452, "4.2.2 mailbox full", "passes"},
		{stepRcpt, 450, "4.1.1 user unknown for now", "passes"},
		{stepRcpt, 451, "4.3.0 Temporary system problem", "passes"},
		{stepBegin, 454, "4.7.0 Temporary authentication failure", "passes"},
		{stepBegin, 421, "4.3.2 busy", "passes"},
		{stepEnd, 451, "4.7.500 Server busy", "passes"},
		{stepEnd, 421, "4.7.0 try again later", "passes"},
	} {
		r := readReply(c.step, &textproto.Error{Code: c.code, Msg: c.text})
		if got := names[r.kind()]; !strings.Contains(c.want, got) {
			t.Errorf("%s %d %s: %s, want %s", c.step, c.code, c.text, got, c.want)
		}
		if text := r.outcome().Error(); strings.Contains(text, "@") || strings.Contains(text, "192.0.2.1") || !strings.Contains(text, r.String()) {
			t.Errorf("%s %d %s is logged as %q", c.step, c.code, c.text, text)
		}
	}
}
