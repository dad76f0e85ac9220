package esignv1

import (
	"fmt"
	"maps"
	"net/url"
	"strconv"

	"github.com/signrelay/signrelay/libs/providers/jsonflat"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// normalizeAll reads the field data: a JSON array of {timestamp, name, value, resource_uri}.
func normalizeAll(form url.Values, stamp *signingv1.SigningEvent) ([]*signingv1.SigningEvent, error) {
	data, there, err := one(form, "data")
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, &pack.UnreadableError{Reason: "data-missing", Detail: `the form has no field "data"`}
	}
	items, err := jsonflat.ParseList([]byte(data))
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, pack.ErrNothing // six minutes in which nothing changed
	}
	events := make([]*signingv1.SigningEvent, 0, len(items))
	seen := make(map[string]bool, len(items))
	others := maps.Clone(form)
	delete(others, "data")
	delete(others, "signed")
	beside, err := jsonflat.Form(others)
	if err != nil {
		return nil, err
	}

	for i, item := range items {
		uri := item.Peek("resource_uri")
		if uri == "" {
			return nil, &pack.UnreadableError{Reason: "resource-missing", Detail: fmt.Sprintf(`item %d: field "resource_uri" is missing, empty or no string`, i)}
		}
		// The same fact twice in one batch is one event.
		if e := change(item, uri, begin(stamp)); !seen[e.GetId()] {
			seen[e.GetId()] = true
			events = append(events, e)
		}
	}
	keepBeside(events[0], beside)
	return events, nil
}

// change is one item: a field of a signer or of a document has a new value.
func change(item *jsonflat.Object, uri string, e *signingv1.SigningEvent) *signingv1.SigningEvent {
	name, value, timestamp := item.Peek("name"), item.Peek("value"), item.Peek("timestamp")
	e.OccurredAt = occurredAt(timestamp)
	e.Type = recorded

	entity, id := resource(uri)
	e.ProviderType = entity + "." + name
	if _, err := strconv.ParseUint(value, 10, 32); name == "status" && err == nil {
		// Codes only: the value of another name may be an address.
		e.ProviderType += "=" + value
	}
	switch {
	case id == "": // "/api/v1/signer//"
	case entity == "document":
		e.Document = &signingv1.Document{Id: id, Uri: uri}
		if t := documentStatus[value]; name == "status" && t != "" {
			e.Type = t
		}
	case entity == "signer":
		e.Recipient = &signingv1.Recipient{Id: id, Uri: uri}
		if t := signerStatus[value]; name == "status" && t != "" {
			e.Type = t
		}
	}
	if e.GetDocument() != nil || e.GetRecipient() != nil {
		item.Drop("resource_uri") // it is in its place
	}
	e.Id = identify(e, uri, name, value, timestamp)
	e.Attributes = item.Attributes()
	return e
}
