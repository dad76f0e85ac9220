package ingest

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
)

// response is the response to a provider, with the data for metrics and the log.
type response struct {
	status     int
	outcome    string // a metric's label: accepted, duplicate, quarantined, refused, unavailable
	reason     string // a metric's label; empty for accepted and duplicate
	public     string // sent instead of reason, if the caller must not learn the reason
	ids        []string
	retryAfter int // seconds
	detail     string
	err        error // for the log

	expected *pack.Response // the provider's format; nil for ingest's own

	quarantined []QuarantinedItem // of a batch
	kept        int               // the number of callbacks and items that are new in quarantine

	done []dedupe.Done // to confirm after the response
}

// QuarantinedItem is an item of a batch that could not be read.
type QuarantinedItem struct {
	Item   int    `json:"item"` // its index in the batch
	Reason string `json:"reason"`
}

func accepted(ids []string) response {
	return response{status: http.StatusAccepted, outcome: "accepted", ids: ids}
}

func duplicate(ids []string) response {
	return response{status: http.StatusOK, outcome: "duplicate", ids: ids}
}

func quarantined(why *pack.UnreadableError) response {
	return response{status: http.StatusAccepted, outcome: "quarantined", reason: why.Reason, err: why}
}

// partlyQuarantined returns the response to an accepted batch with unreadable items.
func partlyQuarantined(ids []string, bad []unreadable) response {
	a := accepted(ids)
	a.reason = "items-quarantined"
	for _, u := range bad {
		a.quarantined = append(a.quarantined, QuarantinedItem{*u.request.Item, u.why.Reason})
	}
	a.err = fmt.Errorf("%d of %d items are quarantined; item %d: %w", len(bad), bad[0].batch.items, a.quarantined[0].Item, bad[0].why)
	return a
}

func problemResponse(status int, reason, detail string) response {
	return response{status: status, outcome: "refused", reason: reason, detail: detail}
}

// retrySeconds is the Retry-After during an outage.
const retrySeconds = 5

func unavailable(reason string, err error) response {
	return response{
		status: http.StatusServiceUnavailable, outcome: "unavailable", reason: reason, retryAfter: retrySeconds, err: err,
		detail: "The callback could not be stored now. Please send it again.",
	}
}

func (a response) level() slog.Level {
	switch {
	case a.outcome == "unavailable":
		return slog.LevelError
	case a.status < 300 && a.err == nil:
		return slog.LevelDebug // 10,000 a second; the metrics count them
	default:
		return slog.LevelWarn
	}
}

func (a response) write(w http.ResponseWriter) {
	if a.expected != nil {
		writeExpected(w, *a.expected)
		return
	}
	if a.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(a.retryAfter))
	}
	if a.outcome == "accepted" && len(a.quarantined) == 0 {
		writeAccepted(w, a)
		return
	}
	switch a.outcome {
	case "accepted":
		ids := a.ids
		if ids == nil {
			ids = []string{}
		}
		service.WriteJSON(w, a.status, struct {
			Status      string            `json:"status"`
			IDs         []string          `json:"ids"`
			Quarantined []QuarantinedItem `json:"quarantined,omitempty"`
		}{"accepted", ids, a.quarantined})
	case "duplicate":
		service.WriteJSON(w, a.status, struct {
			Status string `json:"status"`
		}{"duplicate"})
	case "quarantined":
		service.WriteJSON(w, a.status, struct {
			Status string `json:"status"`
			Reason string `json:"reason"`
		}{"quarantined", a.reason})
	default:
		service.NewProblem(a.status, cmp.Or(a.public, a.reason), a.detail).Write(w)
	}
}

// jsonType is shared by all responses, so no code may change it.
var jsonType = []string{"application/json"}

// writeAccepted writes the usual response. It writes the JSON itself: ids are base32 (event.TransitionID), so none needs an escape.
func writeAccepted(w http.ResponseWriter, a response) {
	body := make([]byte, 0, 64+32*len(a.ids))
	body = append(body, `{"status":"accepted","ids":[`...)
	for i, id := range a.ids {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(append(append(body, '"'), id...), '"')
	}
	body = append(body, "]}"...)
	h := w.Header()
	h["Content-Type"], h["Content-Length"] = jsonType, []string{strconv.Itoa(len(body))}
	w.WriteHeader(a.status)
	_, _ = w.Write(body) // the work is done: it is no error if the client has disconnected
}
