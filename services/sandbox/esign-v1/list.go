package esignv1

import (
	"net/http"
	"strconv"
	"time"

	"github.com/signrelay/signrelay/services/sandbox/party"
)

// usualLimit is the number of documents on a page if the request names none.
const usualLimit = 20

// listed is a document in a list. It lacks the fields of the detailed response that the specification does not name for lists.
type listed struct {
	Archived      bool     `json:"archived"`
	Created       string   `json:"created"`
	DownloadFinal bool     `json:"download_final"`
	Group         string   `json:"group"`
	Modified      string   `json:"modified"`
	Name          string   `json:"name"`
	ResourceURI   string   `json:"resource_uri"`
	Signers       [][8]any `json:"signers"`
	Status        int      `json:"status"`
	Tag           string   `json:"tag"`
	UUID          string   `json:"uuid"`
}

// getDocuments serves GET /api/v1/document/. With cache=1 it lists the outstanding documents, with modified_gt those that changed since. The pages
// are parts of the list at the time of each request, so that a document may move from one page to another.
func (e esign) getDocuments(w http.ResponseWriter, r *http.Request) {
	source, _ := e.source(r) // the caller has checked it
	query := r.URL.Query()
	since, err := time.Parse(timeFormat, query.Get("modified_gt"))
	if err != nil && query.Has("modified_gt") {
		writeError(w, http.StatusBadRequest)
		return
	}
	limit, offset := number(query.Get("limit"), usualLimit), number(query.Get("offset"), 0)
	var all []listed
	for _, d := range e.provider.List(source) {
		if query.Get("cache") == "1" && d.Status != party.StatusOpen || !d.Modified().After(since) {
			continue
		}
		full := written(d)
		all = append(all, listed{
			Created: full.Created, DownloadFinal: full.DownloadFinal, Group: full.Group, Modified: full.Modified, Name: full.Name,
			ResourceURI: full.ResourceURI, Signers: full.Signers, Status: full.Status, UUID: full.UUID,
		})
	}
	type meta struct {
		Limit  int `json:"limit"`
		Next   any `json:"next"`
		Offset int `json:"offset"`
		Total  int `json:"total_count"`
	}
	is := meta{Limit: limit, Offset: offset, Total: len(all)}
	if offset+limit < len(all) {
		query.Set("offset", strconv.Itoa(offset+limit))
		is.Next = r.URL.Path + "?" + query.Encode()
	}
	page := all[min(offset, len(all)):min(offset+limit, len(all))]
	party.WriteJSON(w, http.StatusOK, struct {
		Meta    meta     `json:"meta"`
		Objects []listed `json:"objects"`
	}{is, append([]listed{}, page...)})
}

// number reads a number of 0 or more.
func number(text string, without int) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return without
	}
	return n
}
