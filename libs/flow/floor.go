package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Floor is the progress of a stage in a stream: the stage has done everything up to this message. The stage itself writes it
// to the bucket STATE, so that a consumer that is lost and recreated resumes there.
type Floor struct {
	Sequence uint64    `json:"sequence"`
	Stored   time.Time `json:"stored"` // when the stream stored the message
	// Made is the creation time of the stream. A recreated stream counts from 1 again.
	Made time.Time `json:"stream_made"`
}

// floors returns the prefix of a stage's floors in the bucket STATE, the only entries there that it writes.
func (s Stage) floors() string { return "floor." + s.Name + "." }

// KeepFloor stores the floor of a stage in a stream, unless a higher one is stored. It reads the creation time from the stream.
func (s Stage) KeepFloor(ctx context.Context, js jetstream.JetStream, stream string, f Floor) error {
	is, err := js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("keep the floor of %s in %s: %w", s.Name, stream, err)
	}
	f.Made = is.CachedInfo().Created
	kept, revision, err := s.floor(ctx, js, stream)
	if err != nil {
		return err
	}
	if revision > 0 && kept.Made.Equal(f.Made) && kept.Sequence >= f.Sequence {
		return nil
	}
	value, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("keep the floor of %s in %s: %w", s.Name, stream, err)
	}
	bucket, err := js.KeyValue(ctx, State)
	switch {
	case err != nil:
	case revision == 0: // none, or one that was removed
		_, err = bucket.Create(ctx, s.floors()+stream, value)
	default:
		_, err = bucket.Update(ctx, s.floors()+stream, value, revision)
	}
	if err != nil && !Raced(err) { // another replica was first
		return fmt.Errorf("keep the floor of %s in %s: %w", s.Name, stream, err)
	}
	return nil
}

// floor returns the stored floor and its revision; revision 0 means that there is none.
func (s Stage) floor(ctx context.Context, js jetstream.JetStream, stream string) (f Floor, revision uint64, err error) {
	bucket, err := js.KeyValue(ctx, State)
	if err != nil {
		return Floor{}, 0, fmt.Errorf("open bucket %s: %w", State, err)
	}
	entry, err := bucket.Get(ctx, s.floors()+stream)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Floor{}, 0, nil
	}
	if err != nil {
		return Floor{}, 0, fmt.Errorf("read the floor of %s in %s: %w", s.Name, stream, err)
	}
	if err := json.Unmarshal(entry.Value(), &f); err != nil {
		return Floor{}, 0, fmt.Errorf("the floor of %s in %s cannot be read: remove the key %s from the bucket %s: %w", s.Name, stream, entry.Key(), State, err)
	}
	return f, entry.Revision(), nil
}

// holds reports whether the floor belongs to the stream in its present state: the stream was not recreated, and it holds the floor's message
// or has already removed it. In a stream that was restored from an older backup, the floor's sequence belongs to another message, or to no
// message yet.
func (f Floor) holds(ctx context.Context, stream jetstream.Stream) (bool, error) {
	info := stream.CachedInfo()
	switch {
	case !f.Made.Equal(info.Created) || f.Sequence > info.State.LastSeq:
		return false, nil
	case f.Sequence < info.State.FirstSeq: // removed by its age
		return f.Stored.Before(info.State.FirstTime), nil
	}
	m, err := stream.GetMsg(ctx, f.Sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) { // removed by hand
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look message %d of %s up: %w", f.Sequence, info.Config.Name, err)
	}
	return m.Time.Equal(f.Stored), nil
}
