package pleasesign

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/instant"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/rest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Reporting implements pack.Reporter. All of its facts have the ids of callbacks, so no fact waits for the retries.
func (a *api) Reporting() pack.Reporting { return pack.Reporting{AtOnce: 50, Retries: linkLife} }

// Reports implements pack.Reporter with one call.
func (a *api) Reports(ctx context.Context, ids ...string) ([]pack.Report, error) {
	call := rest.Call{Op: "GET documents by id", Path: "/documents", Query: url.Values{"ids": {strings.Join(ids, ",")}}, List: true}
	body, err := a.rest.Get(ctx, call)
	if err != nil {
		return nil, err
	}
	var found rest.List[document]
	if json.Unmarshal(body, &found) != nil || found == nil {
		return nil, call.Unreadable()
	}
	return a.reports(found), nil
}

// The lists in the order in which they are read. A document that leaves a list while it is read is on a later one: sent documents become
// complete or void, and no others return.
var lists = []string{"sent", complete, void}

// version is the header that selects lists with pages.
var version = http.Header{"Accept-Version": {"v2"}}

// List implements pack.Lister. A cursor is the name of a list and the provider's pointer to a page. Open documents have no time of change, so
// all of them are read. The ended ones are sorted by their end, the latest first, and are read until one ended before since.
func (a *api) List(ctx context.Context, since time.Time, cursor string) (pack.Page, error) {
	list, next, _ := strings.Cut(cursor, " ")
	if list == "" {
		list = lists[0]
	}
	query := url.Values{"status": {list}, "order": {list}, "order_direction": {"desc"}}
	if next != "" {
		query = url.Values{"next": {next}} // the provider then ignores the others
	}
	call := rest.Call{Op: "GET documents", Path: "/documents", Query: query, Header: version, List: true}
	body, err := a.rest.Get(ctx, call)
	if err != nil {
		return pack.Page{}, err
	}
	var found struct {
		Data rest.List[document] `json:"data"`
		Next rest.Text           `json:"next"`
	}
	if json.Unmarshal(body, &found) != nil || found.Data == nil {
		return pack.Page{}, call.Unreadable()
	}
	page := pack.Page{Reports: a.reports(found.Data)}
	early := false
	for _, d := range found.Data {
		ended := moment(d.CompleteDate)
		if list == void {
			ended = moment(d.VoidDate)
		}
		early = early || list != lists[0] && ended != nil && ended.AsTime().Before(since)
	}
	switch after := following(list); {
	case found.Next != "" && len(found.Data) > 0 && !early:
		page.Next = list + " " + string(found.Next)
	case after != "":
		page.Next = after + " "
	}
	return page, nil
}

func following(list string) string {
	for i, name := range lists[:len(lists)-1] {
		if name == list {
			return lists[i+1]
		}
	}
	return ""
}

func (a *api) reports(found []document) []pack.Report {
	var all []pack.Report
	for i := range found {
		if d := &found[i]; d.ID != "" && d.Recipients != nil && d.Status != "" {
			all = append(all, d.report(a.source))
		}
	}
	return all
}

// report returns the facts with the ids of callbacks. The API does not return when a recipient was sent or opened the document, nor the ids of
// these events, so there is no fact of these types.
func (d *document) report(source string) pack.Report {
	r := pack.Report{Document: string(d.ID), Status: d.status()}
	add := func(typ string, at rest.Text, who *signingv1.Recipient) *signingv1.SigningEvent {
		e := &signingv1.SigningEvent{
			Source: source, Provider: Name, Type: typ, ProviderType: nameOf(typ), OccurredAt: moment(at), Recipient: who,
			Document:     &signingv1.Document{Id: string(d.ID), Title: string(d.Title)},
			Verification: signingv1.Verification_VERIFICATION_CONFIRMED,
		}
		e.Id = identify(e)
		r.Facts = append(r.Facts, pack.Fact{Event: e, Exact: true})
		return e
	}
	if d.Status != building && d.Status != "pending" {
		add(event.DocumentSent, d.SentDate, nil)
	}
	var declined *signingv1.Recipient
	for _, p := range d.Recipients {
		switch {
		case p.ID == "":
		case p.Status == complete:
			add(event.RecipientSigned, p.CompleteDate, &signingv1.Recipient{
				Id: string(p.ID), FirstName: string(p.FirstName), LastName: string(p.LastName), Email: string(p.Email), Mobile: string(p.Mobile),
			})
		default:
			r.Unsigned = append(r.Unsigned, string(p.ID))
			if p.Status == void {
				declined = &signingv1.Recipient{Id: string(p.ID)}
			}
		}
	}
	var ends []*signingv1.SigningEvent
	switch r.Status {
	case pack.StatusCompleted:
		add(event.DocumentCompleted, d.CompleteDate, nil)
	case pack.StatusDeclined:
		ends = append(ends, add(event.DocumentDeclined, d.VoidDate, declined), add(event.RecipientDeclined, d.VoidDate, declined))
	case pack.StatusVoided: // by the sender, which no callback reports
		ends = append(ends, add(event.DocumentVoided, d.VoidDate, nil))
	default:
	}
	for _, e := range ends {
		if d.VoidReason != "" {
			e.Attributes = map[string]string{"void_reason": string(d.VoidReason)}
		}
	}
	pack.InOrder(r.Facts)
	return r
}

// nameOf returns PleaseSign's name of the event that a callback would report a fact with. One event reports every end but the completion.
func nameOf(typ string) string {
	if typ == event.DocumentVoided || typ == event.RecipientDeclined {
		typ = event.DocumentDeclined
	}
	for name, is := range types {
		if is.canonical == typ {
			return name
		}
	}
	return ""
}

// moment reads a time; nil for none.
func moment(text rest.Text) *timestamppb.Timestamp {
	t, ok := instant.Parse(string(text))
	if !ok {
		return nil
	}
	return timestamppb.New(t)
}
