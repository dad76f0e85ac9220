package service

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// Problem is an error response (RFC 9457). Its type is always about:blank, so Title is the text of the status.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`           // the error and its fix; no secret, no name, no address, no number
	Reason string `json:"reason,omitempty"` // bounded, [a-z-], for programs
}

// NewProblem fills in the fields that follow from the status.
func NewProblem(status int, reason, detail string) Problem {
	return Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Reason: reason}
}

// Write sends the problem.
func (p Problem) Write(w http.ResponseWriter) { WriteProblem(w, p.Status, p) }

// WriteProblem sends a problem that has more fields than Problem.
func WriteProblem(w http.ResponseWriter, status int, problem any) {
	write(w, "application/problem+json", status, problem)
}

// WriteJSON sends a response.
func WriteJSON(w http.ResponseWriter, status int, body any) {
	write(w, "application/json", status, body)
}

// write sends one body of a known length, so that a client can distinguish a whole response from a truncated one.
func write(w http.ResponseWriter, contentType string, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil { // bodies are structs of strings and numbers: a programming error
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) // the work is done: it is no error if the client has disconnected
}
