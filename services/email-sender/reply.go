package emailsender

import (
	"errors"
	"fmt"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"

	"github.com/signrelay/signrelay/libs/outcome"
)

// step is a step of the dialogue with a mail server.
type step string

// The steps, in their order. A refusal up to stepMail applies to every message.
const (
	stepBegin   step = "before the message" // connect, greeting, TLS, login
	stepMail    step = "MAIL"
	stepRcpt    step = "RCPT"
	stepData    step = "DATA"
	stepContent step = "the content"
	stepEnd     step = "the final dot"
)

// stepError is a dialogue that ended at a step.
type stepError struct {
	step step
	err  error // a *textproto.Error if the server replied
}

func (e *stepError) Error() string { return string(e.step) + ": " + e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

// reply is a server's negative reply.
type reply struct {
	step            step
	code            int // RFC 5321: 4xx is temporary, 5xx is permanent
	subject, detail int // subject and detail of the enhanced code (RFC 3463): 7 and 1 of 5.7.1; -1 if there is none
	text            string
}

var enhanced = regexp.MustCompile(`^[245]\.(\d{1,3})\.(\d{1,3})(?:\s|$)`)

func readReply(at step, e *textproto.Error) reply {
	r := reply{step: at, code: e.Code, subject: -1, detail: -1, text: strings.ToLower(e.Msg)}
	if found := enhanced.FindStringSubmatch(e.Msg); found != nil {
		r.subject, _ = strconv.Atoi(found[1])
		r.detail, _ = strconv.Atoi(found[2])
	}
	return r
}

// String contains the codes and never the server's text, which quotes addresses.
func (r reply) String() string {
	if r.subject < 0 {
		return fmt.Sprintf("%s: SMTP code %d", r.step, r.code)
	}
	return fmt.Sprintf("%s: SMTP code %d %d.%d.%d", r.step, r.code, r.code/100, r.subject, r.detail)
}

// kind is the cause of a reply.
type kind int

const (
	passes     kind = iota // temporary: the server asks for a retry
	recipients             // the address, or the mailbox behind it
	contents               // the message itself: it is too large, or a filter refuses it
	accounts               // the operator must act: the cause affects every message
	reasons                // the operator must act: other messages may be accepted
)

// outcome converts a reply to the message's outcome.
func (r reply) outcome() error {
	reason, cause := fmt.Sprintf("smtp-%d", r.code), errors.New(r.String())
	switch r.kind() {
	case accounts:
		return outcome.NeedsOperator(outcome.Account, reason, cause)
	case reasons:
		return outcome.NeedsOperator(outcome.Reason, reason, cause)
	case recipients:
		return outcome.Refused(outcome.Recipient, reason, cause)
	case contents:
		return outcome.Refused(outcome.Provider, reason, cause)
	case passes:
	}
	err := outcome.Failure(outcome.Provider, reason, cause)
	if r.step == stepBegin || r.code == serviceEnds {
		return outcome.Down(err) // the server accepts no messages at the moment
	}
	return err
}

// kind decides by the enhanced code, then by the class of the text. It decides by the step of the dialogue only if neither has any
// information. A 4xx is temporary unless only the operator can fix its cause.
func (r reply) kind() kind {
	k := r.byCode()
	if k == passes {
		k = r.byText()
	}
	switch {
	case r.code >= 400 && r.code < 500:
		if k == accounts || k == reasons {
			return k
		}
		return passes
	case r.step == stepBegin || r.step == stepMail:
		return accounts // about the sender's name and address, which every message has
	case k != passes:
		return k
	case r.subject == security:
		return reasons
	case r.step == stepRcpt:
		return recipients
	default:
		return contents
	}
}

// Subjects of enhanced codes (RFC 3463).
const (
	addressing = 1
	mailbox    = 2
	system     = 3
	content    = 6
	security   = 7
)

// byCode returns the kind of a code that has one meaning, and passes for the others. Servers use 5.7.0, 5.7.1, 5.1.0, 5.4.x and 5.5.x with
// any meaning.
func (r reply) byCode() kind {
	permanent := r.code >= 500
	switch r.code {
	case 530, 534, 535, 538: // about the login (RFC 4954)
		return accounts
	}
	switch d := r.detail; {
	case r.subject == addressing && (d == 7 || d == 8):
		return accounts // the sender's address
	case r.subject == addressing && d != 0 && permanent, r.subject == mailbox && permanent:
		return recipients
	case r.subject == system && d == 4 && permanent, r.subject == content && permanent:
		return contents
	case r.subject == security && (d == 2 || d == 17 || d == 18) && permanent: // a list's, a mailbox's or a domain's own rule (RFC 7293)
		return recipients
	case r.subject == security && (d == 8 && permanent || d == 9 || d == 11 || d == 13 || d == 14): // the login (RFC 4954, 5248)
		return accounts
	case r.subject == security && d >= 20 && d <= 27 && permanent: // DKIM, SPF, DMARC, the host's name (RFC 7372)
		return reasons
	default:
		return passes
	}
}

// Classes of texts, in the order of the search. They match the texts of Postfix, Exim, Exchange, Gmail, Amazon SES, SendGrid and others;
// all in lower case.
var texts = []struct {
	kind    kind
	pattern *regexp.Regexp
}{
	{recipients, regexp.MustCompile(`user unknown|unknown user|unknown recipient|no such (user|mailbox|recipient|address|person|domain)|` +
		`mailbox (is )?(unavailable|not found|full|disabled|does not exist)|(user|account|address|recipient|mailbox)[^.;]{0,80} (does not|doesn't) exist|` +
		`recipient (address )?(unknown|not found|rejected: (user|undeliverable|access denied|address|domain))|invalid (mailbox|recipient)|` +
		`(mailbox|recipient)[^.;]{0,40} (over |exceeded )?(its |the )?(storage )?quota|over ?quota|tried to reach|not our customer|address unknown|` +
		`unrouteable address|domain not found in recipient`)},
	{reasons, regexp.MustCompile(`relay(ing)?\b.{0,40}(denied|not permitted|not allowed|prohibited|disabled|refused)|not permitted to relay|(unable|cannot|can't|won't|do not|not) (to )?relay|relay(ing)? access|` +
		`\b(spf|dkim|dmarc)\b|rejected by policy`)},
	{accounts, regexp.MustCompile(`(daily|hourly|monthly|sending|send|message|messages|outgoing|rate|user)[^.;]{0,30} (limit|quota)s?\b|(limit|quota|credits?)[^.;]{0,20} exceeded|exceeded[^.;]{0,30} (limit|quota|credits?)|` +
		`sending (is )?(paused|suspended|disabled|blocked)|account[^.;]{0,30} (suspended|disabled|blocked|locked|paused|not active|under review)|` +
		`sender[^.;]{0,60} (rejected|refused|denied|not (verified|allowed|authori[sz]ed|owned|permitted|valid)|unverified|invalid)|sender verif|bad (outbound )?sender|send as this sender|` +
		`not (been )?verified|unverified|verify your|not owned by|(identity|identities)[^.;]{0,40} (failed|not)|from (address|header|domain)[^.;]{0,60} (not|does not|rejected)|` +
		`\b(helo|ehlo)\b|fully-qualified|client host|cannot find your|reverse (dns|hostname|lookup)|\bptr\b|\brdns\b|` +
		`block ?list|black ?list|\brbl\b|\bdnsbl\b|spamhaus|blocked using|your (ip|host|server)|poor reputation|` +
		`authenticat(ion|e)[^.;]{0,30} (required|fail|first|unsuccessful|invalid|credentials)|unauthenticated|not authenticated|need(s)? to authenticate|must authenticate|must be authenticated|log ?in (required|first|fail)|` +
		`credential|password|must issue a starttls|encryption (is )?(required|needed)|starttls (is )?required|not authori[sz]ed to send|ip (address )?(is )?(not|un)[ -]?(allowed|authori[sz]ed|listed)`)},
	{contents, regexp.MustCompile(`\bspam\b|\bvirus|malware|phish|message (size|too (big|large))|too large|size limit|content`)},
}

// temporarily matches the texts of servers that postpone every message.
var temporarily = regexp.MustCompile(`gr[ea]y-?list|temporar(y|ily) (authentication|failure|error|system|lookup)`)

func (r reply) byText() kind {
	if r.code < 500 && temporarily.MatchString(r.text) {
		return passes
	}
	for _, class := range texts {
		if class.pattern.MatchString(r.text) {
			return class.kind
		}
	}
	return passes
}
