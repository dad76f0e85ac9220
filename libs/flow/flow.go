// Package flow is the map of the flow: all streams and all stages in order, with their subjects and policies, in one table each.
// Provisioning, the stages' runners, and the picture in the README use it.
package flow

import (
	"time"

	"github.com/signrelay/signrelay/libs/event"
)

// SmallestPayload is the least max_payload of the NATS server, in bytes: room for a callback of 1 MiB as an event, with its
// attributes' names and headers.
const SmallestPayload = 2_000_000

// Stream is a JetStream stream. All have limits retention: a work queue forgets its duplicate window on a restart, and
// its messages cannot be browsed.
type Stream struct {
	Name     string
	Subjects []string
	MaxAge   time.Duration
	Keeps    string // what it is for, in the operator's words
}

// Names of the streams.
const (
	Signing    = "SIGNING"
	Notify     = "NOTIFY"
	Quarantine = "QUARANTINE"
	DLQ        = "DLQ"
	Replay     = "REPLAY"
)

const day = 24 * time.Hour

// DuplicateWindow is how long a stream itself refuses a Nats-Msg-Id that it has seen: about 150 bytes of memory an id,
// so 18 MB at 1,000 events a second. Package dedupe remembers ids for longer.
const DuplicateWindow = 2 * time.Minute

// Streams in the order of the flow.
var Streams = []Stream{
	{Name: Signing, Subjects: []string{event.Everything}, MaxAge: LogReaches + day, Keeps: "the one log of everything that happened to a document"},
	{Name: Notify, Subjects: []string{Notifications}, MaxAge: 14 * day, Keeps: "messages to signers on their way from stage to stage"},
	{Name: Quarantine, Subjects: []string{Quarantined}, MaxAge: 30 * day, Keeps: "authentic callbacks that nobody could read, byte for byte"},
	{Name: DLQ, Subjects: append([]string{DeadLetters}, Advisories()...), MaxAge: 30 * day, Keeps: "work given up on, byte for byte, with the reason"},
	// Kept as long as DLQ: that a replay's subject is taken is how a second one of the same letter is noticed.
	{Name: Replay, Subjects: []string{Replays}, MaxAge: 30 * day, Keeps: "dead letters that an operator gave back to their stage"},
}

// Bucket is a JetStream key-value bucket.
type Bucket struct {
	Name   string
	MaxAge time.Duration // of an entry; 0 keeps it
	// Expires is true where entries may have an end of their own, before MaxAge.
	Expires bool
	Keeps   string
}

// Names of the buckets.
const (
	Memory = "MEMORY"
	State  = "STATE"
	Links  = "LINKS"
	Texts  = "TEXTS"
	// Attempts is written by senders.
	Attempts = "ATTEMPTS"
)

// Remember is how long an ingested event's id is remembered: longer than the longest retry of a provider, PleaseSign's
// three days.
const Remember = 4 * day

// LogReaches is the age up to which the log certainly holds all events: one day less than it keeps events.
const LogReaches = 89 * day

// Buckets of the flow.
var Buckets = []Bucket{
	{Name: Memory, MaxAge: RememberSent, Keeps: "claims and confirmations where there is no Redis"},
	{Name: State, Keeps: "what the services must know of each other's outages"},
	{Name: Links, MaxAge: 90 * day, Expires: true, Keeps: "our own short links"},
	{Name: Attempts, MaxAge: RememberSent, Keeps: "what senders know of messages that did not leave at once: unknown outcomes, held"},
	{Name: Texts, MaxAge: RememberText, Keeps: "which delivery receipts of a text message have come"},
}

// UpdateAttempts is how often a replica changes an entry of a bucket again, because another replica changed the entry at the same time. In
// each round one replica succeeds, and few replicas change one person's link, or one text, at the same time.
const UpdateAttempts = 20

// RememberSent is how long a sent message's id is remembered: longer than NOTIFY keeps the work, so that no redelivery
// or replay of the stream can outlive it.
const RememberSent = 15 * day

// RememberText is how long a text's delivery receipts are taken: a text lives 72 hours at Vonage, which then tries for
// another 72 to report the outcome.
const RememberText = 7 * day

// Policy is the number of attempts of a stage, and the delays between them.
type Policy struct {
	MaxAttempts int           // then the input is given up and goes to the DLQ
	FirstDelay  time.Duration // after the first failed attempt; doubles with each
	MaxDelay    time.Duration
}

// patient tries for about a day: 1 s, 2 s, 4 s, … 10 min, 151 attempts. A provider's or a mail server's bad day must not
// bury a signer's link.
var patient = Policy{MaxAttempts: 151, FirstDelay: time.Second, MaxDelay: 10 * time.Minute}

// Producer is a service that writes events from outside into the log.
type Producer struct {
	Name  string
	Gives []string // what it publishes
	Uses  Uses
	Does  string // in the operator's words
}

// Uses lists the resources of a service beside its inputs and outputs.
type Uses struct {
	Streams []string // in which it looks up what was stored before
	Buckets []Keys   // whose entries it reads and writes
	Rates   []string // of whose rate limits it takes slots
}

// Keys are the entries of a bucket that a service writes. It reads all of the bucket.
type Keys struct {
	Bucket string
	Keys   string // as a subject has it; ">" is all
}

// Rate limits that replicas share: the first words of their keys.
const (
	RateAPI       = "api"       // of a provider's API, one a source
	RateClicks    = "api-click" // its part for those who click on links
	RateShortener = "shortener" // of Bitly or Rebrandly
	RateLink      = "link"      // of links opened from one address
	RateVonage    = "vonage"    // of an account at Vonage
)

// Producers of the flow.
var Producers = []Producer{
	{Name: "ingest", Gives: []string{event.Everything, Quarantined}, Does: "verify, normalize, dedupe, publish, answer", Uses: Uses{
		Streams: []string{Signing, Quarantine}, // "was this stored?", after a crash or where the memory has a gap
		Buckets: []Keys{{State, "dedupe.>"}},   // times in which Redis was away
	}},
}

// IngestMemory is the namespace of ingest's claims in the memory. It is short, because every callback's key has it.
const IngestMemory = "i"

// MemoryOf is the namespace of a service's claims in the memory; empty where it claims nothing.
func MemoryOf(service string) string {
	for _, s := range Stages {
		if s.Name == service && s.Effect {
			return s.Name
		}
	}
	if service == "ingest" {
		return IngestMemory
	}
	return ""
}

// Stage is a consumer: its place in the flow and its policy. Its durable consumer bears its name, and so does the one by
// which it alone receives its replays.
type Stage struct {
	Name    string
	Stream  string   // what it reads
	Takes   []string // filter subjects in that stream
	Gives   []string // what it publishes
	Uses    Uses
	Does    string        // in the operator's words
	Workers int           // inputs in flight at once in one replica
	Timeout time.Duration // of one attempt
	// Effect is true when the stage does something outside that must not be done twice: it claims each input first.
	Effect bool
	// Ordered is true when inputs must leave in the stream's order: one replica works and the others stand by, and all
	// of them together have at most Workers inputs in flight.
	Ordered bool
	// Optional is true when the stage runs only where the settings ask for it. Its consumer is made all the same, so that
	// it finds the whole log when it is asked for later, and KEDA finds the consumer; until then it only shows a lag.
	Optional bool
	Policy   Policy
}

// Names of the stages.
const (
	Enricher    = "enricher"
	Shortener   = "shortener"
	SMSSender   = "sms-sender"
	EmailSender = "email-sender"
	KafkaBridge = "kafka-bridge"
)

// outcomes are the senders' events.
var outcomes = event.TypeFilter(event.EntityNotification + ".*")

// Stages in the order of the flow.
var Stages = []Stage{
	{
		Name: Enricher, Stream: Signing,
		Takes: filters(event.Told()),
		Gives: []string{
			ToShorten, ToSend,
			event.TypeFilter(event.NotificationRequested), event.TypeFilter(event.NotificationSuppressed),
		},
		Uses: Uses{Streams: []string{Signing}, Rates: []string{RateAPI}}, // a document's past
		Does: "asks the provider's REST API who must be told what", Workers: 16, Timeout: 30 * time.Second, Policy: patient,
	},
	{
		Name: Shortener, Stream: Notify, Takes: []string{ToShorten},
		Gives: []string{ToSend, event.EntityFilter(event.EntityLink)},
		// The events that it published before.
		Uses: Uses{Streams: []string{Signing}, Buckets: []Keys{{Links, ">"}}, Rates: []string{RateClicks, RateShortener, RateLink}},
		Does: "makes the short link, and serves it", Workers: 16, Timeout: 30 * time.Second, Policy: patient,
	},
	{
		Name: SMSSender, Stream: Notify, Takes: []string{SendFilter("sms")},
		Gives: []string{outcomes},
		// Earlier sends, and the number of unknown attempts.
		Uses: Uses{Streams: []string{Signing}, Buckets: []Keys{{Texts, ">"}, {Attempts, "message.sms.>"}}, Rates: []string{RateVonage}},
		Does: "one SMS through Vonage", Workers: 16, Timeout: 20 * time.Second, Effect: true, Policy: patient,
	},
	{
		Name: EmailSender, Stream: Notify, Takes: []string{SendFilter("email")},
		Gives: []string{outcomes},
		// Earlier sends, and the number of unknown attempts.
		Uses: Uses{Streams: []string{Signing}, Buckets: []Keys{{Attempts, "message.email.>"}}},
		// 10 minutes for the reply to the final dot, and the other steps.
		Does: "one e-mail over SMTP", Workers: 8, Timeout: 14 * time.Minute, Effect: true, Policy: patient,
	},
	{
		Name: KafkaBridge, Stream: Signing, Takes: []string{event.Everything},
		Does: "the log onto a Kafka topic, each document in order", Workers: 256, Timeout: 30 * time.Second, Policy: patient,
		Ordered: true, Optional: true,
	},
}

// filters are those of the events of some types.
func filters(types []string) []string {
	all := make([]string, len(types))
	for i, name := range types {
		all[i] = event.TypeFilter(name)
	}
	return all
}

// StageNamed returns the stage of that name; the names are this package's constants, so another one is a mistake in the
// program and panics.
func StageNamed(name string) Stage {
	for _, s := range Stages {
		if s.Name == name {
			return s
		}
	}
	panic("flow: no stage " + name)
}

// The prefixes of the subjects on which the server reports that a message will not be delivered again, though its stage never acked
// it. The stream and the consumer follow.
const (
	AdvisoryMaxDeliveries = advisory + "MAX_DELIVERIES." // the consumer's deliveries are limited
	AdvisoryTerminated    = advisory + "MSG_TERMINATED." // the message was terminated

	advisory = "$JS.EVENT.ADVISORY.CONSUMER."
)

// Advisories returns the subjects of the server's reports about the stages of the flow.
func Advisories() []string {
	var subjects []string
	for _, s := range Stages {
		for _, stream := range []string{s.Stream, Replay} {
			for _, kind := range []string{AdvisoryMaxDeliveries, AdvisoryTerminated} {
				subjects = append(subjects, kind+stream+"."+s.Name)
			}
		}
	}
	return subjects
}

// Active is the group of replicas of an ordered stage of which one works at a time. StandBy is how long the one that works
// may be silent before the server lets another: it asks for work every third of it.
const (
	Active  = "active"
	StandBy = 15 * time.Second
)

// AckWait is how long the server waits for an ack or an extension before it delivers a message to another replica. The runner extends it every
// third of it, so it bounds only how long a dead replica's work lies idle. If a living replica cannot send an extension for so long,
// its work is done twice at worst, which is harmless: a stage with an effect has a claim besides.
const AckWait = 4 * time.Second
