package console

import (
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/index"
)

// mostDownloaded is the maximum number of documents of a download.
const mostDownloaded = 10_000

// table writes rows as CSV.
type table struct{ *csv.Writer }

// write writes a row. A spreadsheet runs a cell that begins with one of these characters as a formula, so the cell gets an apostrophe before it.
func (t table) write(cells ...string) error {
	for i, c := range cells {
		if c != "" && strings.ContainsRune("=+-@\t\r", rune(c[0])) {
			cells[i] = "'" + c
		}
	}
	return t.Write(cells)
}

// downloads returns the response of a download: fill writes the rows.
func downloads(r *Request, name string, fill func(table) error) View {
	return View{Raw: func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s-%s.csv"`, name, r.Now.UTC().Format("20060102-150405")))
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(5 * time.Minute)) // a slow client still gets all rows
		_, _ = io.WriteString(w, "\ufeff")                                                  // so that Excel reads UTF-8
		t := table{csv.NewWriter(w)}
		err := fill(t)
		if t.Flush(); err == nil {
			err = t.Error()
		}
		if err != nil && r.Context().Err() == nil {
			r.Console.env.Log.WarnContext(r.Context(), "a download failed", "name", name, "error", err)
			// The status is already sent: only a broken connection tells the client that rows are missing.
			panic(http.ErrAbortHandler)
		}
	}}
}

// downloadDocuments returns the documents that match, or those that were selected.
func downloadDocuments(r *Request, l listing) (View, error) {
	x, err := r.Console.reach(r.Context())
	if err != nil {
		return View{}, err
	}
	if err := new(documentsData).views(r, x, &l); err != nil {
		return View{}, err
	}
	q := l.query(r)
	q.After, q.Before = 0, 0
	page, err := firstRows(r, x, q)
	if err != nil {
		return View{}, err
	}
	return downloads(r, "documents", func(t table) error {
		if err := t.write(documentColumns(r)...); err != nil {
			return err
		}
		for done := 0; ; {
			for _, found := range page.Rows {
				if done++; done > mostDownloaded {
					return nil
				}
				row, err := rowOf(r, found, "")
				if err == nil {
					err = t.write(documentCells(r, row)...)
				}
				if err != nil {
					return err
				}
			}
			if !page.Older || len(page.Rows) == 0 {
				return nil
			}
			q.After = page.Rows[len(page.Rows)-1].Number
			if page, err = x.Search(r.Context(), q); err != nil {
				return err
			}
		}
	}), nil
}

// firstRows returns the first rows of a download. The selection of a page names its documents by provider/source/id.
func firstRows(r *Request, x *index.Index, q index.Query) (page index.Page, err error) {
	selected := r.URL.Query()["only"]
	if len(selected) == 0 {
		page, err = x.Search(r.Context(), q)
	} else {
		if len(selected) > index.PageRows {
			return page, badFilter("only", "at most 50 documents")
		}
		var keys []index.Key
		for _, one := range selected {
			parts := strings.SplitN(one, "/", 3)
			if len(parts) != 3 {
				return page, badFilter("only", "provider/source/id")
			}
			keys = append(keys, index.Key{Provider: parts[0], Source: parts[1], ID: parts[2]})
		}
		page.Rows, err = x.Many(r.Context(), keys...)
		slices.SortFunc(page.Rows, func(a, b index.Found) int { return b.LastAt.Compare(a.LastAt) })
	}
	if err != nil {
		return page, r.Console.away(r.Context(), err)
	}
	return page, nil
}

func documentColumns(r *Request) []string {
	columns := []string{"provider", "source", "id", "state", "sent", "last change", "ended", "people", "signed", "not notified", "stuck", "waits for"}
	if r.Can(Private) {
		columns = append(columns, "title", "names", "e-mail addresses", "numbers")
	}
	return columns
}

func documentCells(r *Request, d DocumentRow) []string {
	cells := []string{
		d.Provider, d.Source, d.ID, d.State, cellTime(d.SentAt), cellTime(d.LastAt), cellTime(d.EndedAt), strconv.Itoa(len(d.People)), strconv.Itoa(d.Signed),
		strconv.Itoa(d.Untold), strconv.FormatBool(d.Stuck), d.Waits,
	}
	if r.Can(Private) {
		var names, emails, numbers []string
		for _, p := range d.People {
			names, emails, numbers = append(names, p.Name), append(emails, p.Email), append(numbers, p.Mobile)
		}
		cells = append(cells, d.Title, joined(names), joined(emails), joined(numbers))
	}
	return cells
}

func joined(texts []string) string {
	return strings.Join(slices.DeleteFunc(texts, func(t string) bool { return t == "" }), "; ")
}

func cellTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
