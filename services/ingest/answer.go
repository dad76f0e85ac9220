package ingest

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
)

// answer is what a provider is told, and what we note of it.
type answer struct {
	status     int
	outcome    string // a metric's label: accepted, duplicate, quarantined, refused, unavailable
	reason     string // likewise; empty for accepted and duplicate
	ids        []string
	retryAfter int // seconds
	detail     string
	err        error // for the log
}

func accepted(ids []string) answer {
	return answer{status: http.StatusAccepted, outcome: "accepted", ids: ids}
}

func duplicate(ids []string) answer {
	return answer{status: http.StatusOK, outcome: "duplicate", ids: ids}
}

func quarantined(reason string) answer {
	return answer{status: http.StatusAccepted, outcome: "quarantined", reason: reason}
}

func answerProblem(status int, reason, detail string) answer {
	return answer{status: status, outcome: "refused", reason: reason, detail: detail}
}

// retrySeconds is when a provider that heeds Retry-After comes again after an outage of ours.
const retrySeconds = 5

func unavailable(reason string, err error) answer {
	return answer{
		status: http.StatusServiceUnavailable, outcome: "unavailable", reason: reason, retryAfter: retrySeconds, err: err,
		detail: "The callback could not be stored now. Please send it again.",
	}
}

func (a answer) level() slog.Level {
	switch a.outcome {
	case "accepted", "duplicate":
		return slog.LevelDebug // 10,000 a second; the metrics count them
	case "unavailable":
		return slog.LevelError
	default:
		return slog.LevelWarn
	}
}

func (a answer) write(w http.ResponseWriter) {
	if a.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(a.retryAfter))
	}
	switch a.outcome {
	case "accepted":
		ids := a.ids
		if ids == nil {
			ids = []string{}
		}
		writeJSON(w, "application/json", a.status, struct {
			Status string   `json:"status"`
			IDs    []string `json:"ids"`
		}{"accepted", ids})
	case "duplicate":
		writeJSON(w, "application/json", a.status, struct {
			Status string `json:"status"`
		}{"duplicate"})
	case "quarantined":
		writeJSON(w, "application/json", a.status, struct {
			Status string `json:"status"`
			Reason string `json:"reason"`
		}{"quarantined", a.reason})
	default:
		problem(w, a.status, a.reason, a.detail)
	}
}

// problem writes an RFC 9457 problem.
func problem(w http.ResponseWriter, status int, reason, detail string) {
	writeJSON(w, "application/problem+json", status, struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		Reason string `json:"reason"`
	}{"about:blank", http.StatusText(status), status, detail, reason})
}

func writeJSON(w http.ResponseWriter, contentType string, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil { // strings and numbers only: cannot happen
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client may be gone; the event is stored all the same
}
