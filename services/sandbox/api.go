package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sandbox/party"
)

// getMessages serves GET /api/messages[?to=&channel=].
func (s *Server) getMessages(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	party.WriteJSON(w, http.StatusOK, s.Inbox.List(query.Get("to"), query.Get("channel")))
}

// deleteMessages serves DELETE /api/messages.
func (s *Server) deleteMessages(w http.ResponseWriter, _ *http.Request) {
	s.Inbox.Clear()
	w.WriteHeader(http.StatusNoContent)
}

// getStories serves GET /api/stories.
func (s *Server) getStories(w http.ResponseWriter, _ *http.Request) {
	party.WriteJSON(w, http.StatusOK, stories())
}

// The pause between a story's callbacks, in milliseconds.
const (
	usualPause = 300
	maxPause   = 10_000
)

// postPlay serves POST /api/play.
func (s *Server) postPlay(w http.ResponseWriter, r *http.Request) {
	var wanted struct {
		Provider string `json:"provider"`
		Story    string `json:"story"`
		PauseMS  *int   `json:"pause_ms"` // default 300
	}
	if err := readJSON(r, &wanted); err != nil {
		service.NewProblem(http.StatusBadRequest, "", err.Error()).Write(w)
		return
	}
	pause := usualPause
	if wanted.PauseMS != nil {
		pause = *wanted.PauseMS
	}
	if pause < 0 || pause > maxPause {
		service.NewProblem(http.StatusBadRequest, "", fmt.Sprintf("pause_ms must be between 0 and %d", maxPause)).Write(w)
		return
	}

	if err := party.LiftDeadlines(w); err != nil {
		service.NewProblem(http.StatusInternalServerError, "", err.Error()).Write(w)
		return
	}
	played, err := s.Play(r.Context(), wanted.Provider, wanted.Story, time.Duration(pause)*time.Millisecond)
	switch {
	case err == nil:
		s.Log.Info("story played", "provider", wanted.Provider, "story", wanted.Story, "callbacks", len(played.Callbacks))
		party.WriteJSON(w, http.StatusOK, played)
	case errors.Is(err, errNoStory):
		problem{Problem: service.NewProblem(http.StatusNotFound, "", err.Error()), Stories: stories()}.write(w)
	case errors.Is(err, errNoSource), errors.Is(err, errNoJump):
		service.NewProblem(http.StatusConflict, "", err.Error()).Write(w)
	default:
		problem{Problem: service.NewProblem(http.StatusBadGateway, "", err.Error()), Played: &played}.write(w)
	}
}

// getFiles serves GET /api/files: the files of documents that the providers have served, with their hashes.
func (s *Server) getFiles(w http.ResponseWriter, _ *http.Request) {
	party.WriteJSON(w, http.StatusOK, s.Tickets.Served())
}

// getFaults serves GET /api/faults: the queued faults.
func (s *Server) getFaults(w http.ResponseWriter, _ *http.Request) {
	party.WriteJSON(w, http.StatusOK, s.Faults.List())
}

// postFault serves POST /api/faults.
func (s *Server) postFault(w http.ResponseWriter, r *http.Request) {
	var wanted party.Fault
	if err := readJSON(r, &wanted); err != nil {
		service.NewProblem(http.StatusBadRequest, "", err.Error()).Write(w)
		return
	}
	if err := s.Faults.Add(wanted); err != nil {
		service.NewProblem(http.StatusBadRequest, "", err.Error()).Write(w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// deleteFaults serves DELETE /api/faults: it removes all queued faults.
func (s *Server) deleteFaults(w http.ResponseWriter, _ *http.Request) {
	s.Faults.Clear()
	w.WriteHeader(http.StatusNoContent)
}

// requireJSON refuses a body of another type: a form on another site can send JSON as text/plain without a CORS preflight.
func requireJSON(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
			service.NewProblem(http.StatusUnsupportedMediaType, "", "Content-Type must be application/json").Write(w)
			return
		}
		next(w, r)
	}
}

// readJSON reads a body that is one JSON object with known keys.
func readJSON(r *http.Request, into any) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("the body is not the expected JSON object: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body contains more than one JSON object")
	}
	return nil
}

// problem is an error response of the sandbox's own API with additional fields.
type problem struct {
	service.Problem
	Stories []party.Story `json:"stories,omitempty"` // the stories that the sandbox can play
	*Played               // the callbacks that were played before the failure
}

func (p problem) write(w http.ResponseWriter) { service.WriteProblem(w, p.Status, p) }
