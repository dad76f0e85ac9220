package esignv1

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/instant"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/rest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// settled is the time after which a callback of the route all has been sent: ten times its period of 6 minutes. No retries are documented.
const settled = time.Hour

// Reporting implements pack.Reporter.
func (a *api) Reporting() pack.Reporting { return pack.Reporting{AtOnce: 1, Retries: settled} }

// Reports implements pack.Reporter with one call for each document.
func (a *api) Reports(ctx context.Context, ids ...string) ([]pack.Report, error) {
	var all []pack.Report
	for _, id := range ids {
		found, err := a.document(ctx, id)
		if gone := new(pack.NotOpenError); errors.Is(err, pack.ErrNotOurs) || errors.As(rest.OrGone(err), &gone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		report := found.report(a.source, id)
		report.Brief = false // there is no other request
		all = append(all, report)
	}
	return all, nil
}

// The lists in the order in which they are read: the outstanding documents, which the provider recommends for nightly synchronization, and
// all that changed, because the outstanding ones lack those that have ended. A document that ends while the first list is read has changed.
const (
	outstanding = "outstanding"
	changed     = "changed"
)

// pageSize is the number of documents on a page. The provider's default is 20.
const pageSize = 100

// List implements pack.Lister. A cursor is the name of a list and an offset.
func (a *api) List(ctx context.Context, since time.Time, cursor string) (pack.Page, error) {
	list, at, _ := strings.Cut(cursor, " ")
	offset, _ := strconv.Atoi(at) // empty for 0
	query := url.Values{"limit": {strconv.Itoa(pageSize)}, "offset": {strconv.Itoa(offset)}}
	if a.group != "" {
		query.Set("group", a.group)
	}
	if list == changed {
		query.Set("modified_gt", since.UTC().Format("2006-01-02T15:04:05"))
	} else {
		list = outstanding
		query.Set("cache", "1")
	}
	call := rest.Call{Op: "GET documents", Path: "/document/", Query: query, List: true}
	body, err := a.rest.Get(ctx, call)
	if err != nil {
		return pack.Page{}, err
	}
	var found struct {
		Meta    rest.Object[struct{ Next rest.Text }] `json:"meta"`
		Objects rest.List[document]                   `json:"objects"`
	}
	if json.Unmarshal(body, &found) != nil || found.Objects == nil {
		return pack.Page{}, call.Unreadable()
	}
	var page pack.Page
	for i := range found.Objects {
		d := &found.Objects[i]
		id := string(d.UUID)
		if id == "" {
			_, id = resource(string(d.ResourceURI))
		}
		if _, group := resource(string(d.Group)); id == "" || d.Status == "" || a.group != "" && group != "" && group != a.group {
			continue
		}
		page.Reports = append(page.Reports, d.report(a.source, id))
	}
	switch next := found.Meta.Fields.Next; {
	case next != "" && next != "None" && len(found.Objects) > 0:
		page.Next = list + " " + strconv.Itoa(offset+len(found.Objects))
	case list == outstanding:
		page.Next = changed + " 0"
	}
	return page, nil
}

// report returns the facts in the shape of the route all: an event of a signer has no document. The API returns the time of the document's
// creation and, in the detailed response, of its completion. It returns no time of a signature or a decline.
func (d *document) report(source, id string) pack.Report {
	r := pack.Report{Document: id, Status: statusOf[d.Status]}
	begin := func(typ, entity string, status rest.Text, at *timestamppb.Timestamp) *signingv1.SigningEvent {
		return &signingv1.SigningEvent{
			Source: source, Provider: Name, Type: typ, ProviderType: entity + ".status=" + string(status), OccurredAt: at,
			Verification: signingv1.Verification_VERIFICATION_CONFIRMED, Attributes: map[string]string{"name": "status", "value": string(status)},
		}
	}
	by := func() (t time.Time) {
		t, _ = instant.Parse(string(d.Modified)) // zero if it is missing
		return t
	}()
	about := func(typ string, status rest.Text, at *timestamppb.Timestamp) *signingv1.SigningEvent {
		e := begin(typ, "document", status, at)
		e.Document = &signingv1.Document{Id: id, Uri: string(d.ResourceURI), Title: string(d.Name)}
		return e
	}
	if created := moment(d.Created); created != nil {
		e := about(event.DocumentCreated, "10", created)
		e.Id = identify(e, "/api/v1/document/"+id+"/", "status", "10", string(d.Created))
		r.Facts = append(r.Facts, pack.Fact{Event: e, By: created.AsTime()})
	}
	for _, s := range d.people() {
		typ, status := signerStatus[string(s.Status)], s.Status
		if typ == event.RecipientDownloaded { // a person who has fetched the document has signed it before
			typ, status = event.RecipientSigned, "40"
		}
		switch {
		case s.id() == "":
		case typ == event.RecipientSigned, typ == event.RecipientDeclined:
			e := begin(typ, "signer", status, nil)
			e.Recipient = &signingv1.Recipient{Id: s.id(), Uri: "/api/v1/signer/" + s.id() + "/"}
			e.Id = identify(e, e.GetRecipient().GetUri(), "status", string(status), "")
			r.Facts = append(r.Facts, pack.Fact{Event: e, By: by})
		}
		if typ != event.RecipientSigned && s.id() != "" {
			r.Unsigned = append(r.Unsigned, s.id())
		}
	}
	if typ := documentStatus[string(d.Status)]; event.HappensOnce(about(typ, "", nil)) {
		var at *timestamppb.Timestamp
		if typ == event.DocumentCompleted {
			at = moment(d.SignTime)
			r.Brief = at == nil
		}
		e := about(typ, d.Status, at)
		e.Id = identify(e, "")
		r.Facts = append(r.Facts, pack.Fact{Event: e, Exact: true, By: by})
	}
	return r
}

// moment reads a time; nil for none.
func moment(text rest.Text) *timestamppb.Timestamp {
	t, ok := instant.Parse(string(text))
	if !ok {
		return nil
	}
	return timestamppb.New(t)
}
