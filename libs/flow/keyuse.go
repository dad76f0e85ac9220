package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
)

// keyUses is the beginning of the keys in STATE under which ingest records which key verified a source's callbacks, and when.
const keyUses = "keys."

// KeyUse says when a key of a source last verified a callback. It never has the key.
type KeyUse struct {
	Setting     string    `json:"setting"`               // its place in the source's settings: "webhook.secrets[0]"; empty: callbacks are not verified
	Fingerprint string    `json:"fingerprint,omitempty"` // as pack.Key; empty for a shared token
	At          time.Time `json:"at"`                    // at most KeyUseEvery before the newest callback
}

// KeyUseEvery is the least time between two records of one key of one replica.
const KeyUseEvery = time.Minute

// KeyUseOf returns the entry in STATE of one key of a source. The settings' names have brackets, which a key of a bucket may not have.
func KeyUseOf(provider, source, setting string) string {
	place := strings.NewReplacer("[", ".", "]", "").Replace(setting)
	if place == "" {
		place = "none"
	}
	return keyUses + provider + "." + source + "." + place
}

// KeyUses returns the keys that verified callbacks of a source, the latest first.
func KeyUses(ctx context.Context, js jetstream.JetStream, provider, source string) ([]KeyUse, error) {
	uses := []KeyUse{}
	log := event.Log{JS: js, Stream: lookup(State)}
	for m, err := range log.Last(ctx, "$KV."+State+"."+keyUses+provider+"."+source+".>") {
		if err != nil {
			return nil, fmt.Errorf("read the keys in use: %w", err)
		}
		var use KeyUse
		if err := json.Unmarshal(m.Data, &use); err != nil {
			return nil, fmt.Errorf("read the use of a key: %w", err)
		}
		uses = append(uses, use)
	}
	slices.SortFunc(uses, func(a, b KeyUse) int { return b.At.Compare(a.At) })
	return uses, nil
}
