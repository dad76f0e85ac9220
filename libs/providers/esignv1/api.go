package esignv1

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/rest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

var server = rest.Server{BaseURL: "https://eu-api.legalesign.com", Version: "/api/v1"}

type api struct {
	rest    *rest.Client
	source  string
	group   string // empty for every group
	webhook Webhook
}

// newAPI makes the client. All its paths end in a slash, because the provider accepts no others.
func newAPI(s config.Source, client *http.Client) (pack.API, error) {
	own := Settings.Of(s).API
	if err := rest.Require(rest.Setting{Key: "user", Value: own.User}, rest.Setting{Key: "secret", Value: own.Secret}); err != nil {
		return nil, err
	}
	c, err := rest.New(s.API, server, http.Header{"Authorization": {"ApiKey " + own.User + ":" + own.Secret}}, client)
	if err != nil {
		return nil, err
	}
	_, group := resource(own.Group) // set as "my-group" or as "/api/v1/group/my-group/"
	return &api{rest: c, source: s.Name, group: group, webhook: Settings.Of(s).Webhook}, nil
}

// Document requests a document and its signers. It fails with pack.ErrNotOurs if the settings name another group: the provider sends
// callbacks about every group that the user administers, including trial groups.
func (a *api) Document(ctx context.Context, id string) (*pack.Document, error) {
	found, err := a.document(ctx, id)
	if err != nil {
		return nil, err
	}
	return found.document(id), nil
}

func (a *api) document(ctx context.Context, id string) (*document, error) {
	call := rest.Call{Op: "GET document", Path: "/document/{id}/", ID: id}
	body, err := a.rest.Get(ctx, call)
	if err != nil {
		return nil, err
	}
	found, ok := decode(body)
	if !ok {
		return nil, call.Unreadable()
	}
	if a.group != "" {
		switch _, group := resource(string(found.Group)); group {
		case a.group:
		case "":
			return nil, call.Unreadable()
		default:
			return nil, pack.ErrNotOurs
		}
	}
	return found, nil
}

// DocumentOf requests the document of a signer, which callbacks about signers do not contain.
func (a *api) DocumentOf(ctx context.Context, recipient string) (string, error) {
	call := rest.Call{Op: "GET signer", Path: "/signer/{id}/", ID: recipient}
	body, err := a.rest.Get(ctx, call)
	if err != nil {
		return "", err
	}
	id := decodeDocumentOf(body)
	if !rest.SafeID(id) {
		return "", call.Unreadable()
	}
	return id, nil
}

// Open checks the document's status before it requests a link, and returns a *pack.NotOpenError if there is nothing to open.
func (a *api) Open(ctx context.Context, link pack.Link) (*pack.Target, error) {
	found, err := a.Document(ctx, link.Document)
	switch {
	case errors.Is(err, pack.ErrNotOurs):
		return nil, &pack.NotOpenError{Reason: pack.Gone}
	case err != nil:
		return nil, rest.OrGone(err)
	}
	if err := found.Closed(link); err != nil {
		return nil, err
	}
	if link.Purpose == pack.Download {
		return a.pdf(ctx, link.Document)
	}
	return a.newLink(ctx, link.Recipient)
}

// newLink requests a link that opens once. The response is a 201 with an empty body and the link in Location.
func (a *api) newLink(ctx context.Context, signer string) (*pack.Target, error) {
	call := rest.Call{Op: "GET new-link", Path: "/signer/{id}/new-link/", ID: signer}
	response, err := a.rest.Do(ctx, call)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusCreated && response.StatusCode != http.StatusOK {
		return nil, call.Refused(response)
	}
	address := response.Header.Get("Location")
	if address == "" {
		body, err := call.Body(ctx, response)
		if err != nil {
			return nil, err
		}
		address = rest.URLIn(body)
	}
	if !pack.Address(address) {
		return nil, call.Unreadable()
	}
	return &pack.Target{URL: address}, nil
}

// Files lists the signed document, the only file that the API has.
func (a *api) Files(completed *signingv1.SigningEvent) []pack.File {
	id := completed.GetDocument().GetId()
	return []pack.File{{Kind: pack.SignedFile, From: []func(context.Context) (*pack.Target, error){func(ctx context.Context) (*pack.Target, error) {
		found, err := a.Document(ctx, id)
		if err != nil {
			return nil, rest.OrGone(err)
		}
		if err := found.Unfinished(); err != nil {
			return nil, err
		}
		return a.pdf(ctx, id)
	}}}}
}

// unarchiving is the time that the provider needs to restore a document from its archive.
const unarchiving = 4 * time.Hour

// The types of a document. A page of HTML with status 200 is a proxy's, or a login.
var documentTypes = map[string]bool{"application/pdf": true, "application/octet-stream": true}

// pdf requests the finished document. The response is the document, a redirect to it, or the notice that it is being restored from the archive.
func (a *api) pdf(ctx context.Context, id string) (*pack.Target, error) {
	call := rest.Call{Op: "GET pdf", Path: "/pdf/{id}/", ID: id}
	response, err := a.rest.Do(ctx, call)
	if err != nil {
		return nil, err
	}
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")) // empty for an invalid header
	if response.StatusCode == http.StatusOK && documentTypes[media] {
		return &pack.Target{Body: response.Body, ContentType: media, Size: response.ContentLength}, nil
	}
	defer func() { _ = response.Body.Close() }()
	switch response.StatusCode {
	case http.StatusOK:
		return nil, call.Unreadable()
	case http.StatusCreated:
		return nil, &pack.NotOpenError{Reason: pack.NotYet, In: unarchiving, Archived: true}
	case http.StatusFound:
		address := response.Header.Get("Location")
		if !pack.Address(address) {
			return nil, call.Unreadable()
		}
		return &pack.Target{URL: address}, nil
	default:
		return nil, call.Refused(response)
	}
}
