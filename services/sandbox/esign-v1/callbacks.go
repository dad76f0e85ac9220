package esignv1

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/services/sandbox/party"
)

// wire is how the eSignature API v1 reports what happened to its documents: everything that changed in one batch, and a callback of
// its own when a final document exists.
type wire struct{}

// DocumentID implements party.Wire.
func (wire) DocumentID() string { return newUUID() }

// RecipientID implements party.Wire.
func (wire) RecipientID() string { return newUUID() }

// newUUID is a random UUID, version 4.
func newUUID() string {
	h := party.RandomHex(16)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}

// statusChange is one change of a batch; all its values are strings.
type statusChange struct {
	Timestamp   string `json:"timestamp"`
	Name        string `json:"name"`
	Value       string `json:"value"`
	ResourceURI string `json:"resource_uri"`
}

// Callbacks implements party.Wire. It is one batch of what changed, and one callback for each document that was sealed.
func (e wire) Callbacks(happened []party.Change, _ string) []party.Callback {
	var items []statusChange
	var final []party.Callback
	var signs bool
	for _, h := range happened {
		signs = h.Doc.Source.Webhook.Certificate != ""
		items = append(items, e.items(h)...)
		if h.Type == party.DocumentSealed {
			final = append(final, sealedCallback(h.Doc))
		}
	}
	if len(items) == 0 {
		return final
	}
	data, _ := json.Marshal(items) //nolint:errchkjson // strings
	form := url.Values{"data": {string(data)}}
	if signs {
		form.Set("signed", signature)
	}
	batch := party.Callback{Event: "all", Request: formRequest("/all", form, nil)}
	return append([]party.Callback{batch}, final...)
}

func (wire) items(h party.Change) []statusChange {
	item := func(uri string, status int) statusChange {
		return statusChange{Timestamp: h.At.Format(timeFormat), Name: "status", Value: strconv.Itoa(status), ResourceURI: uri}
	}
	person := func() statusChange { return item(signerURI(h.Who().ID), signerStatus[h.Who().Stage]) }
	switch h.Type {
	case party.DocumentSent:
		items := []statusChange{item(documentURI(h.Doc.ID), 10)}
		for _, who := range h.Doc.Recipients {
			items = append(items, item(signerURI(who.ID), 4))
		}
		return items
	case party.RecipientOpened, party.RecipientSigned:
		return []statusChange{person()}
	case party.RecipientDeclined:
		return []statusChange{person(), item(documentURI(h.Doc.ID), 50)}
	case party.DocumentCompleted:
		return []statusChange{item(documentURI(h.Doc.ID), 30)}
	default:
		return nil
	}
}

// sealedCallback is the callback of a final document. Where the provider signs, it signs a copy of the fields in JSON.
func sealedCallback(d party.Document) party.Callback {
	form := url.Values{
		"resource_uri": {documentURI(d.ID)}, "group": {groupURI(d)}, "name": {d.Title}, "uuid": {d.ID}, "tag": {""},
	}
	header := http.Header{}
	if d.Source.Webhook.Certificate != "" {
		copied := map[string]string{}
		for name := range form {
			copied[name] = form.Get(name)
		}
		data, _ := json.Marshal(copied) //nolint:errchkjson // strings
		form.Set("json_signed", string(data))
		header.Set("X-Signed", signature)
	}
	return party.Callback{Event: "signed", Request: formRequest("/signed", form, header)}
}

// signature is where the pack puts the signature when it signs a callback.
const signature = "{{signature}}"

func formRequest(door string, form url.Values, header http.Header) pack.Request {
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	// The pack looks for its place as it is written in a recording, not escaped.
	body := form.Encode()
	if form.Has("signed") {
		form.Del("signed")
		body = form.Encode() + "&signed=" + signature
	}
	return pack.Request{Method: http.MethodPost, Route: door, Header: header, Body: []byte(body), ReceivedAt: time.Now()}
}
