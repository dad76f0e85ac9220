package flow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Provision is a Provisioner's Run without a word of the operator's.
func Provision(ctx context.Context, js jetstream.JetStream, replicas int) error {
	return Provisioner{JS: js, Replicas: replicas}.Run(ctx)
}

// Provisioner makes what the tables say.
type Provisioner struct {
	JS       jetstream.JetStream
	Replicas int
	Starts   map[string]Start             // by stage: where its missing consumers start; for a stage that is not listed, see Start
	Tell     func(consumer, start string) // called for a consumer that was created where messages wait for it; may be nil
	// Sealed is true where the settings have a master key. From the first run with it on, the bucket LINKS says until when entries
	// could be made without it.
	Sealed bool
}

// Run makes every stream, bucket and durable consumer of the tables, or brings those that are there to what the tables say. It may
// be run at any time, by several at once, and again after an upgrade. Nothing else makes them: a worker that made its own would
// hide a wrong set-up, and KEDA scales to the maximum when a consumer is missing.
//
// It fails with a *StartError where consumers are missing and only an operator can say where they begin.
func (p Provisioner) Run(ctx context.Context) error {
	streams := map[string]jetstream.Stream{}
	for _, s := range Streams {
		made, err := p.JS.CreateOrUpdateStream(ctx, streamConfig(s, p.Replicas))
		if err != nil {
			return fmt.Errorf("provision stream %s: %w", s.Name, err)
		}
		streams[s.Name] = made
	}
	for _, b := range Buckets {
		if err := p.bucket(ctx, b); err != nil {
			return fmt.Errorf("provision bucket %s: %w", b.Name, err)
		}
	}
	undecided := new(StartError)
	for _, s := range Stages {
		for _, from := range []struct {
			stream string
			takes  []string
		}{{s.Stream, s.Takes}, {Replay, []string{s.Replays()}}} {
			missing, err := p.consumer(ctx, s, streams[from.stream], from.takes)
			if err != nil {
				return fmt.Errorf("provision consumer %s on %s: %w", s.Name, from.stream, err)
			}
			if missing != nil {
				undecided.Undecided = append(undecided.Undecided, *missing)
			}
		}
	}
	if len(undecided.Undecided) > 0 {
		return undecided
	}
	return nil
}

// unsealedUntil is the entry of a bucket's metadata that UnsealedUntil reads. No service may change metadata, so a stolen service user
// cannot move that time.
const unsealedUntil = "signrelay-unsealed-until"

// unsealedFor is how long services of before may go on to make entries without the master key, after Provision ran with it: a week, for
// who provisions days before the services are restarted.
const unsealedFor = 7 * day

// UnsealedUntil returns from when on all entries of a bucket are made with the master key, by its metadata; zero where Provision never ran
// with one.
func UnsealedUntil(metadata map[string]string) (time.Time, error) {
	text, ok := metadata[unsealedUntil]
	if !ok {
		return time.Time{}, nil
	}
	until, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("the bucket's metadata %s is no time: remove it and run `signrelay provision`: %w", unsealedUntil, err)
	}
	return until, nil
}

// bucket makes one bucket, or brings it up to date.
func (p Provisioner) bucket(ctx context.Context, b Bucket) error {
	want := bucketConfig(b, p.Replicas)
	if b.Name == Links {
		until, err := p.unsealed(ctx, b)
		if err != nil {
			return err
		}
		if until != "" {
			want.Metadata = map[string]string{unsealedUntil: until}
		}
	}
	if _, err := p.JS.CreateOrUpdateKeyValue(ctx, want); err != nil {
		return err
	}
	return p.forbidRollups(ctx, b)
}

// forbidRollups has the server refuse messages with the header Nats-Rollup in a bucket. The library allows it in every bucket, and with
// the value "all" the message removes all other entries: who may write one key could remove the entries of every service. A bucket
// whose entries expire needs it, because the server marks their end so; one service writes each of those.
func (p Provisioner) forbidRollups(ctx context.Context, b Bucket) error {
	stream, err := p.JS.Stream(ctx, "KV_"+b.Name)
	if err != nil {
		return err
	}
	is := stream.CachedInfo().Config
	if b.Expires || !is.AllowRollup {
		return nil
	}
	is.AllowRollup = false
	_, err = p.JS.UpdateStream(ctx, is)
	return err
}

// unsealed is what the bucket's metadata say, or shall say from now on, of when its entries are made with the master key.
func (p Provisioner) unsealed(ctx context.Context, b Bucket) (until string, err error) {
	at := time.Now()
	bucket, err := p.JS.KeyValue(ctx, b.Name)
	if err == nil {
		is, err := bucket.Status(ctx)
		if err != nil {
			return "", err
		}
		if until, ok := is.Metadata()[unsealedUntil]; ok {
			return until, nil
		}
		at = at.Add(unsealedFor)
	} else if !errors.Is(err, jetstream.ErrBucketNotFound) {
		return "", err
	}
	if !p.Sealed {
		return "", nil
	}
	return at.UTC().Format(time.RFC3339Nano), nil
}

// consumer makes one consumer, or brings it up to date: where it began is not changed.
func (p Provisioner) consumer(ctx context.Context, s Stage, stream jetstream.Stream, takes []string) (*Undecided, error) {
	name := stream.CachedInfo().Config.Name
	want := consumerConfig(s, name, takes)
	is, err := stream.Consumer(ctx, s.Name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		start, undecided, err := p.start(ctx, s, stream, takes)
		if err != nil || undecided != nil {
			return undecided, err
		}
		start.in(&want)
		_, err = stream.CreateConsumer(ctx, want)
		if err == nil && p.Tell != nil && start != (Start{}) {
			p.Tell("consumer "+s.Name+" on "+name, start.String())
		}
		if !errors.Is(err, jetstream.ErrConsumerExists) { // made by another at the same time
			return nil, err
		}
		if is, err = stream.Consumer(ctx, s.Name); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	began := is.CachedInfo().Config
	want.DeliverPolicy, want.OptStartSeq, want.OptStartTime = began.DeliverPolicy, began.OptStartSeq, began.OptStartTime
	_, err = stream.UpdateConsumer(ctx, want)
	return nil, err
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

// marked is how long the broker keeps the mark of an entry that reached an end of its own. Nothing reads it.
const marked = time.Minute

func bucketConfig(b Bucket, replicas int) jetstream.KeyValueConfig {
	c := jetstream.KeyValueConfig{
		Bucket:      b.Name,
		Description: b.Keeps,
		TTL:         b.MaxAge,
		History:     1,
		Storage:     jetstream.FileStorage,
		Replicas:    max(replicas, 1),
	}
	if b.Expires {
		c.LimitMarkerTTL = marked
	}
	return c
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

// maxAckPending bounds the inputs that all replicas of a stage have in flight together, with those that wait for a retry: a
// provider that is down for an hour must not stop the stage for the sources of the others before so many wait.
const maxAckPending = 10_000

// Provisioned reports what is missing of what Provision makes, or nil. Where services are named, it asks only what they may ask: with
// their credentials, any other question stays without a response.
func Provisioned(ctx context.Context, js jetstream.JetStream, services ...string) error {
	may := mayAsk(services)
	var missing []error
	for _, s := range Streams {
		if !may(streamInfo + s.Name) {
			continue
		}
		if _, err := js.Stream(ctx, s.Name); err != nil {
			missing = append(missing, fmt.Errorf("stream %s: %w", s.Name, err))
		}
	}
	for _, b := range Buckets {
		if !may(streamInfo + "KV_" + b.Name) {
			continue
		}
		if _, err := js.KeyValue(ctx, b.Name); err != nil {
			missing = append(missing, fmt.Errorf("bucket %s: %w", b.Name, err))
		}
	}
	for _, s := range Stages {
		for _, stream := range []string{s.Stream, Replay} {
			if !may(consumerInfo + stream + "." + s.Name) {
				continue
			}
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
	c.Subjects, c.Duplicates = nil, 0 // its inputs come from the log
	c.Mirror = &jetstream.StreamSource{Name: Signing, External: &jetstream.ExternalStream{APIPrefix: copyAPI, DeliverPrefix: copyDelivery}}
	c.MirrorDirect = true
	return c
}
