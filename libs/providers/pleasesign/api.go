package pleasesign

import (
	"context"
	"net/http"
	"slices"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/oauth"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/rest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The European twin is https://public.pleasesign.eu.
var server = rest.Server{BaseURL: "https://public.pleasesign.com.au"}

type api struct {
	rest   *rest.Client
	source string
	keys   []string // that sign callbacks
}

func newAPI(s config.Source, client *http.Client) (pack.API, error) {
	own, credentials := Settings.Of(s).API, http.Header{}
	if _, signedIn := application(s); !signedIn {
		if err := rest.Require(rest.Setting{Key: "key", Value: own.Key}, rest.Setting{Key: "secret", Value: own.Secret}); err != nil {
			return nil, err
		}
		credentials = http.Header{"X-Pleasesign-Key": {own.Key}, "X-Pleasesign-Secret": {own.Secret}}
	}
	c, err := rest.New(s.API, server, credentials, client)
	if err != nil {
		return nil, err
	}
	return &api{rest: c, source: s.Name, keys: Settings.Of(s).Webhook.Secrets}, nil
}

// application returns the application that signs in in place of the two keys.
func application(s config.Source) (oauth.Application, bool) {
	own := Settings.Of(s).API.OAuth
	return oauth.Application{
		ClientID: own.ClientID, ClientSecret: own.ClientSecret, Scopes: []string{"business"},
		AuthorizeURL: own.BaseURL + "/oauth/authorize", TokenURL: own.BaseURL + "/oauth/token",
	}, own.ClientID != ""
}

// Document requests a document and its recipients.
func (a *api) Document(ctx context.Context, id string) (*pack.Document, error) {
	found, err := a.document(ctx, id)
	if err != nil {
		return nil, err
	}
	return found.document(id), nil
}

func (a *api) document(ctx context.Context, id string) (*document, error) {
	call := rest.Call{Op: "GET document", Path: "/document/{id}", ID: id}
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

// Open checks the document's status before it requests an address. PleaseSign returns a signing address too early, and such an address opens an
// error page; it also returns the finished document's address before the document is finished.
func (a *api) Open(ctx context.Context, link pack.Link) (*pack.Target, error) {
	found, err := a.document(ctx, link.Document)
	if err != nil {
		return nil, rest.OrGone(err)
	}
	if err := found.document(link.Document).Closed(link); err != nil {
		return nil, err
	}
	if link.Purpose == pack.Download {
		return a.address(ctx, rest.Call{Op: "GET master", Path: "/document/{id}/master", ID: link.Document})
	}
	if reason := found.unsignable(link.Recipient); reason != "" {
		return nil, &pack.NotOpenError{Reason: reason}
	}
	return a.address(ctx, rest.Call{Op: "GET signingurl", Path: "/recipient/{id}/signingurl", ID: link.Recipient})
}

// address requests an address, which is a secret and works for a day at most.
func (a *api) address(ctx context.Context, call rest.Call) (*pack.Target, error) {
	body, err := a.rest.Get(ctx, call)
	if err != nil {
		return nil, err
	}
	address := rest.URLIn(body)
	if !pack.Address(address) {
		return nil, call.Unreadable()
	}
	return &pack.Target{URL: address}, nil
}

// Files lists the original, the signed document and, if the callback has its address, the certificate, for which the API has no call. The
// addresses of a callback work for three days without a call; then the API returns new ones, which work for one.
func (a *api) Files(completed *signingv1.SigningEvent) []pack.File {
	id := completed.GetDocument().GetId()
	files := []pack.File{
		{Kind: pack.OriginalFile, From: []func(context.Context) (*pack.Target, error){a.finished(id, "original")}},
		{Kind: pack.SignedFile, From: []func(context.Context) (*pack.Target, error){a.finished(id, "master")}},
		{Kind: pack.CertificateFile},
	}
	for i := range files {
		for _, l := range completed.GetLinks() {
			if l.GetKind() == string(files[i].Kind) && pack.Address(l.GetUrl()) {
				files[i].From = slices.Insert(files[i].From, 0, pack.At(l.GetUrl()))
			}
		}
	}
	return slices.DeleteFunc(files, func(f pack.File) bool { return len(f.From) == 0 })
}

// finished returns the way to the address of a file of a complete document. PleaseSign also returns addresses before it is complete.
func (a *api) finished(id, file string) func(context.Context) (*pack.Target, error) {
	return func(ctx context.Context) (*pack.Target, error) {
		found, err := a.document(ctx, id)
		if err != nil {
			return nil, rest.OrGone(err)
		}
		if err := found.document(id).Unfinished(); err != nil {
			return nil, err
		}
		return a.address(ctx, rest.Call{Op: "GET " + file, Path: "/document/{id}/" + file, ID: id})
	}
}
