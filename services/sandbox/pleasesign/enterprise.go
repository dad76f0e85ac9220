package pleasesign

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"

	"github.com/signrelay/signrelay/services/sandbox/party"
)

// putEnterprise serves PUT /enterprise: the address for callbacks, and the key that signs them. A missing field changes nothing, an empty one removes
// the value.
func (p pleasesign) putEnterprise(w http.ResponseWriter, r *http.Request) {
	source, _ := p.source(r) // the caller has checked it
	var wanted struct {
		Endpoint *string `json:"endpoint"`
		Key      *string `json:"webhook_token"`
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil || json.Unmarshal(body, &wanted) != nil {
		writeError(w, http.StatusBadRequest)
		return
	}
	var is party.Registered
	if all := p.Callbacks.Registrations(name, source); len(all) > 0 {
		is = all[0]
	}
	if wanted.Endpoint != nil {
		u, err := url.Parse(*wanted.Endpoint)
		if *wanted.Endpoint != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
			party.WriteJSON(w, http.StatusBadRequest, problem{"Invalid endpoint address."})
			return
		}
		is.URL = *wanted.Endpoint
	}
	if wanted.Key != nil {
		is.Secret = *wanted.Key
	}
	p.Callbacks.Unregister(name, source, func(party.Registered) bool { return true })
	if is.URL != "" {
		p.Callbacks.Register(name, source, is)
	}
	w.WriteHeader(http.StatusNoContent)
}
