package esignv1

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"

	"github.com/signrelay/signrelay/services/sandbox/party"
)

// notifyWhen has the numbers in the list of registrations, by the words with which they are made.
var notifyWhen = map[string]int{"all": 1, "signed": 2, "sent": 3, "rejected": 4, "realtime": 10}

// notification is one registration in the list.
type notification struct {
	Active  bool   `json:"active"`
	When    int    `json:"notify_when"`
	URL     string `json:"url"`
	GroupID any    `json:"group_id"`
}

// getNotifications serves GET /api/v1/notifications/.
func (e esign) getNotifications(w http.ResponseWriter, r *http.Request) {
	source, _ := e.source(r) // the caller has checked it
	all := []notification{}
	for _, one := range e.Callbacks.Registrations(name, source) {
		all = append(all, notification{Active: true, When: notifyWhen[one.Sends], URL: one.URL})
	}
	party.WriteJSON(w, http.StatusOK, all)
}

type subscription struct {
	URL    string `json:"url"`
	Notify string `json:"notify"`
}

// readSubscription reads a request with a valid URL.
func readSubscription(r *http.Request) (s subscription, ok bool) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil || json.Unmarshal(body, &s) != nil {
		return s, false
	}
	u, err := url.Parse(s.URL)
	return s, err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// postSubscribe serves POST /api/v1/subscribe/.
func (e esign) postSubscribe(w http.ResponseWriter, r *http.Request) {
	source, _ := e.source(r) // the caller has checked it
	wanted, ok := readSubscription(r)
	switch {
	case !ok:
		party.WriteJSON(w, http.StatusBadRequest, map[string]string{"error": "url is not valid"})
	case notifyWhen[wanted.Notify] == 0:
		party.WriteJSON(w, http.StatusBadRequest, map[string]string{"error": "notify is not valid"})
	default:
		e.Callbacks.Register(name, source, party.Registered{Sends: wanted.Notify, URL: wanted.URL})
		w.WriteHeader(http.StatusCreated)
	}
}

// postUnsubscribe serves POST /api/v1/unsubscribe/. The response is the same if the URL is not registered.
func (e esign) postUnsubscribe(w http.ResponseWriter, r *http.Request) {
	source, _ := e.source(r) // the caller has checked it
	unwanted, ok := readSubscription(r)
	if !ok {
		party.WriteJSON(w, http.StatusBadRequest, map[string]string{"error": "url is not valid"})
		return
	}
	e.Callbacks.Unregister(name, source, func(one party.Registered) bool { return one.URL == unwanted.URL })
	w.WriteHeader(http.StatusOK)
}
