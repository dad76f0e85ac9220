package pleasesign

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/services/sandbox/party"
)

// wire makes PleaseSign's callbacks about its documents.
type wire struct {
	tickets  *party.Tickets
	inbox    *party.Inbox
	provider *party.Provider
}

// DocumentID implements party.Wire.
func (*wire) DocumentID() string { return "PLSDOC" + party.RandomHex(13) }

// RecipientID implements party.Wire.
func (*wire) RecipientID() string { return party.RandomHex(16) }

// Callbacks implements party.Wire. It returns one callback for each change, and one for each e-mail that PleaseSign itself sends because of it.
func (p *wire) Callbacks(happened []party.Change, baseURL string) []party.Callback {
	var all []party.Callback
	for _, h := range happened {
		if name, body := p.body(h, baseURL); name != "" {
			all = append(all, callback(name, body))
		}
		for _, i := range h.Turns {
			if who := h.Doc.Recipients[i]; who.Mailed {
				p.mail(h.Doc, who, baseURL)
				body := aboutRecipient("recipient.sent", h.Doc, who)
				body = append(body, field{"method", "email"}, field{"sent_date", h.At.Unix()})
				all = append(all, callback("recipient.sent", body))
			}
		}
	}
	return all
}

// mail sends PleaseSign's own e-mail with a link. If it bounces, PleaseSign hears of it up to an hour later.
func (p *wire) mail(d party.Document, who party.Recipient, baseURL string) {
	if party.Unreachable(who.Email) {
		return
	}
	ticket := p.tickets.Issue(party.Ticket{Provider: p.provider, Document: d.ID, Recipient: who.ID})
	p.inbox.Receive(party.Message{
		Channel: event.ChannelName(event.Email), To: who.Email, From: mailFrom, Subject: `Please sign "` + d.Title + `"`,
		Text: "Hello " + who.First + ",\n\nPleaseSign asks you to sign \"" + d.Title + "\":\n" + signingURL(baseURL, ticket) + "\n",
	})
}

// mailFrom is the sender of PleaseSign's own e-mails in the sandbox.
const mailFrom = "PleaseSign <no-reply@pleasesign.example>"

// signingURL returns the address of the signing page that a ticket opens.
func signingURL(baseURL, ticket string) string {
	return baseURL + "/pleasesign?e=" + party.RandomHex(6) + "&p=" + ticket
}

func (p *wire) body(h party.Change, baseURL string) (name string, body fields) {
	now := h.At.Unix()
	switch h.Type {
	case party.DocumentSent:
		return "document.created", append(aboutDocument("document.created", h.Doc), field{"processed_date", now})
	case party.DocumentCompleted:
		file := func(kind party.FileKind) string {
			return p.tickets.File(baseURL, p.provider, h.Doc.ID, kind, callbackLink)
		}
		return "document.complete", append(aboutDocument("document.complete", h.Doc), field{"complete_date", now},
			field{"original", file(party.OriginalFile)}, field{"signed", file(party.SignedFile)}, field{"certificate", file(party.CertificateFile)})
	case party.RecipientOpened:
		body := append(aboutRecipient("recipient.opened", h.Doc, h.Who()), field{"method", method(h.Who())})
		return "recipient.opened", append(body, field{"opened_date", now})
	case party.RecipientSigned:
		body := append(aboutRecipient("recipient.complete", h.Doc, h.Who()), field{"method", method(h.Who())})
		return "recipient.complete", append(body, field{"complete_date", now})
	case party.RecipientDeclined:
		return "document.void", append(aboutDocument("document.void", h.Doc),
			field{"recipient_id", h.Who().ID}, field{"void_date", now}, field{"void_reason", h.Doc.Reason})
	case party.RecipientFailed:
		return "recipient.failed", append(aboutRecipient("recipient.failed", h.Doc, h.Who()),
			field{"diag", "smtp;550 5.1.1 RESOLVER.ADR.RecipNotFound; not found"}, field{"message", "bad_mailbox"}, field{"failed_date", now})
	default:
		return "", nil
	}
}

// The times for which addresses of files work.
const (
	callbackLink = 72 * time.Hour
	apiLink      = 24 * time.Hour
)

// method returns the way in which a recipient opens the document: from an e-mail of PleaseSign, or with a link from its API.
func method(who party.Recipient) string {
	if who.Mailed {
		return "email"
	}
	return "api"
}

func aboutDocument(named string, d party.Document) fields {
	return fields{{"id", party.RandomHex(16)}, {"event", named}, {"document_id", d.ID}}
}

func aboutRecipient(named string, d party.Document, who party.Recipient) fields {
	return append(aboutDocument(named, d), field{"recipient_id", who.ID}, field{"first_name", who.First},
		field{"last_name", who.Last}, field{"email", who.Email}, field{"mobile", orNull(who.Mobile)})
}

func callback(named string, body fields) party.Callback {
	return party.Callback{Event: named, Request: pack.Request{
		Method: http.MethodPost, Body: body.json(), ReceivedAt: time.Now(), Header: http.Header{"Content-Type": {"application/json"}},
	}}
}

// fields contains the fields of a JSON object, in order.
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
