package erase

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Files is the archive of the signed files, as an erasure needs it.
type Files interface {
	// Keys returns the keys that begin with a prefix.
	Keys(ctx context.Context, prefix string) ([]string, error)
	// Delete deletes an object. A key that does not exist is no error.
	Delete(ctx context.Context, key string) error
}

var errNoArchive = errors.New("the log names files in the archive, and the settings have no archive: set archive.url")

// archivedKey returns the key of the file in the archive that an event names; empty for other events.
func archivedKey(e *signingv1.SigningEvent) string { return e.GetFile().GetKey() }

// Shared is a document of an erased person with archived files that stay, because the log has other people of the document. A file cannot be
// changed: it is erased as a whole or stays.
type Shared struct {
	Document

	Files  int
	Others int // people of the document in the log, besides the person; UnknownOthers if the log does not have all
}

// UnknownOthers means that the log does not have all people of a document: its beginning expired, or the provider reports people without their
// documents.
const UnknownOthers = -1

// shares is what the log says about the documents of a person.
type shares struct {
	begun    map[Document]bool            // the log has the beginning
	others   map[Document]map[string]bool // the other people
	archived map[Document][]remove        // the events that name files
}

// learn notes the people and the files of an event of a document that has the person.
func (s *shares) learn(m *jetstream.RawStreamMsg, a about, isPerson bool) {
	if s.others == nil {
		s.begun, s.others, s.archived = map[Document]bool{}, map[Document]map[string]bool{}, map[Document][]remove{}
	}
	if a.typ == event.DocumentSent || a.typ == event.DocumentCreated {
		s.begun[a.document] = true
	}
	if a.person != "" && !isPerson {
		if s.others[a.document] == nil {
			s.others[a.document] = map[string]bool{}
		}
		s.others[a.document][a.person] = true
	}
	if a.archived != "" {
		s.archived[a.document] = append(s.archived[a.document], remove{sequence: m.Sequence, bytes: len(m.Data) + len(m.Subject)})
	}
}

// personOf names the person of an event: by the id, or by an address or the name if there is no id.
func personOf(r *signingv1.Recipient) string {
	return cmp.Or(r.GetId(), strings.ToLower(r.GetEmail()), r.GetMobile(), strings.TrimSpace(r.GetFirstName()+" "+r.GetLastName()))
}

// archive finds the files of the documents. The log names them for as long as it has their events, so the archive is asked, too.
func (s *search) archive(ctx context.Context) error {
	if s.Archive != nil && !s.asked {
		all := slices.SortedFunc(maps.Keys(s.documentsWithFiles()), compare)
		var mu sync.Mutex
		err := s.each(ctx, archivePlace, len(all), func(ctx context.Context, i int) error {
			d := all[i]
			keys, err := s.Archive.Keys(ctx, d.Source+"/"+d.Provider+"/"+d.Token+"/")
			mu.Lock()
			defer mu.Unlock()
			for _, key := range keys {
				s.addFile(d, key)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("search the archive: %w", err)
		}
	}
	for _, d := range slices.SortedFunc(maps.Keys(s.files), compare) {
		keys := slices.Sorted(maps.Keys(s.files[d]))
		others := s.others(d)
		if s.Person != nil && others != 0 && !s.SharedFiles {
			s.found.Shared = append(s.found.Shared, Shared{d, len(keys), others})
			continue
		}
		s.found.Archived = append(s.found.Archived, keys...)
		s.documents[d] = true
		if s.Person != nil { // an event that names a file that is gone would promise it
			s.removeEvents(d, s.shares.archived[d])
		}
	}
	return nil
}

// others returns the number of other people on a document of the person, or UnknownOthers.
func (s *search) others(d Document) int {
	n := len(s.shares.others[d])
	if n == 0 && (!s.shares.begun[d] || s.people[Document{d.Source, d.Provider, event.None}] != nil) {
		return UnknownOthers
	}
	return n
}

func (s *search) addFile(d Document, key string) {
	if s.files[d] == nil {
		s.files[d] = map[string]bool{}
	}
	s.files[d][key] = true
}

// documentsWithFiles are the documents whose files are searched in the archive: those of the target, also if the log has nothing of them any more.
func (s *search) documentsWithFiles() map[Document]bool {
	all := maps.Clone(s.Exact)
	if all == nil {
		all = map[Document]bool{}
	}
	if s.Person != nil {
		for d := range s.people {
			all[d] = true
		}
	}
	maps.Copy(all, s.documents)
	for token := range s.tokens {
		for _, of := range s.Sources {
			if s.Source == "" || s.Source == of.Name {
				all[Document{of.Name, of.Provider, token}] = true
			}
		}
	}
	maps.DeleteFunc(all, func(d Document, _ bool) bool { return d.Token == event.None || d.Token == "" })
	return all
}

// removeEvents adds events of the log to what is removed.
func (s *search) removeEvents(d Document, all []remove) {
	f := s.found
	for _, r := range all {
		if slices.Contains(f.events[d], r.sequence) {
			continue
		}
		f.removals[flow.Signing] = append(f.removals[flow.Signing], r)
		f.events[d] = append(f.events[d], r.sequence)
		f.Messages[flow.Signing]++
	}
	slices.SortFunc(f.removals[flow.Signing], bySequence)
}

func bySequence(a, b remove) int { return cmp.Compare(a.sequence, b.sequence) }
