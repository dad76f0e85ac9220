package flow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Provision runs a Provisioner without choices of the operator.
func Provision(ctx context.Context, js jetstream.JetStream, replicas int) error {
	return Provisioner{JS: js, Replicas: replicas}.Run(ctx)
}

// Provisioner creates the streams, buckets and consumers of the tables.
type Provisioner struct {
	JS       jetstream.JetStream
	Replicas int
	Starts   map[string]Start             // by stage: where its missing consumers start; for a stage that is not listed, see Start
	Created  func(consumer, start string) // called for each consumer that was created although messages wait for it; may be nil
	// Sealed is true if the settings have a master key. From the first run with it on, the metadata of the bucket LINKS has the time until
	// which entries could be made without it.
	Sealed bool
}

// Run creates every stream, bucket and durable consumer of the tables, or updates those that exist. It may run at any time, several times at
// once, and again after an upgrade. No other code creates them: a worker that created its own consumer would hide a wrong setup, and KEDA
// scales to the maximum if a consumer is missing.
//
// It fails with a *StartError if consumers are missing and only an operator can decide where they start.
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
			stream   string
			subjects []string
		}{{s.Stream, s.Consumes}, {Replay, []string{s.Replays()}}} {
			missing, err := p.consumer(ctx, s, streams[from.stream], from.subjects)
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

// unsealedFor is the time for which running services may still make entries without the master key after Provision ran with it. It is a week,
// because operators may provision days before they restart the services.
const unsealedFor = 7 * day

// UnsealedUntil returns the time from which all entries of a bucket are made with the master key, from its metadata; zero if Provision never
// ran with one.
func UnsealedUntil(metadata map[string]string) (time.Time, error) {
	text, ok := metadata[unsealedUntil]
	if !ok {
		return time.Time{}, nil
	}
	until, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("the bucket's metadata %s is not a time: remove it and run `signrelay provision`: %w", unsealedUntil, err)
	}
	return until, nil
}

// bucket creates or updates one bucket.
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

// forbidRollups makes the server refuse messages with the header Nats-Rollup in a bucket. The library allows the header in every bucket. With
// the value "all", the message removes all other entries, so a service that may write one key could remove the entries of every service. A
// bucket with expiring entries needs the header, because the server marks expired entries with it. Only one service writes each such bucket.
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

// unsealed returns the stored time of UnsealedUntil, or the time to store now.
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

// consumer creates or updates one consumer. An update does not change its start.
func (p Provisioner) consumer(ctx context.Context, s Stage, stream jetstream.Stream, subjects []string) (*Undecided, error) {
	name := stream.CachedInfo().Config.Name
	want := consumerConfig(s, name, subjects)
	is, err := stream.Consumer(ctx, s.Name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		start, undecided, err := p.start(ctx, s, stream, subjects)
		if err != nil || undecided != nil {
			return undecided, err
		}
		start.in(&want)
		_, err = stream.CreateConsumer(ctx, want)
		if err == nil && p.Created != nil && start != (Start{}) {
			p.Created("consumer "+s.Name+" on "+name, start.String())
		}
		if !errors.Is(err, jetstream.ErrConsumerExists) { // another process created it at the same time
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
	c := jetstream.StreamConfig{
		Name:        s.Name,
		Description: s.Purpose,
		Subjects:    s.Subjects,
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Discard:     jetstream.DiscardOld,
		MaxAge:      s.MaxAge,
		Duplicates:  DuplicateWindow,
		Replicas:    max(replicas, 1),
		AllowDirect: true, // services look up one event in the log by its subject

		AllowAtomicPublish: s.Batches,
	}
	if s.Schedules {
		// The server sets AllowRollup for schedules. Only the service that owns the stream may write into it. Each message rolls up its subject,
		// and MaxMsgsPerSubject is not set: the server writes no deletion mark for a message beyond that limit. If the newer message is deleted
		// and the server is killed, the older one exists again, as a schedule that never fires (seen with 2.15.2).
		c.AllowMsgSchedules, c.AllowMsgTTL, c.AllowRollup = true, true, true
	}
	return c
}

// marked is the time for which the broker keeps the mark of an expired entry. No code reads the mark.
const marked = time.Minute

func bucketConfig(b Bucket, replicas int) jetstream.KeyValueConfig {
	c := jetstream.KeyValueConfig{
		Bucket:      b.Name,
		Description: b.Purpose,
		TTL:         b.MaxAge,
		History:     1,
		Storage:     jetstream.FileStorage,
		Replicas:    max(replicas, 1),

		MaxValueSize: b.LargestValue,
	}
	if b.Expires {
		c.LimitMarkerTTL = marked
	}
	return c
}

// ProvisionCallbacks creates the bucket for ingest's claims in an embedded server, whose entries are not synced to the disk one by one: a power cut
// or a killed process loses the last ones. Such an end of the program must be recorded as a gap of the dedupe store before ingest starts again.
func ProvisionCallbacks(ctx context.Context, js jetstream.JetStream) error {
	_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:              "KV_" + Callbacks,
		Description:       "ingest's claims and confirmations; not synced",
		Subjects:          []string{"$KV." + Callbacks + ".>"},
		MaxMsgsPerSubject: 1,
		MaxAge:            Remember,
		Storage:           jetstream.FileStorage,
		Discard:           jetstream.DiscardNew,
		DenyDelete:        true,
		AllowDirect:       true,
		Replicas:          1,
		PersistMode:       jetstream.AsyncPersistMode,
	})
	if err != nil {
		return fmt.Errorf("provision bucket %s: %w", Callbacks, err)
	}
	return nil
}

func consumerConfig(s Stage, stream string, subjects []string) jetstream.ConsumerConfig {
	want := jetstream.ConsumerConfig{
		Durable:        s.Name,
		Description:    s.Purpose,
		FilterSubjects: subjects,
		DeliverPolicy:  jetstream.DeliverAllPolicy,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        AckWait,
		MaxDeliver:     -1, // the runner counts the attempts, so that no input is dropped without an entry in the DLQ
		MaxAckPending:  maxAckPending,
	}
	if s.Ordered && stream == s.Stream {
		want.MaxAckPending = s.Workers
		want.PriorityPolicy, want.PriorityGroups, want.PinnedTTL = jetstream.PriorityPolicyPinned, []string{Active}, StandBy
	}
	return want
}

// maxAckPending limits the inputs that all replicas of a stage together have in flight, including those that wait for a retry. It is high, so
// that an outage of one provider for an hour does not stop the stage for sources of other providers.
const maxAckPending = 10_000

// Provisioned returns an error for each missing resource of Provision, or nil. If services are named, it sends only the requests that they
// may send, because the server does not respond to other requests with their credentials.
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

// ProvisionCopy creates a subscriber's copy of the log, in the account of the subscriber's credentials. The server keeps it up
// to date, with the log's own sequences. It has the log's name, so that readers read it like the log. An existing copy remains
// unchanged, because a subscriber may not change it. ProvisionCopy fails if a stream with that name is not a copy.
func ProvisionCopy(ctx context.Context, js jetstream.JetStream, replicas int) error {
	want := copyConfig(replicas)
	_, err := js.CreateStream(ctx, want)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		var is jetstream.Stream
		if is, err = js.Stream(ctx, Signing); err == nil && !copies(is.CachedInfo().Config.Mirror, want.Mirror) {
			err = errors.New("a stream with this name exists that is not a copy; remove it")
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

// copyConfig returns the settings of a copy, based on those of the log, the first of Streams.
func copyConfig(replicas int) jetstream.StreamConfig {
	c := streamConfig(Streams[0], replicas)
	c.Subjects, c.Duplicates, c.AllowAtomicPublish = nil, 0, false // its inputs come from the log
	c.Mirror = &jetstream.StreamSource{Name: Signing, External: &jetstream.ExternalStream{APIPrefix: copyAPI, DeliverPrefix: CopyDelivery}}
	c.MirrorDirect = true
	return c
}
