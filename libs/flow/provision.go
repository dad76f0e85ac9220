package flow

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Provision makes every stream, bucket and durable consumer of the tables, or brings those that are there to what the
// tables say. It may be run at any time, by several at once, and again after an upgrade. Nothing else makes them: a
// worker that made its own would hide a wrong set-up, and KEDA scales to the maximum when a consumer is missing.
func Provision(ctx context.Context, js jetstream.JetStream, replicas int) error {
	for _, s := range Streams {
		if _, err := js.CreateOrUpdateStream(ctx, streamConfig(s, replicas)); err != nil {
			return fmt.Errorf("provision stream %s: %w", s.Name, err)
		}
	}
	for _, b := range Buckets {
		if _, err := js.CreateOrUpdateKeyValue(ctx, bucketConfig(b, replicas)); err != nil {
			return fmt.Errorf("provision bucket %s: %w", b.Name, err)
		}
	}
	for _, s := range Stages {
		if err := provisionConsumer(ctx, js, s, s.Stream, s.Takes); err != nil {
			return err
		}
		if err := provisionConsumer(ctx, js, s, Replay, []string{s.Replays()}); err != nil {
			return err
		}
	}
	return nil
}

func streamConfig(s Stream, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        s.Name,
		Description: s.Keeps,
		Subjects:    s.Subjects,
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Discard:     jetstream.DiscardOld,
		MaxAge:      s.MaxAge,
		Duplicates:  DuplicateWindow,
		Replicas:    max(replicas, 1),
		AllowDirect: true, // the log is asked for one event by its subject: "was this stored?"
	}
}

func bucketConfig(b Bucket, replicas int) jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket:      b.Name,
		Description: b.Keeps,
		TTL:         b.MaxAge,
		History:     1,
		Storage:     jetstream.FileStorage,
		Replicas:    max(replicas, 1),
	}
}

func provisionConsumer(ctx context.Context, js jetstream.JetStream, s Stage, stream string, takes []string) error {
	if _, err := js.CreateOrUpdateConsumer(ctx, stream, consumerConfig(s, stream, takes)); err != nil {
		return fmt.Errorf("provision consumer %s on %s: %w", s.Name, stream, err)
	}
	return nil
}

func consumerConfig(s Stage, stream string, takes []string) jetstream.ConsumerConfig {
	want := jetstream.ConsumerConfig{
		Durable:        s.Name,
		Description:    s.Does,
		FilterSubjects: takes,
		DeliverPolicy:  jetstream.DeliverAllPolicy,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        AckWait,
		MaxDeliver:     -1, // the runner counts, so that nothing dies without an entry in the DLQ
		MaxAckPending:  maxAckPending,
	}
	if s.Ordered && stream == s.Stream {
		want.MaxAckPending = s.Workers
		want.PriorityPolicy, want.PriorityGroups, want.PinnedTTL = jetstream.PriorityPolicyPinned, []string{Active}, StandBy
	}
	return want
}

// maxAckPending bounds what all replicas of a stage have in hand together, work waiting for its retry included: a
// provider that is down for an hour must not stop the stage for the sources of the others before so many wait.
const maxAckPending = 10_000

// Provisioned tells whether Provision has run: what is missing, or nil.
func Provisioned(ctx context.Context, js jetstream.JetStream) error {
	var missing []error
	for _, s := range Streams {
		if _, err := js.Stream(ctx, s.Name); err != nil {
			missing = append(missing, fmt.Errorf("stream %s: %w", s.Name, err))
		}
	}
	for _, b := range Buckets {
		if _, err := js.KeyValue(ctx, b.Name); err != nil {
			missing = append(missing, fmt.Errorf("bucket %s: %w", b.Name, err))
		}
	}
	for _, s := range Stages {
		for _, stream := range []string{s.Stream, Replay} {
			if _, err := js.Consumer(ctx, stream, s.Name); err != nil {
				missing = append(missing, fmt.Errorf("consumer %s on %s: %w", s.Name, stream, err))
			}
		}
	}
	return errors.Join(missing...)
}

// ProvisionCopy makes a subscriber's copy of the log, in the account of the subscriber's own credentials. The server keeps it up
// to date, with the log's own sequences; it bears the log's name, so that it is read as the log is. A copy that is there stays as
// it is, because a subscriber may not change it. It fails where a stream of that name is no copy.
func ProvisionCopy(ctx context.Context, js jetstream.JetStream, replicas int) error {
	want := copyConfig(replicas)
	_, err := js.CreateStream(ctx, want)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		var is jetstream.Stream
		if is, err = js.Stream(ctx, Signing); err == nil && !copies(is.CachedInfo().Config.Mirror, want.Mirror) {
			err = errors.New("a stream of this name is there that is no copy; remove it")
		}
	}
	if err != nil {
		return fmt.Errorf("provision the copy of %s: %w", Signing, err)
	}
	return nil
}

func copies(is, want *jetstream.StreamSource) bool {
	return is != nil && is.External != nil && is.Name == want.Name && *is.External == *want.External
}

// copyConfig is as the log's, the first of Streams.
func copyConfig(replicas int) jetstream.StreamConfig {
	c := streamConfig(Streams[0], replicas)
	c.Subjects, c.Duplicates = nil, 0 // what it takes, it takes from the log
	c.Mirror = &jetstream.StreamSource{Name: Signing, External: &jetstream.ExternalStream{APIPrefix: copyAPI, DeliverPrefix: copyDelivery}}
	c.MirrorDirect = true
	return c
}
