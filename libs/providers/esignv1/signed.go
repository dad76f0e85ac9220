package esignv1

import (
	"net/url"
	"strings"

	"github.com/signrelay/signrelay/libs/providers/jsonflat"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// normalizeSigned reads the form of a signed document. Where json_signed was verified, it alone tells.
func normalizeSigned(form url.Values, stamp *signingv1.SigningEvent) ([]*signingv1.SigningEvent, error) {
	fields, beside, err := signedFields(form, stamp.GetVerification())
	if err != nil {
		return nil, err
	}
	uri, uuid := fields.Take("resource_uri"), fields.Peek("uuid")
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
	e.OccurredAt = occurredAt(fields.Peek("timestamp"))
	var name, value string
	e.Type, e.ProviderType, name, value = signedMeaning(fields)
	e.Id = identify(e, "/document/"+id+"/", name, value, fields.Peek("timestamp"))
	e.Attributes = fields.Attributes()
	keepBeside(e, beside)
	return []*signingv1.SigningEvent{e}, nil
}

// signedFields are the fields that the verification vouches for, and those that merely came beside them.
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

// signedMeaning is what a callback of the signed door means: the document is completed, unless a field says otherwise
// in so many words. A word that we do not know does not.
func signedMeaning(fields *jsonflat.Object) (canonical, providerType, name, value string) {
	for _, name := range []string{"status", "event"} {
		value := fields.Peek(name)
		canonical := documentStatus[value]
		if canonical == "" {
			canonical = wordStatus[strings.ToLower(value)]
		}
		if canonical != "" {
			return canonical, "signed." + name + "=" + value, name, value
		}
	}
	return "document.completed", "signed", "status", "30"
}
