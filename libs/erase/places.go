package erase

import (
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

// A rule is how the entries of a place are removed.
type rule int

const (
	byMessage rule = iota + 1 // one message each, overwritten by the server
	byEntry                   // the entry of a bucket; the server rewrites its file
	expires                   // nothing: the entries contain no data of a person or document, and expire
	keeps                     // nothing: the entries are needed after an erasure
	byKey                     // a key in Redis, or an object of the archive
	byIndexer                 // the document in the search index
	beyond                    // nothing can be removed
)

// Place is a place in which a document or a person can be found.
type Place struct {
	Name string // of a stream or a bucket; a word for others
	Rule string // what an erasure does there, for operators
	does rule
}

// Streams are the rules of the streams. A test compares it with flow.Streams.
var streamRules = map[string]Place{
	flow.Signing:    {Rule: "events are overwritten", does: byMessage},
	flow.Notify:     {Rule: "messages on their way are overwritten", does: byMessage},
	flow.LaterSMS:   {Rule: "scheduled texts are overwritten and not sent", does: byMessage},
	flow.LaterEmail: {Rule: "scheduled e-mails are overwritten and not sent", does: byMessage},
	flow.Remind:     {Rule: "scheduled reminders are overwritten and not made", does: byMessage},
	flow.Archive:    {Rule: "completed documents whose files were not archived yet are overwritten and not tried again", does: byMessage},
	flow.Quarantine: {Rule: "quarantined callbacks that mention the document or person are overwritten, a batch as a whole", does: byMessage},
	flow.DLQ:        {Rule: "dead letters are overwritten", does: byMessage},
	flow.Replay:     {Rule: "replayed dead letters are overwritten", does: byMessage},
	flow.Hold:       {Rule: "copies of held events are overwritten; a document under a hold is not erased", does: byMessage},
}

// bucketRules are the rules of the buckets. A test compares it with flow.Buckets.
var bucketRules = map[string]Place{
	flow.Memory:       {Rule: "the senders' confirmations are removed", does: byEntry},
	flow.Certificates: {Rule: "has nothing about documents: keys, certificates and challenges of the public listeners", does: keeps},
	flow.State:        {Rule: "has nothing about documents: positions in streams, and what services know about each source", does: keeps},
	flow.Replicas:     {Rule: "has nothing about documents: which replicas of each service work", does: keeps},
	flow.Links:        {Rule: "short links are removed and do not open any more", does: byEntry},
	flow.Attempts:     {Rule: "held messages are removed and not sent", does: byEntry},
	flow.Texts:        {Rule: "texts that wait for receipts are removed", does: byEntry},
	flow.OptOuts:      {Rule: "keyed hashes stay, so that no message is sent to a person who does not want one; --opt-outs removes a person's", does: byEntry},
	flow.Inbound:      {Rule: "handled replies are removed; encrypted parts of long replies expire within 2 days", does: byEntry},
	flow.Erased:       {Rule: "a keyed hash of the document stays, so that a late callback does not bring it back", does: keeps},
	flow.Holds:        {Rule: "a document under a hold is not erased", does: keeps},
	flow.Jobs:         {Rule: "operators' plans and jobs about the document lose their work, with repaired content; that a job was done, when and by whom stays", does: byEntry},
	// Only in `signrelay run` without Redis.
	flow.Callbacks: {Rule: "ids of events, which are hashes, expire within 4 days", does: expires},
}

const archivePlace = "archive"

// others are the places outside NATS.
var others = []Place{
	{"Redis", "the senders' confirmations are deleted; ids of events and counters are hashes and expire within 30 days", byKey},
	{archivePlace, "files of the document are deleted; for a person, those of documents that have no other people", byKey},
	{"index", "the indexer removes the document or the person, when it reads " + event.DocumentErased, byIndexer},
	{"teams' copies", "not changed: run `signrelay erase --copy` in each account; " + event.DocumentErased + " names the sequences", beyond},
	{"Kafka", "not changed: the topic's retention removes the events", beyond},
	{"sent messages", "not changed: e-mails and texts that were sent, and the records of the providers, Vonage and the shortener", beyond},
	{"backups", "not changed: they keep the data until they are replaced", beyond},
}

// Places lists every place, in the order of the flow.
func Places() []Place {
	var all []Place
	for _, s := range flow.Streams {
		p := streamRules[s.Name]
		p.Name = s.Name
		all = append(all, p)
	}
	for _, b := range flow.Buckets {
		p := bucketRules[b.Name]
		p.Name = b.Name
		all = append(all, p)
	}
	p := bucketRules[flow.Callbacks]
	p.Name = flow.Callbacks
	return append(append(all, p), others...)
}

// Stays lists the places in which an erasure changes nothing or leaves a hash.
func Stays() []Place {
	var all []Place
	for _, p := range Places() {
		if p.does == beyond || p.does == expires || p.Name == flow.Erased || p.Name == flow.OptOuts {
			all = append(all, p)
		}
	}
	return all
}
