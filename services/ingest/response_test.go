package ingest

import (
	"encoding/json"
	"net/http/httptest"
	"strconv"
	"testing"
)

// The response that is written without encoding/json has the same bytes.
func TestAcceptedIsWrittenAsJSON(t *testing.T) {
	t.Parallel()
	for _, ids := range [][]string{nil, {}, {"2timo25187djgbs55hmqlbbj2g"}, {"a", "b", "c"}} {
		got := httptest.NewRecorder()
		accepted(ids).write(got)
		want, err := json.Marshal(struct {
			Status string   `json:"status"`
			IDs    []string `json:"ids"`
		}{"accepted", append([]string{}, ids...)})
		if err != nil {
			t.Fatal(err)
		}
		if got.Body.String() != string(want) || got.Code != 202 {
			t.Errorf("%d %s, want %s", got.Code, got.Body, want)
		}
		if h := got.Result().Header; h.Get("Content-Type") != "application/json" || h.Get("Content-Length") != strconv.Itoa(len(want)) {
			t.Error(h)
		}
	}
}
