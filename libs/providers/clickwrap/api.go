package clickwrap

import (
	"context"
	"net/http"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/rest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

var server = rest.Server{BaseURL: "https://api.pactsafe.com", Version: "/v1.1"}

type api struct {
	rest   *rest.Client
	source string
}

func newAPI(s config.Source, client *http.Client) (pack.API, error) {
	// An access token belongs to a user of the account with read access to requests.
	token := Settings.Of(s).API.Token
	if err := rest.Require(rest.Setting{Key: "token", Value: token}); err != nil {
		return nil, err
	}
	c, err := rest.New(s.API, server, http.Header{"Authorization": {"Bearer " + token}}, client)
	if err != nil {
		return nil, err
	}
	return &api{rest: c, source: s.Name}, nil
}

// Document requests a request and its signers.
func (a *api) Document(ctx context.Context, id string) (*pack.Document, error) {
	found, err := a.request(ctx, id)
	if err != nil {
		return nil, err
	}
	return found.document(id), nil
}

func (a *api) request(ctx context.Context, id string) (*request, error) {
	call := rest.Call{Op: "GET request", Path: "/requests/{id}", ID: id}
	body, err := a.rest.Get(ctx, call)
	if err != nil {
		return nil, err
	}
	found, ok := decode(body)
	if !ok {
		return nil, call.Unreadable()
	}
	return found, nil
}

// Files lists the signed document, at the address in the API's response. A request without such an address may get one later.
func (a *api) Files(completed *signingv1.SigningEvent) []pack.File {
	id := completed.GetDocument().GetId()
	return []pack.File{{Kind: pack.SignedFile, From: []func(context.Context) (*pack.Target, error){func(ctx context.Context) (*pack.Target, error) {
		found, err := a.request(ctx, id)
		if err != nil {
			return nil, rest.OrGone(err)
		}
		address := found.file()
		if !pack.Address(address) {
			return nil, &pack.NotOpenError{Reason: pack.NotYet}
		}
		return &pack.Target{URL: address}, nil
	}}}}
}

// Open requests the signature request again. A person's address is permanent.
func (a *api) Open(ctx context.Context, link pack.Link) (*pack.Target, error) {
	d, err := a.Document(ctx, link.Document)
	if err != nil {
		return nil, rest.OrGone(err)
	}
	for _, r := range d.Recipients {
		if r.ID != link.Recipient {
			continue
		}
		address := r.SigningURL
		if link.Purpose == pack.Download {
			address = r.DownloadURL
		}
		if pack.Address(address) {
			return &pack.Target{URL: address}, nil
		}
	}
	return nil, &pack.NotOpenError{Reason: pack.Gone}
}
