package esignv1

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/jsonflat"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// batch returns the field data: a JSON array of {timestamp, name, value, resource_uri}; and the fields outside it, which no signature covers.
func batch(r pack.Request) (data string, beside url.Values, err error) {
	form, err := readForm(r)
	if err != nil {
		return "", nil, err
	}
	data, there, err := one(form, "data")
	if err == nil && !there {
		err = &pack.UnreadableError{Reason: "data-missing", Detail: `the form has no field "data"`}
	}
	delete(form, "data")
	delete(form, "signed")
	return data, form, err
}

// Items implements pack.Batches.
func (w *webhook) Items(r pack.Request) ([]pack.Request, error) {
	if r.Route != routeAll || r.Item != nil {
		return nil, nil
	}
	data, beside, err := batch(r)
	if err != nil {
		return nil, err
	}
	texts, err := jsonflat.Items([]byte(data))
	if err != nil {
		return nil, err
	}
	if len(texts) == 0 {
		return nil, pack.ErrNothing // nothing changed in the last six minutes
	}
	if _, err := jsonflat.Form(beside); err != nil {
		return nil, err
	}
	items := make([]pack.Request, len(texts))
	for i, text := range texts {
		items[i] = r
		items[i].Body, items[i].Item = text, &i
	}
	items[0].Beside = beside
	return items, nil
}

// Holds implements pack.Batches.
func (w *webhook) Holds(r, item pack.Request) bool {
	data, _, err := batch(r)
	return err == nil && strings.Contains(data, string(item.Body))
}

func (w *webhook) normalizeAll(r pack.Request, stamp *signingv1.SigningEvent) ([]*signingv1.SigningEvent, error) {
	items, err := w.Items(r)
	if err != nil {
		return nil, err
	}
	events := make([]*signingv1.SigningEvent, 0, len(items))
	for i, item := range items {
		found, err := normalizeItem(item, stamp)
		if u := new(pack.UnreadableError); errors.As(err, &u) {
			return nil, &pack.UnreadableError{Reason: u.Reason, Detail: fmt.Sprintf("item %d: %s", i, u.Detail)}
		}
		events = append(events, found[0])
	}
	return pack.Distinct(events), nil
}

// normalizeItem reads one item of a batch. Its only errors are *pack.UnreadableErrors.
func normalizeItem(r pack.Request, stamp *signingv1.SigningEvent) ([]*signingv1.SigningEvent, error) {
	item, err := jsonflat.Parse(r.Body)
	if err != nil {
		return nil, err
	}
	uri := item.Peek("resource_uri")
	if uri == "" {
		return nil, &pack.UnreadableError{Reason: "resource-missing", Detail: `field "resource_uri" is missing, empty or no string`}
	}
	beside, err := jsonflat.Form(r.Beside)
	if err != nil {
		return nil, err
	}
	e := change(item, uri, begin(stamp))
	keepBeside(e, beside)
	return []*signingv1.SigningEvent{e}, nil
}

// change completes the event of one item: a field of a signer or of a document has a new value.
func change(item *jsonflat.Object, uri string, e *signingv1.SigningEvent) *signingv1.SigningEvent {
	name, value, timestamp := item.Peek("name"), item.Peek("value"), item.Peek("timestamp")
	e.OccurredAt = item.Time("timestamp")
	e.Type = event.OtherRecorded

	entity, id := resource(uri)
	e.ProviderType = entity + "." + name
	if _, err := strconv.ParseUint(value, 10, 32); name == "status" && err == nil {
		// Codes only: the value of another name may be an address.
		e.ProviderType += "=" + value
	}
	switch {
	case isTest(uri):
		e.Type, e.ProviderType = event.EndpointTested, "test"
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
		item.Drop("resource_uri") // stored in a canonical field
	}
	e.Id = identify(e, uri, name, value, timestamp)
	e.Attributes = item.Attributes()
	return e
}
