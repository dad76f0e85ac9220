package pleasesign

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/services/sandbox/party"
)

// pageSize is the number of documents on a page. PleaseSign documents no number.
const pageSize = 25

// pointer is the content of next: the criteria of the list, and the place of the page. A document that leaves the list moves all later ones, so
// that one of them may be on no page.
type pointer struct {
	Status, Order, Direction string
	Offset                   int
}

// getDocuments serves GET /documents: documents by their ids, or with Accept-Version: v2 a list with pages.
func (p pleasesign) getDocuments(w http.ResponseWriter, r *http.Request) {
	source, _ := p.source(r) // the caller has checked it
	if ids := r.URL.Query().Get("ids"); ids != "" {
		found := []document{}
		for id := range strings.SplitSeq(ids, ",") {
			if d, ok := p.provider.Find(id); ok && d.Source.Name == source {
				found = append(found, written(d))
			}
		}
		party.WriteJSON(w, http.StatusOK, found)
		return
	}
	if r.Header.Get("Accept-Version") != "v2" {
		writeError(w, http.StatusBadRequest)
		return
	}
	at := pointer{r.URL.Query().Get("status"), r.URL.Query().Get("order"), r.URL.Query().Get("order_direction"), 0}
	if next := r.URL.Query().Get("next"); next != "" {
		text, err := base64.StdEncoding.DecodeString(next)
		if err != nil || json.Unmarshal(text, &at) != nil {
			writeError(w, http.StatusBadRequest)
			return
		}
	}
	all := slices.DeleteFunc(p.provider.List(source), func(d party.Document) bool {
		return at.Status != "" && at.Status != strings.Replace(documentStatus[d.Status], "building", "pending", 1)
	})
	slices.SortStableFunc(all, func(a, b party.Document) int {
		if at.Direction != "asc" {
			a, b = b, a
		}
		return ordered(at.Order, a).Compare(ordered(at.Order, b))
	})
	page := all[min(at.Offset, len(all)):min(at.Offset+pageSize, len(all))]
	response := struct {
		Data  []document `json:"data"`
		Total int        `json:"total_count"`
		Next  any        `json:"next"`
		Prev  any        `json:"prev"`
	}{Data: []document{}, Total: len(all)}
	for _, d := range page {
		response.Data = append(response.Data, written(d))
	}
	if at.Offset += pageSize; at.Offset < len(all) {
		text, _ := json.Marshal(at) //nolint:errchkjson // strings and a number
		response.Next = base64.StdEncoding.EncodeToString(text)
	}
	party.WriteJSON(w, http.StatusOK, response)
}

// ordered returns the time by which a list is sorted.
func ordered(order string, d party.Document) time.Time {
	switch order {
	case "sent":
		return d.Sent
	case "complete", "void":
		return d.Ended
	default:
		return d.Created
	}
}
