package operate

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/stage"
)

// letters has the numbers of the dead letters of each document. The subjects of DLQ do not name documents, so it reads DLQ once, and then only what
// came in since: about 200 bytes for each dead letter.
type letters struct {
	mutex sync.Mutex
	read  uint64 // the last number that it has read
	of    map[string][]uint64
}

// letterOf is the key of a document's dead letters. The token is the same for the id and for its public form.
func letterOf(source, provider, id string) string {
	return source + "/" + provider + "/" + event.DocumentToken(id)
}

// find returns the numbers of the document's dead letters, some of which may have left DLQ.
func (l *letters) find(ctx context.Context, js jetstream.JetStream, d Document) ([]uint64, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.of == nil {
		l.of = map[string][]uint64{}
	}
	first, last, err := event.Log{JS: js, Stream: flow.DLQ}.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	if last < l.read { // the stream was made again
		l.read, l.of = 0, map[string][]uint64{}
	}
	if last > l.read && first <= last {
		for dead, err := range (stage.DeadLetters{JS: js}).After(ctx, l.read) {
			if err != nil {
				return nil, err
			}
			l.read = max(l.read, dead.Number)
			if a := AboutOf(dead); a.Document != "" {
				key := letterOf(a.Source, a.Provider, a.Document)
				l.of[key] = append(l.of[key], dead.Number)
			}
		}
	}
	l.read = max(l.read, last)
	return slices.Clone(l.of[letterOf(d.Source, d.Provider, d.ID)]), nil
}

// forget removes a number that DLQ does not have any more.
func (l *letters) forget(d Document, number uint64) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	key := letterOf(d.Source, d.Provider, d.ID)
	if l.of[key] = slices.DeleteFunc(l.of[key], func(n uint64) bool { return n == number }); len(l.of[key]) == 0 {
		delete(l.of, key)
	}
}

// deadOf returns the document's dead letters.
func (o *Operator) deadOf(ctx context.Context, d Document) ([]document.DeadLetter, error) {
	numbers, err := o.letters.find(ctx, o.JS, d)
	if err != nil {
		return nil, err
	}
	var all []document.DeadLetter
	seen := map[string]bool{} // the server's advisory is about the same input
	for _, n := range numbers {
		l, err := stage.DeadLetters{JS: o.JS}.One(ctx, n)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			o.letters.forget(d, n)
			continue
		}
		if err != nil {
			return nil, err
		}
		input := l.Stage + " " + l.ID
		if seen[input] {
			continue
		}
		seen[input] = true
		all = append(all, letter(l))
	}
	return all, nil
}

func letter(l stage.DeadLetter) document.DeadLetter {
	i, a := itemOfDead(l), AboutOf(l)
	is := document.DeadLetter{
		Key: i.Key, Stage: l.Stage, Person: a.Recipient, Reason: l.Reason, Fault: string(i.Fault), At: l.Buried, Attempts: l.Attempts,
	}
	switch {
	case len(a.Messages) == 1:
		is.Message, is.Channel = a.Messages[0].GetId(), a.Channels[0]
		is.Kind = event.KindName(a.Messages[0].GetKind())
	case len(a.Messages) > 1:
		is.Kind = event.KindName(a.Messages[0].GetKind())
	case strings.Contains(a.What, "."):
		if e, err := event.Decode(l.Data); err == nil {
			is.Event = e.GetId()
		}
	}
	return is
}
