package sandbox

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

// pleasesign is how PleaseSign tells of its documents.
type pleasesign struct {
	tickets *tickets
}

// newPleasesign holds the documents of the documentation's examples from its start, so that a callback pasted from there
// finds its recipient.
func newPleasesign(t *tickets) *provider {
	p := newProvider(pleasesignName, pleasesign{t})
	johnDoe := signer{first: "John", last: "Doe", email: "john.doe@example.com", mobile: "61491570313", byEmail: true, bySMS: true}
	for document, recipient := range map[string]string{
		"PLSDOC19704278f8c51564ff0c707817": "52cc002fac06025cddad05de87f75b37",
		"PLSDOC6b776e1a931ef27ca87e56b6fb": randomHex(16),
	} {
		p.keep(example(document, recipient, johnDoe))
	}
	return p
}

// example is a document that was sent long ago, and that nobody has signed.
func example(id, person string, who signer) *paper {
	longAgo := time.Now().UTC().Add(-time.Hour)
	return &paper{
		document: document{title: "Example document"}, id: id, status: open, created: longAgo, sent: longAgo,
		people: []party{{signer: who, id: person, stage: due, since: longAgo}},
	}
}

func (pleasesign) documentID() string { return "PLSDOC" + randomHex(13) }
func (pleasesign) personID() string   { return randomHex(16) }

// callbacks is one for each thing that happened, and one for each letter that PleaseSign sends by itself because of it.
func (p pleasesign) callbacks(happened []change, world string) []callback {
	var all []callback
	for _, h := range happened {
		if event, body := p.body(h, world); event != "" {
			all = append(all, pleasesignCallback(event, body))
		}
		for _, i := range h.turns {
			if who := h.paper.people[i]; who.mailed {
				body := aboutRecipient("recipient.sent", h.paper, who)
				body = append(body, field{"method", "email"}, field{"sent_date", h.at.Unix()})
				all = append(all, pleasesignCallback("recipient.sent", body))
			}
		}
	}
	return all
}

func (p pleasesign) body(h change, world string) (event string, body fields) {
	now := h.at.Unix()
	switch h.what {
	case documentSent:
		return "document.created", append(aboutDocument("document.created", h.paper), field{"processed_date", now})
	case documentCompleted:
		file := func() string { return p.tickets.file(world, pleasesignName, h.paper.id) }
		return "document.complete", append(aboutDocument("document.complete", h.paper), field{"complete_date", now},
			field{"original", file()}, field{"signed", file()}, field{"certificate", file()})
	case recipientOpened:
		body := append(aboutRecipient("recipient.opened", h.paper, h.who()), field{"method", method(h.who())})
		return "recipient.opened", append(body, field{"opened_date", now})
	case recipientSigned:
		body := append(aboutRecipient("recipient.complete", h.paper, h.who()), field{"method", method(h.who())})
		return "recipient.complete", append(body, field{"complete_date", now})
	case recipientDeclined:
		return "document.void", append(aboutDocument("document.void", h.paper),
			field{"recipient_id", h.who().id}, field{"void_date", now}, field{"void_reason", h.paper.reason})
	case recipientFailed:
		return "recipient.failed", append(aboutRecipient("recipient.failed", h.paper, h.who()),
			field{"diag", "smtp;550 5.1.1 RESOLVER.ADR.RecipNotFound; not found"}, field{"message", "bad_mailbox"}, field{"failed_date", now})
	default:
		return "", nil
	}
}

// method is how a recipient came to the document: by a letter of PleaseSign's, or by a link that its API gave out.
func method(who party) string {
	if who.mailed {
		return "email"
	}
	return "api"
}

func aboutDocument(event string, p paper) fields {
	return fields{{"id", randomHex(16)}, {"event", event}, {"document_id", p.id}}
}

func aboutRecipient(event string, p paper, who party) fields {
	return append(aboutDocument(event, p), field{"recipient_id", who.id}, field{"first_name", who.first},
		field{"last_name", who.last}, field{"email", who.email}, field{"mobile", orNull(who.mobile)})
}

func pleasesignCallback(event string, body fields) callback {
	return callback{event: event, request: pack.Request{
		Method: http.MethodPost, Body: body.json(), ReceivedAt: time.Now(), Header: http.Header{"Content-Type": {"application/json"}},
	}}
}

// fields are an object's, in the order in which they are written.
type fields []field

type field struct {
	name  string
	value any
}

func (f fields) json() []byte {
	out := []byte{'{'}
	for i, one := range f {
		if i > 0 {
			out = append(out, ',')
		}
		name, _ := json.Marshal(one.name)   //nolint:errchkjson // a string
		value, _ := json.Marshal(one.value) //nolint:errchkjson // a string, a number or null
		out = append(append(append(out, name...), ':'), value...)
	}
	return append(out, '}')
}
