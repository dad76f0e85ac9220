// Package flow is the map of the flow: all streams and all stages in order, with their subjects and policies, in one table each.
// Provisioning, the stages' runners, and the picture in the README use it.
package flow

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
)

// SmallestPayload is the minimum max_payload of the NATS server, in bytes: room for a callback of 1 MiB as an event, with its
// attribute names and headers, and the callback itself.
const SmallestPayload = 4_000_000

// Stream is a JetStream stream. All have limits retention, because a work queue forgets its duplicate window on a restart, and its messages
// cannot be browsed.
type Stream struct {
	Name     string
	Subjects []string
	MaxAge   time.Duration
	Batches  bool // it accepts atomic batches, with one sync to the disk for all messages of a batch
	// Schedules is true if the stream may hold messages that the server publishes at a later time. Each scheduled message rolls up its subject, so
	// that it replaces the earlier one.
	Schedules bool
	Purpose   string // for operators
}

// Names of the streams.
const (
	Signing    = "SIGNING"
	Notify     = "NOTIFY"
	LaterSMS   = "LATER_SMS"
	LaterEmail = "LATER_EMAIL"
	Remind     = "REMIND"
	Archive    = "ARCHIVE"
	Quarantine = "QUARANTINE"
	DLQ        = "DLQ"
	Replay     = "REPLAY"
	Hold       = "HOLD"
)

const day = 24 * time.Hour

// DuplicateWindow is the time for which a stream itself refuses a known Nats-Msg-Id. It takes about 150 bytes of memory for each id, so 18 MB
// at 1,000 events a second. Package dedupe remembers ids for longer.
const DuplicateWindow = 2 * time.Minute

// Streams in the order of the flow.
var Streams = []Stream{
	{Name: Signing, Subjects: []string{event.Everything}, MaxAge: LogReaches + day, Batches: true, Purpose: "the one log of everything that happened to a document"},
	{Name: Notify, Subjects: []string{Notifications}, MaxAge: 14 * day, Purpose: "messages to signers on their way from stage to stage"},
	// Each has one writer besides the operator, because a stream with schedules also accepts rollups, which remove other messages.
	{Name: LaterSMS, Subjects: []string{laterPrefix + "sms.>"}, MaxAge: 14 * day, Schedules: true, Purpose: "texts that are scheduled for later, and those that are due"},
	{Name: LaterEmail, Subjects: []string{laterPrefix + "email.>"}, MaxAge: 14 * day, Schedules: true, Purpose: "e-mails that are scheduled for later, and those that are due"},
	{Name: Remind, Subjects: []string{Reminders}, MaxAge: LogReaches + day, Schedules: true, Purpose: "scheduled reminders, one a person, and fallbacks, one a message; and those that are due"},
	{Name: Archive, Subjects: []string{archivePrefix + ">"}, MaxAge: LogReaches + day, Schedules: true, Purpose: "completed documents whose files were not available yet, scheduled for the next attempt; and those that are due"},
	{Name: Quarantine, Subjects: []string{Quarantined}, MaxAge: 30 * day, Purpose: "authentic callbacks that cannot be read, byte for byte"},
	{Name: DLQ, Subjects: append([]string{DeadLetters}, Advisories()...), MaxAge: 30 * day, Purpose: "inputs on which a stage gave up, byte for byte, with the reason"},
	// As long as DLQ: a second replay of the same dead letter is detected because its subject is taken.
	{Name: Replay, Subjects: []string{Replays}, MaxAge: 30 * day, Purpose: "dead letters that an operator replayed to their stage"},
	// Without an age limit: a legal hold must not end with the age of the log (docs/adr/0042).
	{Name: Hold, Subjects: []string{HeldEvents}, Purpose: "copies of the events of documents under a legal hold"},
}

// Bucket is a JetStream key-value bucket.
type Bucket struct {
	Name   string
	MaxAge time.Duration // of an entry; 0 keeps it
	// Expires is true if entries may expire individually, before MaxAge.
	Expires bool
	// LargestValue limits an entry, in bytes; 0 is no limit. No bucket has a limit of its own: the server reserves that room, so that Provision fails
	// on a small disk.
	LargestValue int32
	Purpose      string
}

// Names of the buckets.
const (
	Memory = "MEMORY"
	// Callbacks replaces Memory for ingest's claims in `signrelay run`; see ProvisionCallbacks.
	Callbacks = "CALLBACKS"
	State     = "STATE"
	Links     = "LINKS"
	Texts     = "TEXTS"
	// Attempts is written by senders.
	Attempts = "ATTEMPTS"
	// OptOuts is written by the SMS sender, the shortener and the enricher.
	OptOuts = "OPTOUTS"
	Inbound = "INBOUND"
	// Erased is written by the command line and the keeper, and read by ingest.
	Erased = "ERASED"
	Holds  = "HOLDS"
	// Jobs is written by the processes that plan and run an operator's work.
	Jobs = "JOBS"
	// Certificates is written by the services with public listeners.
	Certificates = "CERTIFICATES"
	// Replicas is written by all services, and read by the console.
	Replicas = "REPLICAS"
)

// Remember is the time for which an ingested event's id is remembered. It is longer than the longest retry of a provider, PleaseSign's three
// days.
const Remember = 4 * day

// LogReaches is the age up to which the log certainly holds all events: one day less than it keeps events.
const LogReaches = 89 * day

// Buckets of the flow.
var Buckets = []Bucket{
	{Name: Memory, MaxAge: RememberSent, Purpose: "claims and confirmations if there is no Redis"},
	{Name: State, Purpose: "gaps of the dedupe store, the stages' floors, and what services know about each source"},
	{Name: Links, MaxAge: 90 * day, Expires: true, Purpose: "our own short links"},
	{Name: Attempts, MaxAge: RememberSent, Purpose: "messages that were not sent at once: unknown attempts, held messages"},
	{Name: Texts, MaxAge: RememberText, Purpose: "the delivery receipts of each text message, and the last text to each number"},
	{Name: OptOuts, Purpose: "who does not want messages any more, and who was corrected, under keyed hashes"},
	{Name: Inbound, MaxAge: RememberInbound, Purpose: "replies to texts that were handled, and parts of long ones"},
	{Name: Erased, Purpose: "which documents were erased, when, why and by whom, under keyed hashes"},
	{Name: Holds, Purpose: "which documents are under a legal hold, since when, why and by whom"},
	{Name: Jobs, MaxAge: 90 * day, Expires: true, Purpose: "plans of operators for 10 minutes, and their jobs with progress and result"},
	// A chain with its key has about 6 KiB. Sealed, so that a reader of the bucket does not get the keys.
	{Name: Certificates, LargestValue: 64 << 10, Purpose: "certificates of the public listeners from an ACME server, with their keys, sealed"},
	{Name: Replicas, MaxAge: presentFor, Purpose: "which replicas of each service work"},
}

// UpdateAttempts is the number of times that a replica tries to change an entry of a bucket, while other replicas change it too. In each
// round one replica succeeds. Few replicas change one person's link, or one text, at the same time.
const UpdateAttempts = 20

// Raced reports whether another replica has changed an entry at the same time, so that a try to create or to update it failed.
func Raced(err error) bool {
	return errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch)
}

// Remains returns the error of a deletion, and nil if the deletion failed because the stream does not have the message. The server has one error
// for all failures, and the library makes a text of it, so Remains asks for the message.
func Remains(ctx context.Context, stream jetstream.Stream, sequence uint64, err error) error {
	if err == nil {
		return nil
	}
	if _, found := stream.GetMsg(ctx, sequence); errors.Is(found, jetstream.ErrMsgNotFound) {
		return nil
	}
	return err
}

// RememberSent is the time for which a sent message's id is remembered. It is longer than NOTIFY keeps messages, so the id is still known at
// any redelivery or replay of the stream.
const RememberSent = 15 * day

// RememberText is the time for which a text's delivery receipts are accepted. Vonage tries for 72 hours to deliver a text, and then for
// another 72 hours to report the result.
const RememberText = 7 * day

// RememberInbound is the time for which a reply's id is remembered: twice the time for which Vonage repeats a reply.
const RememberInbound = 2 * day

// Policy is the number of attempts of a stage, and the delays between them.
type Policy struct {
	MaxAttempts int           // then the input is given up and goes to the DLQ
	FirstDelay  time.Duration // after the first failed attempt; doubles with each
	MaxDelay    time.Duration
}

// retryForADay tries for about a day: 1 s, 2 s, 4 s, … 10 min, 151 attempts. A day of failures at a provider or a mail server must not
// make a signer's link a dead letter.
var retryForADay = Policy{MaxAttempts: 151, FirstDelay: time.Second, MaxDelay: 10 * time.Minute}

// Producer is a service without an input stream that writes events into the log: it receives requests, or runs periodically.
type Producer struct {
	Name      string
	Publishes []string // the subjects on which it publishes
	// Receives is what outside parties send to it: "callbacks". It is empty if the service runs periodically.
	Receives string
	Uses     Uses
	Purpose  string // in the operator's words
}

// Uses lists the resources of a service beside its inputs and outputs.
type Uses struct {
	Streams []string // in which it looks up earlier messages
	Buckets []Keys   // whose entries it reads and writes
	Rates   []string // the rate limits of which it takes slots
	// Claims is the namespace of its claims in the dedupe store. A stage with an outside effect always claims its inputs, by default under
	// its own name.
	Claims string
	// Removes lists the streams from which it removes messages, and the streams of buckets from which it removes entries, with the
	// confirmations of the senders in Redis. No service but the keeper may do that.
	Removes []string
	// Drops lists the streams from which it removes single messages that it replayed, or that an operator dropped.
	Drops []string
	// Watches: it reads the state of every stage's consumers.
	Watches bool
}

// Keys are the entries of a bucket that a service may write. It may read the whole bucket.
type Keys struct {
	Bucket string
	Keys   string // a subject filter; ">" for all
}

// lookup returns the stream of a bucket, for a service that reads several of its entries in one request.
func lookup(bucket string) string { return bucketStream + bucket }

// bucketStream is the beginning of the name of a bucket's stream.
const bucketStream = "KV_"

// Rate limits that replicas share: the first words of their keys.
const (
	RateAPI       = "api"       // of a provider's API, one a source
	RateClicks    = "api-click" // the part of it for clicks on links
	RateFiles     = "api-file"  // the part of it for the files of completed documents
	RateShortener = "shortener" // of Bitly or Rebrandly
	RateLink      = "link"      // of links opened from one address
	RateVonage    = "vonage"    // of an account at Vonage
	RateReminders = "reminders" // of a source's reminders
)

// Producers of the flow.
var Producers = []Producer{
	{Name: "ingest", Publishes: []string{event.Everything, Quarantined}, Receives: "callbacks", Purpose: "stores the providers' callbacks in the log", Uses: Uses{
		// Lookups of stored events, after a crash or if the dedupe store has a gap; the documents that were erased.
		Streams: []string{Signing, Quarantine, lookup(Erased), lookup(State), lookup(Jobs)},
		// The gaps, times without Redis; which key last verified a callback; how many callbacks came in; jobs that replay quarantined callbacks.
		Buckets: []Keys{{State, "dedupe.>"}, {State, keyUses + ">"}, {State, arrivals + ">"}, {Jobs, ">"}, {Certificates, ">"}},
		Claims:  IngestClaims,
		Drops:   []string{Quarantine}, // callbacks that such a job has stored
	}},
	{
		Name: Reconciler, Publishes: filters(event.TypesOfReports()), Purpose: "asks the providers for facts that no callback brought",
		Uses: Uses{
			Streams: []string{Signing, lookup(Erased)},                    // what the log has of a document; the documents that were erased
			Buckets: []Keys{{State, "reconcile.>"}, {State, oauth + ">"}}, // leases, progress and results; access to the providers' APIs
			Rates:   []string{RateAPI},
			Claims:  IngestClaims, // a late callback and a reconciliation must not both store a fact
		},
	},
	{Name: Keeper, Publishes: slices.Concat([]string{event.Everything, HeldEvents, FillRemind, RemindersOf("*", "*", ""), Fallbacks, FillArchive, archiveWaits + ">"},
		laters(LaterFilter), laters(FillLater)),
		Purpose: "erases documents after the retention period of their source, and copies events under a legal hold",
		Uses: Uses{
			Streams: append([]string{lookup(Holds), lookup(Erased), lookup(Jobs)}, erasable...),
			// Jobs of erasures and holds; holds.
			Buckets: []Keys{
				{Erased, "erased.>"}, {Memory, fill}, {Attempts, fill}, {Texts, fill}, {Inbound, fill}, {Links, fill}, {Holds, ">"}, {Jobs, ">"},
			},
			Removes: append([]string{lookup(Holds), lookup(Jobs)}, erasable...),
		}},
	{Name: Console, Publishes: []string{event.Everything, Replays}, Purpose: "shows operators the flow and the documents, and does what they ask for",
		Uses: Uses{
			Streams: append([]string{lookup(State), lookup(Holds), lookup(Erased), lookup(OptOuts), lookup(Jobs), lookup(Replicas)}, erasable...),
			// Requests for a reconciliation; access to the providers' APIs; plans and jobs; held messages that are released.
			Buckets: []Keys{{State, "reconcile.asked.>"}, {State, oauth + ">"}, {Jobs, ">"}, {Attempts, ">"}},
			Drops:   []string{DLQ, Quarantine}, // what was replayed, and what an operator dropped
			Watches: true,
		}},
}

// erasable are the streams with data of documents and people, from which the keeper removes.
var erasable = []string{
	Signing, Notify, LaterSMS, LaterEmail, Remind, Archive, Quarantine, DLQ, Replay, Hold,
	lookup(Memory), lookup(Links), lookup(Attempts), lookup(Texts), lookup(Inbound),
}

// fill is the key on which an erasure writes to make the server rewrite the file of a bucket.
const fill = "fill"

// laters returns a filter for each channel with scheduled messages.
func laters(filter func(channel string) string) (all []string) {
	for _, channel := range []string{"sms", "email"} {
		all = append(all, filter(channel))
	}
	return all
}

// Reconciler is the name of the producer that reconciles the log with the providers.
const Reconciler = "reconciler"

// IngestClaims is the namespace of ingest's claims in the dedupe store. It is short, because it is in every callback's key.
const IngestClaims = "i"

// ClaimsOf returns the namespace of the claims of a producer or a stage in the dedupe store; empty if it claims nothing.
func ClaimsOf(service string) string {
	for _, p := range Producers {
		if p.Name == service {
			return p.Uses.Claims
		}
	}
	for _, s := range Stages {
		if s.Name == service && s.Effect {
			return cmp.Or(s.Uses.Claims, s.Name)
		}
		if s.Name == service {
			return s.Uses.Claims
		}
	}
	return ""
}

// NamespacesOf returns the namespaces of all claims of a program: a producer's, or those of its stages.
func NamespacesOf(program string) (all []string) {
	names := []string{program}
	for _, s := range Stages {
		if s.Program() == program && s.Name != program {
			names = append(names, s.Name)
		}
	}
	for _, name := range names {
		if space := ClaimsOf(name); space != "" {
			all = append(all, space)
		}
	}
	return all
}

// EffectClaims returns the namespaces with the claims of the senders, which an erasure removes.
func EffectClaims() (all []string) {
	for _, s := range Stages {
		if space := ClaimsOf(s.Name); s.Effect && !slices.Contains(all, space) {
			all = append(all, space)
		}
	}
	return all
}

// ForgottenBy returns the namespaces from which a service removes claims that are not its own.
func ForgottenBy(service string) []string {
	for _, p := range Producers {
		if p.Name == service && len(p.Uses.Removes) > 0 {
			return EffectClaims()
		}
	}
	return nil
}

// Stage is a consumer: its place in the flow and its policy. Its durable consumer has its name, and so has the consumer
// of its replays.
type Stage struct {
	Name      string
	Service   string   // that runs it; empty for the service of the same name
	Stream    string   // that it reads
	Consumes  []string // filter subjects in that stream
	Publishes []string // the subjects on which it publishes
	Uses      Uses
	Purpose   string        // in the operator's words
	Workers   int           // inputs in flight at once in one replica
	Timeout   time.Duration // of one attempt
	// Effect is true if the stage has an outside effect that must not happen twice: it claims each input first.
	Effect bool
	// Ordered is true if the outputs must have the stream's order. One replica works and the others are standbys. All together have at most
	// Workers inputs in flight.
	Ordered bool
	// FromNow is true if the stage begins with new messages when its consumer is created in a stream that is not empty, and it has no floor: the
	// messages from before an upgrade do not concern it.
	FromNow bool
	// Optional is true if the stage runs only when the settings enable it. Its consumer always exists, so that the stage gets the whole log
	// when it is enabled later, and KEDA finds the consumer. Until then the consumer only has a lag.
	Optional bool
	Policy   Policy
}

// Keeper is the name of the service that enforces retention periods and legal holds.
const Keeper = "keeper"

// Console is the name of the service that shows operators the flow.
const Console = "console"

// Names of the stages.
const (
	Enricher    = "enricher"
	Shortener   = "shortener"
	SMSSender   = "sms-sender"
	EmailSender = "email-sender"
	SMSDue      = "sms-sender-due"
	EmailDue    = "email-sender-due"
	KafkaBridge = "kafka-bridge"
	Reminder    = "reminder"
	ReminderDue = "reminder-due"
	FallbackDue = "fallback-due"
	Archiver    = "archiver"
	ArchiverDue = "archiver-due"
	Indexer     = "indexer"
)

// outcomes are the senders' events.
var outcomes = event.TypeFilter(event.EntityNotification + ".*")

// Stages in the order of the flow.
var Stages = []Stage{
	{
		Name: Enricher, Stream: Signing,
		Consumes: filters(append(event.TypesWithMessages(), event.CorrectionRequested)),
		Publishes: []string{
			ToShorten, ToSend,
			event.TypeFilter(event.NotificationRequested), event.TypeFilter(event.NotificationSuppressed), event.TypeFilter(event.NotificationFallback),
			event.TypeFilter(event.RecipientCorrected), event.TypeFilter(event.CorrectionRefused),
			event.TypeFilter(event.RecipientResent), event.TypeFilter(event.ResendRefused),
		},
		// A document's past; access to the providers' APIs; the corrections of people.
		Uses:    Uses{Streams: []string{Signing}, Buckets: []Keys{{State, oauth + ">"}, {OptOuts, "corrected.>"}}, Rates: []string{RateAPI}},
		Purpose: "asks the providers who receives which message", Workers: 16, Timeout: 30 * time.Second, Policy: retryForADay,
	},
	{
		Name: Shortener, Stream: Notify, Consumes: []string{ToShorten},
		Publishes: []string{
			ToSend, event.EntityFilter(event.EntityLink), event.TypeFilter(event.RecipientOptedOut), event.TypeFilter(event.RecipientOptedIn),
			event.TypeFilter(event.CorrectionRequested), event.TypeFilter(event.ResendRequested),
		},
		// The events that it published before; who does not want messages.
		Uses:    Uses{Streams: []string{Signing, lookup(OptOuts)}, Buckets: []Keys{{Links, ">"}, {OptOuts, "person.>"}, {Certificates, ">"}, {State, oauth + ">"}}, Rates: []string{RateClicks, RateShortener, RateLink}},
		Purpose: "makes short links and serves them", Workers: 16, Timeout: 30 * time.Second, Policy: retryForADay,
	},
	{
		Name: SMSSender, Stream: Notify, Consumes: []string{SendFilter("sms")},
		Publishes: []string{
			outcomes, event.TypeFilter(event.RecipientOptedOut), event.TypeFilter(event.RecipientOptedIn), event.TypeFilter(event.RecipientReplied),
			ReplyFilter,
			LaterFilter("sms"), SendFilter("email"), // for a text beyond the person's daily limit, the person's e-mail
		},
		// Earlier sends, the number of unknown attempts, and who does not want messages.
		Uses: Uses{
			Streams: []string{Signing, lookup(OptOuts)},
			Buckets: []Keys{{Texts, ">"}, {Attempts, "message.sms.>"}, {OptOuts, "number.>"}, {Inbound, ">"}, {Certificates, ">"}}, Rates: []string{RateVonage},
		},
		Purpose: "sends texts by Vonage and receives its delivery receipts", Workers: 16, Timeout: 20 * time.Second, Effect: true, Policy: retryForADay,
	},
	{
		Name: EmailSender, Stream: Notify, Consumes: []string{SendFilter("email")},
		Publishes: []string{outcomes, LaterFilter("email")},
		// Earlier sends, the number of unknown attempts, and who does not want messages.
		Uses: Uses{Streams: []string{Signing, lookup(OptOuts)}, Buckets: []Keys{{Attempts, "message.email.>"}}},
		// 10 minutes for the reply to the final dot, and the other steps.
		Purpose: "sends e-mails by SMTP", Workers: 8, Timeout: 14 * time.Minute, Effect: true, Policy: retryForADay,
	},
	// They do the work of the senders, whose programs run them.
	{
		Name: SMSDue, Service: SMSSender, Stream: LaterSMS, Consumes: []string{DueFilter("sms")}, Publishes: []string{outcomes, LaterFilter("sms"), SendFilter("email")},
		Uses:    Uses{Streams: []string{Signing}, Buckets: []Keys{{Attempts, "message.sms.>"}}, Rates: []string{RateVonage}},
		Purpose: "sends texts that waited for their time", Workers: 16, Timeout: 20 * time.Second, Effect: true, Policy: retryForADay,
	},
	{
		Name: EmailDue, Service: EmailSender, Stream: LaterEmail, Consumes: []string{DueFilter("email")}, Publishes: []string{outcomes, LaterFilter("email")},
		Uses:    Uses{Streams: []string{Signing}, Buckets: []Keys{{Attempts, "message.email.>"}}},
		Purpose: "sends e-mails that waited for their time", Workers: 8, Timeout: 14 * time.Minute, Effect: true, Policy: retryForADay,
	},
	{
		Name: KafkaBridge, Stream: Signing, Consumes: []string{event.Everything},
		Purpose: "copies the log to a Kafka topic, each document in order", Workers: 2048, Timeout: 30 * time.Second, Policy: retryForADay,
		Ordered: true, Optional: true,
	},
	{
		Name: Reminder, Stream: Signing, Consumes: filters(event.TypesOfReminders()),
		Publishes: []string{Reminders, Fallbacks, event.EntityFilter(event.EntityReminder), event.TypeFilter(event.NotificationFallback)},
		Uses:      Uses{Streams: []string{Signing, Remind}}, // a document's past, and the schedules of the person and of the message
		// With 16 workers, a reminder costs half as much CPU again, here and in NATS: with more inputs in flight, more messages share a
		// system call. No worker waits for an outside party.
		Purpose: "schedules reminders to people who have not signed, and finds messages that did not arrive", Workers: 256, Timeout: 30 * time.Second,
		Policy: retryForADay, FromNow: true,
	},
	{
		Name: ReminderDue, Service: Reminder, Stream: Remind, Consumes: []string{DueReminders},
		Publishes: []string{Reminders, event.EntityFilter(event.EntityReminder)},
		Uses:      Uses{Streams: []string{Signing}, Rates: []string{RateReminders}},
		Purpose:   "makes the reminders that are due", Workers: 16, Timeout: 30 * time.Second, Policy: retryForADay,
	},
	{
		Name: FallbackDue, Service: Reminder, Stream: Remind, Consumes: []string{DueFallbacks},
		Publishes: []string{event.TypeFilter(event.NotificationFallback)},
		Uses:      Uses{Streams: []string{Signing}},
		Purpose:   "finds invitations and reminders without a delivery receipt", Workers: 16, Timeout: 30 * time.Second, Policy: retryForADay,
	},
	{
		Name: Archiver, Stream: Signing, Consumes: []string{event.TypeFilter(event.DocumentCompleted)},
		Publishes: []string{event.TypeFilter(event.DocumentArchived), archiveWaits + ">"},
		// A document's archived files; the schedules; access to the providers' APIs.
		Uses: Uses{Streams: []string{Signing, Archive}, Buckets: []Keys{{State, oauth + ">"}}, Rates: []string{RateFiles}},
		// An upload to S3 needs up to 46 MiB for its parts, whatever the size of the file.
		Purpose: "stores the files of completed documents in the archive", Workers: 2, Timeout: archiverTimeout, Policy: retryForADay,
		Optional: true,
	},
	{
		Name: ArchiverDue, Service: Archiver, Stream: Archive, Consumes: []string{DueArchives},
		Publishes: []string{event.TypeFilter(event.DocumentArchived), archiveWaits + ">"},
		Uses:      Uses{Streams: []string{Signing, Archive}, Buckets: []Keys{{State, oauth + ">"}}, Rates: []string{RateFiles}},
		Purpose:   "tries again to get files that were not available", Workers: 1, Timeout: archiverTimeout, Policy: retryForADay,
		Optional: true,
	},
	{
		Name: Indexer, Stream: Signing, Consumes: []string{event.Everything},
		Uses: Uses{Streams: []string{Signing}}, // a document's events, after a person was removed from it
		// A window is half of it: the more events a transaction has, the fewer pages it writes for each.
		Purpose: "keeps the search index of documents up to date", Workers: 4096, Timeout: 30 * time.Second, Policy: retryForADay,
		Ordered: true, Optional: true,
	},
}

// archiverTimeout limits one attempt to archive all files of a document: 1 GB at 5 Mbit/s takes 27 minutes.
const archiverTimeout = 30 * time.Minute

// Program returns the name of the service that runs the stage.
func (s Stage) Program() string { return cmp.Or(s.Service, s.Name) }

// filters returns the subject filters of some event types.
func filters(types []string) []string {
	all := make([]string, len(types))
	for i, name := range types {
		all[i] = event.TypeFilter(name)
	}
	return all
}

// PurposeOf returns the task of a service of the flow, that of its first stage, in one line for operators; empty for a service outside the flow.
func PurposeOf(service string) string {
	for _, p := range Producers {
		if p.Name == service {
			return p.Purpose
		}
	}
	for _, s := range Stages {
		if s.Program() == service {
			return s.Purpose
		}
	}
	return ""
}

// StageNamed returns the stage with that name. The names are this package's constants. Any other name is a programming error, so StageNamed
// panics.
func StageNamed(name string) Stage {
	for _, s := range Stages {
		if s.Name == name {
			return s
		}
	}
	panic("flow: no stage " + name)
}

// The prefixes of the subjects on which the server reports that it will not deliver a message again, although its stage never acked it. The
// names of the stream and the consumer follow.
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

// Active is the group of replicas of an ordered stage, of which one works at a time. StandBy is the time for which the active replica may be
// silent before the server activates another one. The active replica requests work every third of that time. It is shorter than AckWait, after
// which the other replica gets the events that the dead one had in flight. A write that takes longer only activates the other replica, which
// waits for the events in flight.
const (
	Active  = "active"
	StandBy = 3 * time.Second
)

// AckWait is the time for which the server waits for an ack or an extension before it delivers a message to another replica. The runner sends
// an extension every third of that time, so AckWait only limits the time for which a dead replica's work waits. If a living replica cannot
// send an extension for that long, its work is done twice at worst. That is harmless, because a stage with an effect also has a claim.
const AckWait = 4 * time.Second
