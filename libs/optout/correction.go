package optout

import (
	"context"
	"time"

	"github.com/signrelay/signrelay/libs/event"
)

// Correction is the latest correction of a person: the id of its event, and when it was made. The zero value is a person without one.
type Correction struct {
	ID string
	At time.Time
}

// Corrected is the entry of a person's corrections, under the id that the provider had for the person before. It is written before the event
// recipient.corrected, and each sender and each short link reads it. So nothing goes to an old address once the event is in the log.
func Corrected(who event.Signer) Who {
	return ofSigner("corrected", who)
}

// Correct stores a correction, unless a later one is stored.
func (s Store) Correct(ctx context.Context, who event.Signer, c Correction) error {
	_, err := s.Change(ctx, State{Out: true, At: c.At, Message: c.ID}, Corrected(who))
	return err
}

// CorrectionOf returns the latest correction of a person.
func (s Store) CorrectionOf(ctx context.Context, who event.Signer) (Correction, error) {
	is, err := s.latest(ctx, []Who{Corrected(who)})
	return Correction{is.Message, is.At}, err
}

// To is the recipient of a message.
type To struct {
	Person     event.Signer // without a recipient: one who is no signer
	Correction string       // the id of the correction that the message's address comes from; empty for none
	Groups     [][]Who      // whose wishes count for the message
}

// Stops returns the reason why a message must not be sent, event.OverCorrected or event.OptedOut; empty if it may be sent. A correction counts more
// than a wish, because the message is then not for the person who had the wish. A wish of the person on the document, from before a correction,
// does not count. All are read in one request.
func (s Store) Stops(ctx context.Context, to To) (reason string, err error) {
	groups, corrected := to.Groups, Corrected(to.Person)
	if to.Person.Recipient != "" && to.Person.Document != "" {
		groups = append([][]Who{{corrected}}, groups...)
	}
	if len(groups) == 0 {
		return "", nil
	}
	all, err := s.read(ctx, groups...)
	if err != nil {
		return "", err
	}
	is := all[corrected]
	if is.Message != "" && is.Message != to.Correction {
		return event.OverCorrected, nil
	}
	for _, group := range to.Groups {
		since := time.Time{}
		if len(group) == 1 && group[0] == Person(to.Person) {
			since = is.At
		}
		if all.out(since, group) {
			return event.OptedOut, nil
		}
	}
	return "", nil
}
