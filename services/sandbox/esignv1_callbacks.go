package sandbox

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

// esign is how the eSignature API v1 tells of its documents: everything that changed in one batch, and a callback of its
// own when a final document exists.
type esign struct{}

func newEsign() *provider {
	p := newProvider(esignName, esign{})
	p.keep(exampleEsign())
	return p
}

func (esign) documentID() string { return newUUID() }
func (esign) personID() string   { return newUUID() }

// newUUID is a random UUID, version 4.
func newUUID() string {
	h := randomHex(16)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}

// esignItem is one change of a batch; all its values are strings.
type esignItem struct {
	Timestamp   string `json:"timestamp"`
	Name        string `json:"name"`
	Value       string `json:"value"`
	ResourceURI string `json:"resource_uri"`
}

// callbacks is one batch of what changed, and one callback for each document that was sealed.
func (e esign) callbacks(happened []change, _ string) []callback {
	var items []esignItem
	var final []callback
	var signs bool
	for _, h := range happened {
		signs = h.paper.source.Webhook.Certificate != ""
		items = append(items, e.items(h)...)
		if h.what == documentSealed {
			final = append(final, sealedCallback(h.paper))
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
	batch := callback{event: "all", request: esignForm("/all", form, nil)}
	return append([]callback{batch}, final...)
}

func (esign) items(h change) []esignItem {
	item := func(uri string, status int) esignItem {
		return esignItem{Timestamp: h.at.Format(esignTime), Name: "status", Value: strconv.Itoa(status), ResourceURI: uri}
	}
	person := func() esignItem { return item(signerURI(h.who().id), esignSignerStatus[h.who().stage]) }
	switch h.what {
	case documentSent:
		items := []esignItem{item(documentURI(h.paper.id), 10)}
		for _, who := range h.paper.people {
			items = append(items, item(signerURI(who.id), 4))
		}
		return items
	case recipientOpened, recipientSigned:
		return []esignItem{person()}
	case recipientDeclined:
		return []esignItem{person(), item(documentURI(h.paper.id), 50)}
	case documentCompleted:
		return []esignItem{item(documentURI(h.paper.id), 30)}
	default:
		return nil
	}
}

// sealedCallback is the callback of a final document. Where the provider signs, it signs a copy of the fields in JSON.
func sealedCallback(p paper) callback {
	form := url.Values{
		"resource_uri": {documentURI(p.id)}, "group": {groupURI(p)}, "name": {p.title}, "uuid": {p.id}, "tag": {""},
	}
	header := http.Header{}
	if p.source.Webhook.Certificate != "" {
		copied := map[string]string{}
		for name := range form {
			copied[name] = form.Get(name)
		}
		data, _ := json.Marshal(copied) //nolint:errchkjson // strings
		form.Set("json_signed", string(data))
		header.Set("X-Signed", signature)
	}
	return callback{event: "signed", request: esignForm("/signed", form, header)}
}

// signature is where the pack puts the signature when it signs a callback.
const signature = "{{signature}}"

func esignForm(door string, form url.Values, header http.Header) pack.Request {
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
	return pack.Request{Method: http.MethodPost, Door: door, Header: header, Body: []byte(body), ReceivedAt: time.Now()}
}
