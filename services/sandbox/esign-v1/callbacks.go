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

// wire makes the callbacks of the eSignature API v1: one batch with all changes, and a separate callback for each final document.
type wire struct{}

// DocumentID implements party.Wire.
func (wire) DocumentID() string { return newUUID() }

// RecipientID implements party.Wire.
func (wire) RecipientID() string { return newUUID() }

// newUUID returns a random UUID, version 4.
func newUUID() string {
	h := party.RandomHex(16)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}

// statusChange is one change in a batch. All its values are strings.
type statusChange struct {
	Timestamp   string `json:"timestamp"`
	Name        string `json:"name"`
	Value       string `json:"value"`
	ResourceURI string `json:"resource_uri"`
}

// Callbacks implements party.Wire. It returns one batch of changes, and one callback for each sealed document.
func (e wire) Callbacks(happened []party.Change, _ string) []party.Callback {
	var items []statusChange
	var final []party.Callback
	var signs bool
	for _, h := range happened {
		signs = h.Doc.Source.Text("webhook.certificate") != ""
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

// sealedCallback returns the callback for a final document. If the provider signs, it signs a copy of the fields in JSON.
func sealedCallback(d party.Document) party.Callback {
	form := url.Values{
		"resource_uri": {documentURI(d.ID)}, "group": {groupURI(d)}, "name": {d.Title}, "uuid": {d.ID}, "tag": {""},
	}
	header := http.Header{}
	if d.Source.Text("webhook.certificate") != "" {
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

// signature is the placeholder that the pack replaces with the signature.
const signature = "{{signature}}"

func formRequest(route string, form url.Values, header http.Header) pack.Request {
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	// The pack searches for the placeholder in its unescaped form, as in a recording.
	body := form.Encode()
	if form.Has("signed") {
		form.Del("signed")
		body = form.Encode() + "&signed=" + signature
	}
	return pack.Request{Method: http.MethodPost, Route: route, Header: header, Body: []byte(body), ReceivedAt: time.Now()}
}
