package esignv1

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/rest"
)

// notifyWhen maps the numbers in the list of registrations to the words with which they are made.
var notifyWhen = map[int]string{1: "all", 2: "signed", 3: "sent", 4: "rejected", 10: "realtime"}

// Wanted implements pack.Registry: the routes "all" and "signed", with the last token of the settings.
func (a *api) Wanted(address string) []pack.Registration {
	var query string
	var key pack.Key
	if tokens := a.webhook.tokens(); len(tokens) > 0 {
		last := len(tokens) - 1
		query, key = "?"+url.Values{"token": {tokens[last]}}.Encode(), pack.TokenKey("webhook.token", last)
	}
	return []pack.Registration{
		{Sends: "all", URL: address + routeAll + query, Key: key},
		{Sends: "signed", URL: address + routeSigned + query, Key: key},
	}
}

// Registered implements pack.Registry.
func (a *api) Registered(ctx context.Context) ([]pack.Registration, error) {
	call := rest.Call{Op: "GET notifications", Path: "/notifications/", List: true}
	body, err := a.rest.Get(ctx, call)
	if err != nil {
		return nil, err
	}
	var list []struct {
		Active *bool  `json:"active"`
		When   int    `json:"notify_when"`
		URL    string `json:"url"`
	}
	if json.Unmarshal(body, &list) != nil {
		var page struct{ Objects json.RawMessage }
		if json.Unmarshal(body, &page) != nil || json.Unmarshal(page.Objects, &list) != nil { // as the API writes its other lists
			return nil, call.Unreadable()
		}
	}
	all := []pack.Registration{}
	for _, one := range list {
		if one.Active == nil || *one.Active {
			all = append(all, pack.Registration{Sends: notifyWhen[one.When], URL: one.URL})
		}
	}
	return all, nil
}

// Register implements pack.Registry.
func (a *api) Register(ctx context.Context, wanted pack.Registration) error {
	return a.post(ctx, "subscribe", map[string]string{"url": wanted.URL, "notify": wanted.Sends})
}

// Unregister implements pack.Registry. It removes all registrations with this URL.
func (a *api) Unregister(ctx context.Context, had pack.Registration) error {
	return a.post(ctx, "unsubscribe", map[string]string{"url": had.URL})
}

func (a *api) post(ctx context.Context, what string, fields map[string]string) error {
	body, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	_, err = a.rest.Change(ctx, rest.Change{Op: "POST " + what, Method: http.MethodPost, Path: "/" + what + "/", Body: body})
	return err
}

// testURI is the beginning of the resource of a test. The provider has no test of its own.
const testURI = "/signrelay/test/"

// isTest reports whether a resource is that of a test.
func isTest(uri string) bool { return strings.HasPrefix(uri, testURI) }

// test makes a batch with one item, and a callback of the route "signed". With a certificate, the batch needs the provider's key.
func test(src config.Source, at pack.Test) ([]pack.Request, error) {
	own := Settings.Of(src).Webhook
	query := url.Values{}
	tokens := own.tokens()
	if len(tokens) > 0 {
		query.Set("token", tokens[len(tokens)-1])
	}
	uri := testURI + at.ID + "/"
	var requests []pack.Request
	add := func(route string, form url.Values) {
		requests = append(requests, pack.Request{
			Method: http.MethodPost, Route: route, Query: query, RawQuery: query.Encode(), Body: []byte(form.Encode()), ReceivedAt: at.Now,
			Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		})
	}
	data, err := json.Marshal([]map[string]string{{"name": "test", "value": at.ID, "resource_uri": uri, "timestamp": at.Now.UTC().Format("2006-01-02T15:04:05")}})
	if err != nil {
		return nil, err
	}
	form := url.Values{"data": {string(data)}}
	if own.Certificate != "" && at.Key != nil {
		signature, err := Sign(at.Key, data, digests[own.Digest])
		if err != nil {
			return nil, err
		}
		form.Set("signed", signature)
	}
	if own.Certificate == "" || at.Key != nil {
		add(routeAll, form)
	}
	if len(tokens) > 0 || own.AllowUnverified {
		add(routeSigned, url.Values{"resource_uri": {uri}, "event": {"test"}})
	}
	if requests == nil {
		return nil, pack.ErrOnlyProviderSigns
	}
	return requests, nil
}
