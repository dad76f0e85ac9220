package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// arrivals is the beginning of the keys in STATE under which ingest counts the callbacks of each source.
const arrivals = "arrivals."

// ArrivalsOf returns the entry in STATE with the callbacks of a source.
func ArrivalsOf(provider, source string) string { return arrivals + provider + "." + source }

// ArrivalsEvery is the least time between two records of one source by one replica of ingest.
const ArrivalsEvery = time.Minute

// arrivalHours is the number of hours that Arrivals has: a week and a day, so that an hour can be compared with the one a week before.
const arrivalHours = 8 * 24

// Arrivals are the callbacks of one source, as all replicas of ingest counted them. It has no content.
type Arrivals struct {
	// Hours has the numbers of authentic callbacks, repetitions included, by the hour: hours since 1970.
	Hours map[int64]int `json:"hours"`
	// Refused has the callbacks that got no 2xx response, by their bounded reason: unauthentic, too-large.
	Refused map[string]Refusal `json:"refused"`
	// Last is the time of the last authentic callback.
	Last time.Time `json:"last,omitzero"`
}

// Refusal counts the refused callbacks of one reason.
type Refusal struct {
	Count int       `json:"count"` // since First
	First time.Time `json:"first"` // after a week without one, the count begins again
	Last  time.Time `json:"last"`
}

// refusalEnds is the time without a refusal after which it is forgotten.
const refusalEnds = 7 * 24 * time.Hour

// hourOf returns the number of the hour of a time.
func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

// Accept counts an authentic callback.
func (a *Arrivals) Accept(at time.Time) {
	if a.Hours == nil {
		a.Hours = map[int64]int{}
	}
	a.Hours[hourOf(at)]++
	a.Last = at.UTC()
}

// Refuse counts a refused callback.
func (a *Arrivals) Refuse(reason string, at time.Time) {
	if a.Refused == nil {
		a.Refused = map[string]Refusal{}
	}
	r := a.Refused[reason]
	if r.Count == 0 {
		r.First = at.UTC()
	}
	r.Count, r.Last = r.Count+1, at.UTC()
	a.Refused[reason] = r
}

// Empty reports whether nothing was counted.
func (a *Arrivals) Empty() bool { return len(a.Hours)+len(a.Refused) == 0 }

// add adds what another replica counted, and forgets what is too old.
func (a *Arrivals) add(b Arrivals, now time.Time) {
	if a.Hours == nil {
		a.Hours = map[int64]int{}
	}
	if a.Refused == nil {
		a.Refused = map[string]Refusal{}
	}
	for hour, n := range b.Hours {
		a.Hours[hour] += n
	}
	for hour := range a.Hours {
		if hour <= hourOf(now)-arrivalHours {
			delete(a.Hours, hour)
		}
	}
	for reason, r := range a.Refused {
		if now.Sub(r.Last) > refusalEnds {
			delete(a.Refused, reason)
		}
	}
	for reason, r := range b.Refused {
		is, known := a.Refused[reason]
		if !known || r.First.Before(is.First) {
			is.First = r.First
		}
		if r.Last.After(is.Last) {
			is.Last = r.Last
		}
		is.Count += r.Count
		a.Refused[reason] = is
	}
	if b.Last.After(a.Last) {
		a.Last = b.Last
	}
}

// Between returns the number of authentic callbacks in the whole hours of [from, until), and the number of these hours that have a callback.
func (a *Arrivals) Between(from, until time.Time) (callbacks, hours int) {
	for hour := hourOf(from); hour < hourOf(until); hour++ {
		if n := a.Hours[hour]; n > 0 {
			callbacks, hours = callbacks+n, hours+1
		}
	}
	return callbacks, hours
}

// AddArrivals adds the counts of one replica to the record of a source.
func AddArrivals(ctx context.Context, js jetstream.JetStream, provider, source string, counted Arrivals, now time.Time) error {
	state, err := js.KeyValue(ctx, State)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", State, err)
	}
	key := ArrivalsOf(provider, source)
	for range UpdateAttempts {
		all, revision, err := readArrivals(ctx, state, key)
		if err != nil {
			return err
		}
		all.add(counted, now)
		data, err := json.Marshal(all)
		if err != nil {
			return fmt.Errorf("encode the callbacks of a source: %w", err)
		}
		if revision == 0 {
			_, err = state.Create(ctx, key, data)
		} else {
			_, err = state.Update(ctx, key, data, revision)
		}
		if err == nil || !Raced(err) && !errors.Is(err, jetstream.ErrKeyExists) {
			return err
		}
	}
	return fmt.Errorf("count the callbacks of a source: other replicas changed the record at the same time, %d times in a row", UpdateAttempts)
}

// ReadArrivals returns the callbacks of a source. Without a record it is empty.
func ReadArrivals(ctx context.Context, state jetstream.KeyValue, provider, source string) (Arrivals, error) {
	all, _, err := readArrivals(ctx, state, ArrivalsOf(provider, source))
	return all, err
}

func readArrivals(ctx context.Context, state jetstream.KeyValue, key string) (a Arrivals, revision uint64, err error) {
	entry, err := state.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return a, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(entry.Value(), &a)
	}
	if err != nil {
		return a, 0, fmt.Errorf("read the callbacks of a source: %w", err)
	}
	return a, entry.Revision(), nil
}
