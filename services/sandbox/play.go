package sandbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	"github.com/signrelay/signrelay/services/sandbox/party"
)

// Played is the result of a story.
type Played struct {
	Documents []string        `json:"documents"` // ids, in the story's order
	Callbacks []party.Outcome `json:"callbacks"` // in the order in which they were sent
}

var (
	errNoStory  = errors.New("there is no such story")
	errNoJump   = errors.New("time passes in this story, but the services are other processes, whose clock the sandbox cannot move: play it in `signrelay run`")
	errNoSource = errors.New("no source of this provider is configured")
)

// Play creates a story's documents with new ids and sends its callbacks to ingest, signed for the first source of that provider. It waits for
// each response, and pauses before the next callback. If ingest does not accept a callback, Play stops and returns the callbacks until then
// with the error.
//
// During the pause, the pipeline can read a document before it changes again, as in reality, because people read before they sign. Without a
// pause the result must still be right, but some messages are no longer needed and not sent: a person who has signed gets no invitation.
func (s *Server) Play(ctx context.Context, provider, name string, pause time.Duration) (Played, error) {
	played := Played{Documents: []string{}, Callbacks: []party.Outcome{}}
	story, ok := storyNamed(provider, name)
	if !ok {
		return played, errNoStory
	}
	if story.MovesClock && s.jump == nil {
		return played, errNoJump
	}
	i := slices.IndexFunc(s.Config.Sources, func(source config.Source) bool { return source.Provider == provider })
	if i < 0 {
		return played, errNoSource
	}
	source, documents := s.Config.Sources[i], s.provider(provider)

	for _, d := range story.Documents {
		played.Documents = append(played.Documents, documents.Add(source, d))
	}
	began := s.Inbox.Received()
	for i, next := range story.Steps {
		if i > 0 {
			if err := party.Wait(ctx, pause); err != nil {
				return played, err
			}
		}
		if next.Passes > 0 {
			if err := s.jump(ctx, next.Passes); err != nil {
				return played, fmt.Errorf("play %s/%s: %w", provider, name, err)
			}
		}
		if next.Reply.Words != "" {
			if err := s.reply(ctx, next.Reply, began); err != nil {
				return played, fmt.Errorf("play %s/%s: %w", provider, name, err)
			}
		}
		if err := s.visit(ctx, documents, played.Documents, next, began); err != nil {
			return played, fmt.Errorf("play %s/%s: %w", provider, name, err)
		}
		if len(next.Events) == 0 {
			continue
		}
		calls, err := documents.Apply(played.Documents, next, s.BaseURL())
		if err != nil {
			return played, fmt.Errorf("play %s/%s: %w", provider, name, err)
		}
		if next.Twice {
			calls = append(calls, calls...)
		}
		for _, c := range calls {
			outcome, err := s.Callbacks.Send(ctx, source, c)
			played.Callbacks = append(played.Callbacks, outcome)
			if err != nil {
				return played, err
			}
		}
	}
	return played, nil
}

// replyWithin is the time in which a person's messages must arrive before the person replies. After that, the person replies to the newest text
// anyway, because a number gets one response of a kind within 10 minutes: a story that is played again gets no second response.
const replyWithin = 20 * time.Second

// reply waits until a person has received the messages of the story to which the person replies, and sends the reply. began is the number of
// messages in the inbox before the story.
func (s *Server) reply(ctx context.Context, r party.Reply, began int) error {
	waiting, cancel := context.WithTimeout(ctx, replyWithin)
	defer cancel()
	received := func(to string, channel notifyv1.Channel) []party.Message {
		return slices.DeleteFunc(s.Inbox.List(to, event.ChannelName(channel)), func(m party.Message) bool { return m.Number <= began })
	}
	for {
		texts := received(r.By.BySMS, event.SMS)
		arrived := len(texts) >= r.Texts && len(received(r.By.Email, event.Email)) >= r.Emails
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case len(texts) > 0 && (arrived || waiting.Err() != nil):
			return s.texts().Reply(ctx, texts[len(texts)-1], r.Words)
		case waiting.Err() != nil:
			return fmt.Errorf("%s has no text to which a reply is possible", r.By.Name())
		}
		_ = party.Wait(waiting, 20*time.Millisecond) // the loop checks the contexts
	}
}

// texts returns the party that delivers texts and replies.
func (s *Server) texts() simulator {
	i := slices.IndexFunc(s.parties, func(p simulator) bool { return p.Reply != nil })
	return s.parties[i]
}

func storyNamed(provider, name string) (party.Story, bool) {
	for _, s := range stories() {
		if s.Provider == provider && s.Name == name {
			return s, true
		}
	}
	return party.Story{}, false
}

// provider returns the documents of the party with that name. Every party with stories has documents.
func (s *Server) provider(name string) *party.Provider {
	i := slices.IndexFunc(s.parties, func(p simulator) bool { return p.Name == name })
	return s.parties[i].Provider
}
