package erase

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/optout"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Found is what a search found.
type Found struct {
	Documents []Document          // with at least one message; sorted
	People    map[Document]int    // for a person: the number of the document's events that contain the person
	Messages  map[string]int      // by stream; the stream of a bucket has the prefix "KV_"
	Archived  []string            // keys of the archive that are deleted
	Shared    []Shared            // for a person: documents whose files stay; sorted
	removals  map[string][]remove // by stream, in the order of their sequences
	events    map[Document][]uint64
	claims    map[string]bool // ids of the senders' inputs
	cuts      []uint64        // sequences of events in the log that stay, without the provider's request that they carry
	by        *search         // that found it
}

// Empty reports whether nothing was found.
func (f *Found) Empty() bool { return len(f.removals) == 0 && len(f.Archived) == 0 && len(f.cuts) == 0 }

// Cuts returns the number of events that stay without the provider's request that they carry: a batch, or a request that names several people.
func (f *Found) Cuts() int { return len(f.cuts) }

// overwriteTakes is the time of one overwrite on the disk of the development machine: the server writes a file of 8 MiB again.
const overwriteTakes = 19 * time.Millisecond

// Overwrites returns the number of messages that are overwritten one by one, and about the time that it takes on a server that does not encrypt its
// files.
func (f *Found) Overwrites() (n int, takes time.Duration) {
	for name, all := range f.removals {
		if strings.HasPrefix(name, bucketPrefix) {
			continue
		}
		for _, whole := range wholeFiles(all) {
			if !whole {
				n++
			}
		}
	}
	return n, time.Duration(n) * overwriteTakes
}

// FoundPlace is a place from which an erasure removes.
type FoundPlace struct {
	Name  string `json:"name"`
	Count int    `json:"count"` // of messages, entries or files
	Rule  string `json:"rule"`  // what the erasure does there
}

// Places returns the places from which an erasure removes, in the order of the flow.
func (f *Found) Places() (all []FoundPlace) {
	for _, p := range Places() {
		n := f.Messages[p.Name] + f.Messages[bucketPrefix+p.Name]
		if p.Name == archivePlace {
			n = len(f.Archived)
		}
		if n > 0 {
			all = append(all, FoundPlace{p.Name, n, p.Rule})
		}
	}
	if n := len(f.cuts); n > 0 {
		all = append(all, FoundPlace{flow.Signing, n, "events of other documents lose the provider's request that they carry, and are stored again without it"})
	}
	return all
}

// All returns the number of messages and entries to remove.
func (f *Found) All() (n int) {
	for _, count := range f.Messages {
		n += count
	}
	return n
}

// remove is a message to remove.
type remove struct {
	sequence uint64
	bytes    int    // at least so many in the server's file
	subject  string // of an entry of a bucket, and of a message under which the server has a schedule
	joined   bool   // no message between it and the one before stays; for the first one, no older message stays
}

// bucketPrefix is the beginning of the name of a bucket's stream.
const bucketPrefix = "KV_"

// mostFilters is the number of documents up to which the log is read by their subjects: a filter with wildcards takes 38 ms in a log of 10^6
// events. For more documents, one pass over the whole stream takes less time.
const mostFilters = 20

// Find searches all places for a target. It changes nothing.
func (e *Eraser) Find(ctx context.Context, t Target) (*Found, error) {
	s := e.search(t)
	err := s.run(ctx)
	if errors.Is(err, errLong) {
		s = e.search(t)
		s.whole = true
		err = s.run(ctx)
	}
	if err != nil {
		return nil, err
	}
	return s.found, nil
}

// findAgain is Find for a target for which f was found. It reads only the new events of the log, which is the longest of all streams: with removed,
// what was found in it has been removed, otherwise nothing was.
func (e *Eraser) findAgain(ctx context.Context, t Target, f *Found, removed bool) (*Found, error) {
	before := f.by
	if before == nil || t.Person != nil || before.filtered(flow.Signing) {
		return e.Find(ctx, t)
	}
	s := e.search(t)
	s.whole, s.read, s.stayed = before.whole, before.read, before.stayed
	s.notifications, s.batches, s.found.claims = before.notifications, before.batches, f.claims
	if removed {
		s.stayed = true
	} else {
		s.documents, s.files, s.asked = before.documents, before.files, true
		s.found.events, s.found.cuts = f.events, f.cuts
		s.found.removals[flow.Signing], s.found.Messages[flow.Signing] = f.removals[flow.Signing], f.Messages[flow.Signing]
	}
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	return s.found, nil
}

// errLong means that a document has so many events that it is worth to know which messages are between them, so the whole log is read.
var errLong = errors.New("the document has many events")

func (e *Eraser) search(t Target) *search {
	s := &search{Eraser: e, Target: t, files: map[Document]map[string]bool{}, found: &Found{
		People: map[Document]int{}, Messages: map[string]int{}, removals: map[string][]remove{}, events: map[Document][]uint64{}, claims: map[string]bool{},
	}}
	s.found.by = s
	s.prepare()
	return s
}

// run searches all places.
func (s *search) run(ctx context.Context) error {
	if s.Person != nil {
		if err := s.identify(ctx); err != nil {
			return err
		}
	}
	if s.Person != nil && s.OptOuts {
		s.identifyOptOuts()
	}
	for _, stream := range flow.Streams {
		if err := s.stream(ctx, stream.Name); err != nil {
			return err
		}
	}
	for _, bucket := range append(slices.Clone(flow.Buckets), flow.Bucket{Name: flow.Callbacks}) {
		if err := s.bucket(ctx, bucket.Name); err != nil {
			return err
		}
	}
	if err := s.archive(ctx); err != nil {
		return err
	}
	s.found.Documents = slices.SortedFunc(maps.Keys(s.documents), compare)
	return nil
}

// search is one search.
type search struct {
	*Eraser
	Target
	found     *Found
	whole     bool                         // the log is read as a whole, also for few documents
	read      uint64                       // the last message of the log that was read in one pass
	stayed    bool                         // a message stays between the last one to remove and the next one that is read
	files     map[Document]map[string]bool // keys of the archive
	shares    shares                       // of a person
	asked     bool                         // the archive was asked
	documents map[Document]bool            // with a message
	tokens    map[string]bool              // of IDs
	words     map[string]bool              // ids and tokens that consist of the characters of a word
	phrases   []string                     // the other ids

	people        map[Document]map[string]bool // the ids of the person on each document, as tokens
	names         map[Document]map[string]bool // the names of the person on each document
	notifications map[string]bool              // the ids of the removed messages
	links         map[string]bool              // the keys of the removed links
	batches       bool                         // a batch reported an event of a target
	numbers       map[string]bool              // keys that are made of the person's number
	signers       []event.Signer               // the person on each document
	linkKeys      []linkKeys
	optOuts       map[string]bool // the keys of the person's opt-outs
}

// linkKeys are the keys of the entries of LINKS, with and without a master key.
type linkKeys struct{ names, values keyring.Keys }

func (s *search) prepare() {
	s.documents, s.tokens, s.words = map[Document]bool{}, map[string]bool{}, map[string]bool{}
	s.people, s.names = map[Document]map[string]bool{}, map[Document]map[string]bool{}
	s.notifications, s.links, s.numbers = map[string]bool{}, map[string]bool{}, map[string]bool{}
	mention := func(text string) {
		if strings.ContainsFunc(text, func(r rune) bool { return r > 0x7f || !word(byte(r)) }) {
			s.phrases = append(s.phrases, text)
		} else {
			s.words[text] = true
		}
	}
	for _, id := range s.IDs {
		token := event.DocumentToken(id)
		s.tokens[token] = true
		mention(id)
		mention(token)
	}
	for d := range s.Exact {
		mention(d.Token)
	}
	for _, ring := range []keyring.Ring{s.Ring, keyring.New(nil)} {
		s.linkKeys = append(s.linkKeys, linkKeys{ring.For("link-code"), ring.For("link-value")})
	}
	if p := s.Person; p != nil && p.digits != "" {
		for _, name := range s.Ring.For("inbound").Names("to/" + p.digits) {
			s.numbers["to."+name] = true
		}
	}
}

// wants reports whether a document is a target.
func (s *search) wants(d Document) bool {
	if s.Source != "" && d.Source != s.Source {
		return false
	}
	return s.tokens[d.Token] || s.Exact[d]
}

// mentions reports whether a text contains the id of a target as a word.
func (s *search) mentions(text string) bool {
	for _, phrase := range s.phrases {
		if strings.Contains(text, phrase) {
			return true
		}
	}
	if len(s.words) == 0 {
		return false
	}
	for begin := 0; begin < len(text); {
		for begin < len(text) && !word(text[begin]) {
			begin++
		}
		end := begin
		for end < len(text) && word(text[end]) {
			end++
		}
		if end > begin && s.words[text[begin:end]] {
			return true
		}
		begin = end
	}
	return false
}

// filtered reports whether a stream is read by the subjects of the documents.
func (s *search) filtered(stream string) bool {
	return stream == flow.Signing && !s.whole && s.Person == nil && len(s.Exact)+len(s.Ends) == 0 && len(s.IDs) <= mostFilters
}

// holdEvents is the beginning of the subjects of HOLD.
var holdEvents = strings.TrimSuffix(flow.HeldEvents, ">")

// messages yields the messages of a stream; those of a few documents by their subjects.
func (s *search) messages(ctx context.Context, stream string) iter.Seq2[*jetstream.RawStreamMsg, error] {
	log := event.Log{JS: s.JS, Stream: stream}
	switch {
	case s.filtered(stream):
	case stream == flow.Signing:
		return log.Whole(ctx, ">", s.read)
	default:
		return log.Whole(ctx, ">", 0)
	}
	filters := []string{event.DocumentFilter("")} // events without a document may mention one
	for token := range s.tokens {
		filters = append(filters, event.FilterOfToken(token))
	}
	slices.Sort(filters)
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		for _, filter := range filters {
			for m, err := range log.Narrow(ctx, filter) {
				if !yield(m, err) {
					return
				}
			}
		}
	}
}

// identify finds the person's ids and names on each document: a message about the person need not contain the address.
func (s *search) identify(ctx context.Context) error {
	for _, stream := range []string{flow.Signing, flow.Notify, flow.LaterSMS, flow.LaterEmail} {
		for m, err := range (event.Log{JS: s.JS, Stream: stream}).Whole(ctx, ">", 0) {
			if err != nil {
				return missing(err)
			}
			place, ok := flow.PlaceOf(m.Subject)
			if !ok {
				continue
			}
			d := Document{place.Source, place.Provider, place.Document}
			if s.Source != "" && d.Source != s.Source {
				continue
			}
			if stream == flow.Signing {
				var is signingv1.SigningEvent
				if proto.Unmarshal(m.Data, &is) == nil {
					r := is.GetRecipient()
					s.learn(d, is.GetDocument().GetId(), r.GetId(), r.GetFirstName(), r.GetLastName(), r.GetEmail(), r.GetMobile())
				}
				continue
			}
			var n notifyv1.Notification
			if proto.Unmarshal(m.Data, &n) == nil {
				for _, n := range append([]*notifyv1.Notification{&n}, n.GetPerChannel()...) {
					to := n.GetTo()
					s.learn(d, n.GetDocumentId(), to.GetRecipientId(), to.GetFirstName(), to.GetLastName(), to.GetEmail(), to.GetMobile())
				}
			}
		}
	}
	return nil
}

// learn notes a person's id and name if the address is that of the target.
func (s *search) learn(d Document, document, id, first, last string, addresses ...string) {
	if !slices.ContainsFunc(addresses, s.Person.in) {
		return
	}
	if s.people[d] == nil {
		s.people[d], s.names[d] = map[string]bool{}, map[string]bool{}
	}
	if token := event.DocumentToken(id); id != "" && !s.people[d][token] {
		s.people[d][token] = true
		s.signers = append(s.signers, event.Signer{Source: d.Source, Provider: d.Provider, Document: document, Recipient: id})
	}
	if name := strings.TrimSpace(first + " " + last); first != "" && last != "" {
		s.names[d][name] = true
	}
}

// identifyOptOuts finds the keys of the person's opt-outs.
func (s *search) identifyOptOuts() {
	s.optOuts = map[string]bool{}
	var all []optout.Who
	sources := map[string]bool{"": true, s.Source: true}
	for _, signer := range s.signers {
		sources[signer.Source] = true
		all = append(all, optout.Person(signer))
	}
	if s.Person.digits != "" {
		for source := range sources {
			all = append(all, optout.Number(s.Person.digits, source))
		}
	}
	for _, who := range all {
		for _, key := range optout.Keys(s.Ring, who) {
			s.optOuts[key] = true
		}
	}
}

// about is what a message is about.
type about struct {
	document   Document
	named      bool // the subject names the document
	recipients []string
	texts      []string
	messages   []string // ids of notifications
	archived   string   // the key of a file in the archive
	typ        string   // of an event
	person     string   // of an event; see personOf
	addresses  []string // of that person
	stored     time.Time
	event      bool // it is an event of the log, or a copy of one
}

// stream searches one stream.
func (s *search) stream(ctx context.Context, name string) error {
	ordered, bytes := !s.filtered(name), 0
	if name != flow.Signing {
		s.stayed = false
	}
	for m, err := range s.messages(ctx, name) {
		if err != nil {
			return fmt.Errorf("search %s: %w", name, missing(err))
		}
		if name == flow.Signing && ordered {
			s.read = m.Sequence
		}
		a := s.about(m)
		removed := s.matches(a)
		switch {
		case a.document.Token == event.None:
		case s.Person == nil && removed && a.archived != "":
			s.addFile(a.document, a.archived)
		case s.Person != nil && name == flow.Signing && s.people[a.document] != nil:
			s.shares.learn(m, a, s.isPerson(a))
			if a.archived != "" {
				s.addFile(a.document, a.archived)
			}
		}
		if !removed && s.carries(m, a) {
			if removed = name != flow.Signing; !removed {
				s.found.cuts = append(s.found.cuts, m.Sequence)
			}
		}
		if !removed {
			s.stayed = true
			continue
		}
		s.note(name, m, a)
		last := &s.found.removals[name][len(s.found.removals[name])-1]
		last.joined, s.stayed = ordered && !s.stayed, false
		if bytes += last.bytes; !ordered && bytes > 2*blockBytes {
			return errLong
		}
	}
	if name == flow.Signing && !ordered && s.batches {
		if err := s.carriers(ctx); err != nil {
			return err
		}
	}
	slices.SortFunc(s.found.removals[name], bySequence)
	return nil
}

// carriers finds the events of other documents that carry a batch with a target.
func (s *search) carriers(ctx context.Context) error {
	sources := map[Source]bool{}
	for d := range s.documents {
		sources[Source{d.Source, d.Provider}] = true
	}
	for of := range sources {
		for m, err := range (event.Log{JS: s.JS, Stream: flow.Signing}).Whole(ctx, event.SourceFilter(of.Name, of.Provider), 0) {
			if err != nil {
				return fmt.Errorf("search %s: %w", flow.Signing, err)
			}
			if a := s.about(m); !s.matches(a) && s.carries(m, a) {
				s.found.cuts = append(s.found.cuts, m.Sequence)
			}
		}
	}
	slices.Sort(s.found.cuts)
	s.found.cuts = slices.Compact(s.found.cuts)
	return nil
}

// carries reports whether a message that does not belong to the target itself carries a provider's request that does.
func (s *search) carries(m *jetstream.RawStreamMsg, a about) bool {
	if !a.event {
		return false
	}
	carried := m.Data[len(event.WithoutCallback(m.Data)):]
	if len(carried) == 0 {
		return false
	}
	if s.Person == nil {
		return s.mentions(string(carried))
	}
	return (s.Source == "" || s.Source == a.document.Source) && s.Person.in(string(carried))
}

// matches reports whether a message belongs to the target.
func (s *search) matches(a about) bool {
	if s.Person != nil {
		return s.matchesPerson(a)
	}
	if a.named && a.document.Token != event.None {
		return s.wants(a.document)
	}
	if end, ok := s.Ends[Source{a.document.Source, a.document.Provider}]; ok && a.named && a.stored.Before(end) {
		return true
	}
	return slices.ContainsFunc(a.texts, s.mentions)
}

func (s *search) matchesPerson(a about) bool {
	if a.named && s.Source != "" && a.document.Source != s.Source {
		return false
	}
	for _, id := range a.recipients {
		if s.people[a.document][id] {
			return true
		}
	}
	for _, text := range a.texts {
		if s.Person.in(text) {
			return true
		}
		for name := range s.names[a.document] {
			if strings.Contains(text, name) {
				return true
			}
		}
	}
	return false
}

// isPerson reports whether the person of an event is the target.
func (s *search) isPerson(a about) bool {
	return s.people[a.document][event.DocumentToken(a.person)] || s.names[a.document][a.person] || slices.ContainsFunc(a.addresses, s.Person.in)
}

// note records a message that is to be removed.
func (s *search) note(stream string, m *jetstream.RawStreamMsg, a about) {
	f := s.found
	r := remove{sequence: m.Sequence, bytes: len(m.Data) + len(m.Subject)}
	if m.Header.Get(jetstream.ScheduleHeader) != "" || strings.HasPrefix(stream, bucketPrefix) {
		r.subject = m.Subject
	}
	f.removals[stream] = append(f.removals[stream], r)
	f.Messages[stream]++
	if a.named && a.document.Token != event.None {
		s.documents[a.document] = true
	}
	if stream == flow.Signing {
		f.events[a.document] = append(f.events[a.document], m.Sequence)
		if s.Person != nil {
			f.People[a.document]++
		}
	}
	for _, id := range a.messages {
		s.notifications[id] = id != ""
	}
	for _, header := range []string{jetstream.MsgIDHeader, "ce-id", "Signrelay-Dlq-Id", "Signrelay-Input"} {
		if id := m.Header.Get(header); id != "" && stream != flow.Signing {
			f.claims[id] = true
		}
	}
}

// about reads what a message of a stream is about.
func (s *search) about(m *jetstream.RawStreamMsg) about {
	subject := m.Subject
	if inner := m.Header.Get("Signrelay-Dlq-Subject"); inner != "" { // a dead letter, or its replay
		subject = inner
	}
	place, named := flow.PlaceOf(subject)
	a := about{document: Document{place.Source, place.Provider, place.Document}, named: named, stored: m.Time}
	a.event = event.InLog(subject) || strings.HasPrefix(subject, holdEvents)
	if place.Recipient != "" {
		a.recipients = append(a.recipients, place.Recipient)
	}
	if s.Person == nil && named && a.document.Token != event.None && !s.wants(a.document) {
		return a // most messages end here, undecoded
	}
	var decoded proto.Message
	switch {
	case a.event:
		is := new(signingv1.SigningEvent)
		if proto.Unmarshal(m.Data, is) == nil {
			decoded = is
			s.batches = s.batches || is.GetCallback() != nil && is.GetCallback().Item != nil
			is.Callback = nil // see carries
			a.recipients = append(a.recipients, idOf(is.GetRecipient().GetId())...)
			a.messages, a.archived = append(a.messages, is.GetNotice().GetNotificationId()), archivedKey(is)
			a.typ = is.GetType()
			a.person, a.addresses = personOf(is.GetRecipient()), []string{is.GetRecipient().GetEmail(), is.GetRecipient().GetMobile()}
		}
	case named:
		n := new(notifyv1.Notification)
		if proto.Unmarshal(m.Data, n) == nil {
			decoded = n
			a.recipients = append(a.recipients, idOf(n.GetTo().GetRecipientId())...)
			for _, each := range append([]*notifyv1.Notification{n}, n.GetPerChannel()...) {
				a.messages = append(a.messages, each.GetId())
			}
		}
	}
	if decoded != nil {
		a.texts = textsOf(a.texts, decoded.ProtoReflect())
	} else {
		a.texts = append(a.texts, string(m.Data))
	}
	a.texts = append(a.texts, m.Subject)
	for _, values := range m.Header {
		a.texts = append(a.texts, values...)
	}
	return a
}

func idOf(id string) []string {
	if id == "" {
		return nil
	}
	return []string{event.DocumentToken(id)}
}

// textsOf appends all strings of a message.
func textsOf(texts []string, m protoreflect.Message) []string {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				texts = append(texts, k.String(), v.String())
				return true
			})
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				texts = textsOf(texts, v.List().Get(i).Message())
			}
		case f.IsList() && f.Kind() == protoreflect.StringKind:
			for i := range v.List().Len() {
				texts = append(texts, v.List().Get(i).String())
			}
		case f.IsList():
		case f.Message() != nil:
			texts = textsOf(texts, v.Message())
		case f.Kind() == protoreflect.StringKind:
			texts = append(texts, v.String())
		case f.Kind() == protoreflect.BytesKind:
			texts = append(texts, string(v.Bytes()))
		}
		return true
	})
	return texts
}

// missing returns nil for a stream that does not exist: an older installation may lack a stream, and most have no bucket CALLBACKS.
func missing(err error) error {
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return err
}

// entry is the part that the values of several buckets have in common.
type entry struct {
	Source    string `json:"source"`
	Provider  string `json:"provider"`
	Document  string `json:"document"`
	Recipient string `json:"recipient"`
	Held      *entry `json:"held"`
}

func (e entry) place() (Document, string) {
	if e.Held != nil {
		e.Source, e.Provider, e.Document = e.Held.Source, e.Held.Provider, e.Held.Document
	}
	recipient := ""
	if e.Recipient != "" {
		recipient = event.DocumentToken(e.Recipient)
	}
	return Document{e.Source, e.Provider, event.DocumentToken(e.Document)}, recipient
}

// bucket searches one bucket.
func (s *search) bucket(ctx context.Context, name string) error {
	if bucketRules[name].does != byEntry || name == flow.OptOuts && s.optOuts == nil {
		return nil
	}
	stream, prefix := bucketPrefix+name, "$KV."+name+"."
	var codes []found
	for m, err := range (event.Log{JS: s.JS, Stream: stream}).Whole(ctx, prefix+">", 0) {
		if err != nil {
			if err = missing(err); err == nil {
				return nil
			}
			return fmt.Errorf("search %s: %w", name, err)
		}
		key := strings.TrimPrefix(m.Subject, prefix)
		value := m.Data
		if name == flow.Links {
			var of string
			if value, of = s.openLink(key, m.Data); of == ofPerson {
				codes = append(codes, found{m, string(value)})
				continue
			}
		}
		if s.entryMatches(name, key, value) {
			s.note(stream, m, about{})
			if name == flow.Links {
				s.links[key] = true
			}
		}
	}
	for _, c := range codes { // a person's entry has the code of the link
		for _, key := range s.keysOfCode(c.code) {
			if s.links[key] {
				s.note(stream, c.m, about{})
				break
			}
		}
	}
	return nil
}

type found struct {
	m    *jetstream.RawStreamMsg
	code string
}

// entryMatches reports whether an entry belongs to the target.
func (s *search) entryMatches(bucket, key string, value []byte) bool {
	last := key[strings.LastIndexByte(key, '.')+1:]
	switch bucket {
	case flow.OptOuts:
		return s.optOuts[key]
	case flow.Memory:
		return s.found.claims[last] || s.Person == nil && len(value) > 1 && value[0] == '1' && s.mentions(string(value))
	case flow.Texts, flow.Attempts:
		id := strings.TrimPrefix(strings.TrimPrefix(key, "message.sms."), "message.email.")
		id, _, _ = strings.Cut(id, ".")
		if s.notifications[id] || s.found.claims[id] || s.numbers[key] {
			return true
		}
	}
	if bucket == flow.Jobs {
		return s.workMatches(key, value)
	}
	var e entry
	if json.Unmarshal(value, &e) != nil {
		return false
	}
	d, recipient := e.place()
	if s.Person != nil {
		return recipient != "" && s.people[d][recipient]
	}
	return d.Token != event.None && s.wants(d)
}

// workMatches reports whether a stored plan or the work of a job is about the target: it names the document, or it has the repaired content of one
// of its messages, or the new address of a corrected person. The work of an erasure stays, because its own job needs it to the end.
func (s *search) workMatches(key string, value []byte) bool {
	var w struct { // as libs/operate stores it
		Plan      struct{ Action string }
		Selection struct {
			Filter    struct{ Document string }
			Document  *struct{ Source, Provider, ID string }
			Recipient string
			Subject   string // of the repaired message
			Body      []byte
			Query     []byte
			Details   struct{ Email, Mobile string } // of a corrected person
		}
	}
	work := strings.HasPrefix(key, "work.")
	if !work && !strings.HasPrefix(key, "plan.") || json.Unmarshal(value, &w) != nil || work && w.Plan.Action == "erase" {
		return false
	}
	if content := slices.Concat(w.Selection.Body, w.Selection.Query); len(content) > 0 {
		m := &jetstream.RawStreamMsg{Subject: w.Selection.Subject, Data: content}
		if a := s.about(m); s.matches(a) || s.carries(m, a) {
			return true
		}
	}
	if d := w.Selection.Document; d != nil {
		is := Document{d.Source, d.Provider, event.DocumentToken(d.ID)}
		if s.Person != nil { // the log has no event yet with the new address of a correction that waits
			named := w.Selection.Recipient != "" && s.people[is][event.DocumentToken(w.Selection.Recipient)]
			return named || s.Person.in(w.Selection.Details.Email) || s.Person.in(w.Selection.Details.Mobile)
		}
		return s.wants(is)
	}
	return s.Person == nil && w.Selection.Filter.Document != "" && s.mentions(w.Selection.Filter.Document)
}

// The kinds of entries in LINKS, as the shortener writes them.
const (
	ofLink   = "link."
	ofPerson = "person."
)

// openLink returns the content of an entry of LINKS, and its kind.
func (s *search) openLink(key string, value []byte) ([]byte, string) {
	of := key[:strings.IndexByte(key, '.')+1]
	for _, keys := range s.linkKeys {
		if plain, err := keys.values.Open(value, []byte(key)); err == nil {
			return plain, of
		}
	}
	return value, of
}

// keysOfCode returns the possible keys of a code's link.
func (s *search) keysOfCode(code string) (keys []string) {
	for _, ring := range s.linkKeys {
		for _, mac := range ring.names.MACs(ofLink + code) {
			keys = append(keys, ofLink+base64.RawURLEncoding.EncodeToString(mac[:]))
		}
	}
	return keys
}
