package pleasesign

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/rest"
)

// Wanted implements pack.Registry. An account has one address.
func (a *api) Wanted(address string) []pack.Registration {
	wanted := pack.Registration{URL: address}
	if last := len(a.keys) - 1; last >= 0 {
		wanted.Key = pack.HMACKey("webhook.secrets", last, a.keys[last])
	}
	return []pack.Registration{wanted}
}

// Registered implements pack.Registry. PleaseSign documents no call that returns the address.
func (*api) Registered(context.Context) ([]pack.Registration, error) { return nil, pack.ErrUntold }

// Register sets the account's address, and the key that signs the callbacks to it: the last one of the settings.
func (a *api) Register(ctx context.Context, wanted pack.Registration) error {
	if len(a.keys) == 0 {
		return errors.New("webhook.secrets is empty: PleaseSign needs a verification key")
	}
	return a.put(ctx, wanted.URL, a.keys[len(a.keys)-1])
}

// Unregister removes the account's address and key.
func (a *api) Unregister(ctx context.Context, _ pack.Registration) error { return a.put(ctx, "", "") }

func (a *api) put(ctx context.Context, address, key string) error {
	body, err := json.Marshal(struct {
		Endpoint string `json:"endpoint"`
		Key      string `json:"webhook_token"`
	}{address, key})
	if err != nil {
		return err
	}
	_, err = a.rest.Change(ctx, rest.Change{Op: "PUT enterprise", Method: http.MethodPut, Path: "/enterprise", Body: body})
	return err
}

// test makes PleaseSign's test callback.
func test(src config.Source, at pack.Test) ([]pack.Request, error) {
	keys := Settings.Of(src).Webhook.Secrets
	if len(keys) == 0 {
		return nil, errors.New("webhook.secrets: no key to sign with")
	}
	body, err := json.Marshal(map[string]any{"event": "test", "id": at.ID, "created_date": at.Now.Unix()})
	if err != nil {
		return nil, err
	}
	return []pack.Request{{
		Method: http.MethodPost, Body: body, ReceivedAt: at.Now,
		Header: http.Header{"Content-Type": {"application/json"}, signatureHeader: {Sign(keys[len(keys)-1], body)}},
	}}, nil
}
