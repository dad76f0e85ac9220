package sandbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/config"
)

// Played is what came of a story.
type Played struct {
	Documents []string  `json:"documents"` // ids, in the story's order
	Callbacks []Outcome `json:"callbacks"` // in the order in which they were sent
}

// Outcome is what ingest answered to one callback.
type Outcome struct {
	Event  string   `json:"event"`  // in the provider's words: request_sent
	Status int      `json:"status"` // HTTP; 0 when no answer came
	IDs    []string `json:"ids"`    // of the events that it became
}

var (
	errNoStory  = errors.New("there is no such story")
	errNoSource = errors.New("no source of this provider is configured")
	errRefused  = errors.New("ingest did not take a callback")
)

// Play puts a story's documents into the stand-in, under fresh ids, and sends its callbacks to ingest, signed for the
// first source of that provider. It waits for the answer to each, and pauses before the next. When a callback is not
// taken it stops, and returns what was played until then with the error.
//
// The pause leaves the pipeline time to ask the stand-in about a document before it changes again, as people do who read
// before they sign. Without one, everything must still come out right, only some messages have lost their point: nobody
// is invited to sign what he has signed.
func (s *Server) Play(ctx context.Context, provider, name string, pause time.Duration) (Played, error) {
	played := Played{Documents: []string{}, Callbacks: []Outcome{}}
	told, ok := storyNamed(provider, name)
	if !ok {
		return played, errNoStory
	}
	i := slices.IndexFunc(s.cfg.Sources, func(source config.Source) bool { return source.Provider == provider })
	if i < 0 {
		return played, errNoSource
	}
	source, standIn := s.cfg.Sources[i], s.provider(provider)

	for _, d := range told.documents {
		played.Documents = append(played.Documents, standIn.put(source, d))
	}
	for i, next := range told.steps {
		if i > 0 {
			if err := wait(ctx, pause); err != nil {
				return played, err
			}
		}
		calls, err := standIn.happen(played.Documents, next, s.world())
		if err != nil {
			return played, fmt.Errorf("play %s/%s: %w", provider, name, err)
		}
		if next.twice {
			calls = append(calls, calls...)
		}
		for _, c := range calls {
			outcome, err := s.send(ctx, source, c)
			played.Callbacks = append(played.Callbacks, outcome)
			if err != nil {
				return played, err
			}
		}
	}
	return played, nil
}
