package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// Difference is one difference between the broker and the tables.
type Difference struct {
	Of      string // "stream SIGNING", "bucket LINKS", "consumer enricher on SIGNING"
	Setting string // "max_age"; empty if the whole resource is missing
	Is      string
	Want    string
}

func (d Difference) String() string {
	if d.Setting == "" {
		return d.Of + " is missing"
	}
	return fmt.Sprintf("%s: %s is %s, not %s", d.Of, d.Setting, d.Is, d.Want)
}

// Drift compares the broker with the result of Provision, and changes nothing. If services are named, it compares only the resources
// that they may read. An error means that the broker did not respond.
func Drift(ctx context.Context, js jetstream.JetStream, replicas int, services ...string) ([]Difference, error) {
	d := &drift{ctx: ctx, js: js, may: mayAsk(services)}
	for _, s := range Streams {
		d.stream(s.Name, "stream "+s.Name, streamSettings(streamConfig(s, replicas)))
	}
	for _, b := range Buckets {
		// A bucket is a stream with this name; its entries are subjects, and its history is per subject.
		d.stream("KV_"+b.Name, "bucket "+b.Name, bucketSettings(bucketConfig(b, replicas)))
	}
	for _, s := range Stages {
		d.consumer(s, s.Stream, s.Consumes)
		d.consumer(s, Replay, []string{s.Replays()})
	}
	return d.found, d.err
}

type drift struct {
	ctx   context.Context //nolint:containedctx // lives for one call of Drift
	js    jetstream.JetStream
	may   func(request string) bool
	found []Difference
	err   error // of the first failed request; no request follows it
}

// settingsOf returns the settings that are compared, under the names that the server and its command line use.
type settingsOf map[string]string

func (d *drift) stream(name, of string, want settingsOf) {
	if d.err != nil || !d.may(streamInfo+name) {
		return
	}
	s, err := d.js.Stream(d.ctx, name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		d.found = append(d.found, Difference{Of: of})
	case err != nil:
		d.err = fmt.Errorf("request %s: %w", of, err)
	default:
		d.compare(of, streamSettings(s.CachedInfo().Config), want)
	}
}

func (d *drift) consumer(s Stage, stream string, subjects []string) {
	if d.err != nil || !d.may(consumerInfo+stream+"."+s.Name) {
		return
	}
	of := "consumer " + s.Name + " on " + stream
	c, err := d.js.Consumer(d.ctx, stream, s.Name)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
		d.found = append(d.found, Difference{Of: of})
	case err != nil:
		d.err = fmt.Errorf("request %s: %w", of, err)
	default:
		info := c.CachedInfo()
		d.compare(of, consumerSettings(info.Config), consumerSettings(consumerConfig(s, stream, subjects)))
		if info.Paused {
			d.found = append(d.found, Difference{Of: of, Setting: "paused", Is: "true", Want: "false"})
		}
	}
}

// compare compares only the settings that are wanted, in the order of their names.
func (d *drift) compare(of string, is, want settingsOf) {
	names := make([]string, 0, len(want))
	for name := range want {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if is[name] != want[name] {
			d.found = append(d.found, Difference{Of: of, Setting: name, Is: is[name], Want: want[name]})
		}
	}
}

func streamSettings(c jetstream.StreamConfig) settingsOf {
	return settingsOf{
		"subjects":             list(c.Subjects),
		"retention":            c.Retention.String(),
		"storage":              c.Storage.String(),
		"discard":              c.Discard.String(),
		"max_age":              c.MaxAge.String(),
		"duplicate_window":     c.Duplicates.String(),
		"num_replicas":         strconv.Itoa(c.Replicas),
		"allow_direct":         strconv.FormatBool(c.AllowDirect),
		"allow_atomic":         strconv.FormatBool(c.AllowAtomicPublish),
		"allow_msg_ttl":        strconv.FormatBool(c.AllowMsgTTL),
		"allow_msg_schedules":  strconv.FormatBool(c.AllowMsgSchedules),
		"allow_rollup_hdrs":    strconv.FormatBool(c.AllowRollup),
		"max_msgs":             unlimited(c.MaxMsgs),
		"max_bytes":            unlimited(c.MaxBytes),
		"max_msgs_per_subject": unlimited(c.MaxMsgsPerSubject),
		"max_msg_size":         unlimited(int64(c.MaxMsgSize)),
		"no_ack":               strconv.FormatBool(c.NoAck),
		"sealed":               strconv.FormatBool(c.Sealed),
	}
}

// bucketSettings returns the compared settings of the stream behind a bucket; the library sets the others when it creates the stream.
func bucketSettings(c jetstream.KeyValueConfig) settingsOf {
	return settingsOf{
		"subjects":             "$KV." + c.Bucket + ".>",
		"storage":              c.Storage.String(),
		"max_age":              c.TTL.String(),
		"num_replicas":         strconv.Itoa(c.Replicas),
		"allow_direct":         "true",
		"allow_msg_ttl":        strconv.FormatBool(c.LimitMarkerTTL > 0),
		"allow_rollup_hdrs":    strconv.FormatBool(c.LimitMarkerTTL > 0), // see forbidRollups
		"max_bytes":            unlimited(c.MaxBytes),
		"max_msgs_per_subject": unlimited(int64(c.History)),
	}
}

func consumerSettings(c jetstream.ConsumerConfig) settingsOf {
	filters := c.FilterSubjects
	if c.FilterSubject != "" {
		filters = append(slices.Clone(filters), c.FilterSubject)
	}
	return settingsOf{
		"durable_name":     c.Durable,
		"filter_subjects":  list(filters),
		"deliver_policy":   delivers(c.DeliverPolicy),
		"ack_policy":       c.AckPolicy.String(),
		"ack_wait":         c.AckWait.String(),
		"max_deliver":      unlimited(int64(c.MaxDeliver)),
		"max_ack_pending":  strconv.Itoa(c.MaxAckPending),
		"backoff":          fmt.Sprint(c.BackOff),
		"headers_only":     strconv.FormatBool(c.HeadersOnly),
		"priority_policy":  fmt.Sprint(c.PriorityPolicy),
		"priority_groups":  list(c.PriorityGroups),
		"priority_timeout": c.PinnedTTL.String(),
	}
}

// delivers describes a deliver policy by the messages that it omits. Policies that omit no message after their start count as equal, because
// a recreated consumer does not start at the first message.
func delivers(p jetstream.DeliverPolicy) string {
	switch p {
	case jetstream.DeliverLastPolicy, jetstream.DeliverLastPerSubjectPolicy:
		return p.String()
	default:
		return "every message from its start on"
	}
}

// list returns the same text for the same members in any order.
func list(members []string) string {
	return strings.Join(slices.Sorted(slices.Values(members)), ", ")
}

// unlimited returns a readable limit: the server writes -1 for none, and accepts 0 for it.
func unlimited(n int64) string {
	if n <= 0 {
		return "unlimited"
	}
	return strconv.FormatInt(n, 10)
}
