package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
)

// A replica writes its key in the bucket Replicas every PresentEvery, and removes it at its end. The server removes the key of a killed replica after
// presentFor. A missed write does not remove it.
const (
	PresentEvery = 20 * time.Second
	presentFor   = 50 * time.Second
)

// presences returns the subjects of the keys of a program's replicas.
func presences(program string) string { return "$KV." + Replicas + "." + program + "." }

// replica is the value of a key: the services that run in one process.
type replica struct {
	Services []string `json:"services"`
}

// Present says that a replica of a program works. id identifies it; program is the only service, or another name for a process with several.
func Present(ctx context.Context, js jetstream.JetStream, program, id string, services ...string) error {
	value, err := json.Marshal(replica{services})
	if err != nil {
		return fmt.Errorf("say that a replica works: %w", err)
	}
	if _, err := js.Publish(ctx, presences(program)+id, value, jetstream.WithRetryAttempts(0)); err != nil {
		return fmt.Errorf("say that a replica works: %w", err)
	}
	return nil
}

// Absent says that a replica does not work any more.
func Absent(ctx context.Context, js jetstream.JetStream, program, id string) error {
	_, err := js.PublishMsg(ctx, &nats.Msg{Subject: presences(program) + id, Header: nats.Header{"KV-Operation": {"DEL"}}}, jetstream.WithRetryAttempts(0))
	if err != nil {
		return fmt.Errorf("say that a replica has ended: %w", err)
	}
	return nil
}

// ReplicasOf returns how many replicas of each service work; nil if that is not known, because `signrelay provision` of this version was not run.
func ReplicasOf(ctx context.Context, js jetstream.JetStream) (map[string]int, error) {
	switch _, err := js.Stream(ctx, lookup(Replicas)); {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, nil //nolint:nilnil // the comment says what it means
	case err != nil:
		return nil, fmt.Errorf("count the replicas: %w", err)
	}
	all := map[string]int{}
	for m, err := range (event.Log{JS: js, Stream: lookup(Replicas)}).Last(ctx, "$KV."+Replicas+".>") {
		if err != nil {
			return nil, fmt.Errorf("count the replicas: %w", err)
		}
		var r replica
		if m.Header.Get("KV-Operation") != "" || json.Unmarshal(m.Data, &r) != nil {
			continue
		}
		for _, service := range r.Services {
			all[service]++
		}
	}
	return all, nil
}
