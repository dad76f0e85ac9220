package console

import (
	"context"
	"net/http"
	"net/url"

	"github.com/signrelay/signrelay/libs/index"
	"github.com/signrelay/signrelay/libs/service"
)

// Listing is documents that match a search.
type Listing struct {
	Documents []DocumentRow
	Total     int  // of all that match
	About     bool // the total is an estimate
}

// Find returns up to most documents that match the form of a search: with the filters, the rows and the masking of /documents, for a reader with
// these roles. It is for the command line, so it opens the index itself. A *Problem with the status 400 is the caller's mistake.
func Find(ctx context.Context, env service.Env, form url.Values, most int, roles ...string) (found Listing, err error) {
	s := &Server{env: env, index: &searchIndex{url: indexURL(env.Config)}}
	defer s.index.close()
	r := &Request{Request: new(http.Request).WithContext(ctx), Console: s, Reader: Reader{Roles: rolesOf(roles)}, JSON: true, Now: env.Now()}
	l, err := readSearch(form)
	if err != nil {
		return found, err
	}
	x, err := s.reach(ctx)
	if err != nil {
		return found, err
	}
	found.Documents = []DocumentRow{}
	err = l.each(r, x, most, func(page index.Page, row DocumentRow) error {
		if len(found.Documents) == 0 {
			found.Total, found.About = page.Total, page.About
		}
		found.Documents = append(found.Documents, row)
		return nil
	})
	return found, err
}

// each calls do for each document that matches, up to a number of them, the newest first.
func (l listing) each(r *Request, x *index.Index, most int, do func(index.Page, DocumentRow) error) error {
	q := l.query(r)
	q.After, q.Before = 0, 0
	for done := 0; ; {
		page, err := x.Search(r.Context(), q)
		if err != nil {
			return r.Console.away(r.Context(), err)
		}
		for _, one := range page.Rows {
			if done++; done > most {
				return nil
			}
			row, err := rowOf(r, one, "")
			if err == nil {
				err = do(page, row)
			}
			if err != nil {
				return err
			}
		}
		if !page.Older || len(page.Rows) == 0 {
			return nil
		}
		q.After = page.Rows[len(page.Rows)-1].Number
	}
}
