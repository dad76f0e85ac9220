package esignv1

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/jsonflat"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// normalizeSigned reads the form of a signed document. If json_signed was verified, only its fields count.
func normalizeSigned(form url.Values, stamp *signingv1.SigningEvent) ([]*signingv1.SigningEvent, error) {
	fields, beside, err := signedFields(form, stamp.GetVerification())
	if err != nil {
		return nil, err
	}
	uri, uuid := fields.Take("resource_uri"), fields.PeekID("uuid")
	if isTest(uri) {
		e := begin(stamp)
		e.Type, e.ProviderType = event.EndpointTested, "signed.test"
		e.Id, e.Attributes = identify(e, uri, ""), fields.Attributes()
		return []*signingv1.SigningEvent{e}, nil
	}
	entity, id := resource(uri)
	if entity != "document" || id == "" {
		id = uuid
	}
	if id == "" {
		return nil, &pack.UnreadableError{Reason: "document-missing", Detail: `neither "resource_uri" nor "uuid" names a document`}
	}
	if id == uuid {
		fields.Drop("uuid")
	}
	e := begin(stamp)
	e.Document = &signingv1.Document{Id: id, Uri: uri, Title: fields.Take("name"), Group: fields.Take("group")}
	e.OccurredAt = fields.Time("timestamp")
	stated := reasons(fields)
	e.Type, e.ProviderType = meaning(stated), stated.providerType()
	if entity != "" && entity != "document" {
		e.Type = event.OtherRecorded // it concerns a signer or a group, not the document
	}
	e.Id = identify(e, slices.Concat([]string{"/document/" + id + "/"}, stated, []string{fields.Peek("timestamp")})...)
	e.Attributes = fields.Attributes()
	keepBeside(e, beside)
	return []*signingv1.SigningEvent{e}, nil
}

// signedFields returns the fields that the verification covers, and the other fields.
func signedFields(form url.Values, v signingv1.Verification) (fields, beside *jsonflat.Object, err error) {
	if v != signingv1.Verification_VERIFICATION_RSA {
		fields, err = jsonflat.Form(form)
		return fields, nil, err
	}
	data, there, err := one(form, "json_signed")
	if err != nil {
		return nil, nil, err
	}
	if !there {
		return nil, nil, &pack.UnreadableError{Reason: "data-missing", Detail: `the form has no field "json_signed"`}
	}
	if fields, err = jsonflat.Parse([]byte(data)); err != nil {
		return nil, nil, err
	}
	others := url.Values{}
	for name, values := range form {
		repeated := len(values) == 1 && values[0] == fields.Peek(name)
		if name != "json_signed" && !repeated {
			others[name] = values
		}
	}
	beside, err = jsonflat.Form(others)
	return fields, beside, err
}

// triggers are the fields that name the reason for a call of the signed route, by their names without case and punctuation, or by the last
// words of their names: event, event_code, document_status. Few are documented. If a callback were wrongly read as a completion, signers
// would get a message about it.
var (
	triggers = []string{
		"status", "state", "event", "eventcode", "eventtype", "eventname", "trigger", "action", "notify", "notifywhen", "outcome", "result", "documentstatus", "statuscode",
	}
	triggerSuffixes = []string{"status", "state", "event", "trigger", "action"}
)

// descriptive are the fields that describe the document and may hold any word.
var descriptive = []string{"resourceuri", "uuid", "name", "group", "timestamp", "user"}

var punctuation = strings.NewReplacer("_", "", "-", "", " ", "", ".", "")

// statements lists the reasons for a call of the signed route, as name, text, name, text and so on.
type statements []string

func reasons(fields *jsonflat.Object) statements {
	var all statements
	for name := range fields.Keys() {
		if text := fields.Text(name); strings.TrimSpace(text) != "" && (isTrigger(name) || denies(name, text)) {
			all = append(all, name, text)
		}
	}
	return all
}

func isTrigger(name string) bool {
	name, _, _ = strings.Cut(strings.ToLower(name), "#") // event#2 is a repeated field "event"
	words := strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune("_-. ", r) })
	return slices.Contains(triggers, punctuation.Replace(name)) || len(words) > 0 && slices.Contains(triggerSuffixes, words[len(words)-1])
}

// denies reports whether a field of another name says that the document is not completed: type=rejected, code=50.
func denies(name, text string) bool {
	name, _, _ = strings.Cut(strings.ToLower(name), "#")
	name, text = punctuation.Replace(name), strings.ToLower(strings.TrimSpace(text))
	switch {
	case slices.Contains(descriptive, name), strings.HasPrefix(name, "tag"):
		return false
	case name == "code" || name == "value":
		return denials[text] || documentStatus[text] != "" && documentStatus[text] != event.DocumentCompleted
	default:
		return denials[text]
	}
}

// denials are words for outcomes of a document other than its completion.
var denials = map[string]bool{
	"rejected": true, "declined": true, "refused": true, "voided": true, "void": true, "cancelled": true, "canceled": true, "withdrawn": true, "removed": true,
	"deleted": true, "archived": true, "expired": true, "created": true, "sent": true, "unsent": true, "opened": true, "viewed": true, "visited": true,
	"bounced": true, "failed": true, "error": true, "pending": true, "reminder": true, "test": true,
}

// meaning returns the canonical type of a callback of the signed route. The document is completed if no field names a reason for the call, or
// if the reason is the completion. An unknown reason, or two that disagree, have no canonical type.
func meaning(s statements) string {
	if len(s) == 0 {
		return event.DocumentCompleted
	}
	var found string
	for i := 1; i < len(s); i += 2 {
		if !isTrigger(s[i-1]) {
			return event.OtherRecorded // a field with an unknown name only shows that the document may not be completed
		}
		text := strings.TrimSpace(s[i])
		m := cmp.Or(documentStatus[text], statusByName[strings.ToLower(text)], event.OtherRecorded)
		if found != "" && found != m {
			return event.OtherRecorded
		}
		found = m
	}
	return found
}

// plain matches a text that may be part of a type's name. Another text may be an address.
var plain = regexp.MustCompile(`^[A-Za-z0-9._ -]{1,40}$`)

// providerType returns the route with the values of the callback: "signed.event=rejected". A value that only repeats the route's name is left
// out.
func (s statements) providerType() string {
	var words []string
	for i := 0; i < len(s); i += 2 {
		switch {
		case strings.EqualFold(s[i+1], "signed"):
		case plain.MatchString(s[i+1]):
			words = append(words, s[i]+"="+s[i+1])
		default:
			words = append(words, s[i])
		}
	}
	return strings.Join(append([]string{"signed"}, words...), ".")
}
