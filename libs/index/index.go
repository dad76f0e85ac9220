// Package index is the search index of documents: it finds a document by a piece of a title, a name, an address or a number, and by filters,
// newest first, among 10^6 documents. It has one schema for SQLite and PostgreSQL, and an index of terms of its own, so both databases give the
// same results (docs/adr/0044). It stores the state of documents, never events: it can be rebuilt from the log at any time.
//
// words.go says what matches what. postings.go is the format of a term's postings, write.go writes and search.go reads them.
package index

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/index/address"
)

// Key names a document.
type Key struct{ Source, Provider, ID string }

// hash is the beginning of the document's name after its erasure: the index finds a document by its key and by that name.
func (k Key) hash() int64 {
	return hashOf(event.ErasedID(k.Source, k.Provider, event.DocumentToken(k.ID)))
}

func hashOf(erased string) int64 {
	var first [8]byte
	copy(first[:], erased)
	return int64(binary.BigEndian.Uint64(first[:])) // a hash
}

// Row is a document as it is stored.
type Row struct {
	Key
	// Number is the sequence of the first event of the document in the log. Results are ordered by it, and it never changes.
	Number   uint64
	Sequence uint64 // of the last event that is folded in
	Title    string
	State    string
	People   []Person
	Signed   int  // people who have signed
	Untold   int  // people who have not been notified although they should
	Stuck    bool // something about it does not go on by itself
	SentAt   time.Time
	EndedAt  time.Time // zero while it is open
	LastAt   time.Time // of the last event
	Body     []byte    // the JSON of document.Document
	// Forget makes sure that words which the document had before are not in the database's files any more.
	Forget bool
}

// Person is what the index stores of a person: words to search, and times and messages for Insight. The times of the people are stored without
// their names. A zero time is none.
type Person struct {
	FirstName, LastName, Email, Mobile string
	Former                             []Former // before corrections: they are found, too

	SentAt      time.Time // of the first message
	DeliveredAt time.Time // of the first message that has a delivery receipt
	OpenedAt    time.Time // by a person, not by a robot
	SignedAt    time.Time
	Channel     string // of the last message before the signature
	Kind        string // of the last message before the signature
	Parts       int    // of all texts
	Country     string // of the number, if there were texts
}

// Former is a person's name and addresses before a correction.
type Former struct{ FirstName, LastName, Email, Mobile string }

// Query is a search. Empty fields do not filter.
type Query struct {
	Text string `json:"text,omitempty"`
	// Exact finds only a whole id, a whole address or a whole number: readers who may not see names must not find them out piece by piece.
	Exact    bool      `json:"exact,omitempty"`
	Source   string    `json:"source,omitempty"`
	Provider string    `json:"provider,omitempty"`
	State    string    `json:"state,omitempty"`
	Untold   bool      `json:"untold,omitempty"` // only documents with people who were not notified
	Stuck    bool      `json:"stuck,omitempty"`  // only documents with something stuck
	Since    time.Time `json:"since,omitzero"`   // sent at that time or later
	Until    time.Time `json:"until,omitzero"`   // sent before that time
	// After and Before are the Number of a row: the page has the rows that follow it, older ones, or those that precede it, newer ones.
	After  uint64 `json:"after,omitempty"`
	Before uint64 `json:"before,omitempty"`
	Limit  int    `json:"limit,omitempty"` // default and maximum PageRows
}

// PageRows is the number of rows of a page.
const PageRows = 50

// Found is a row of a result, without the people's texts: Body has them.
type Found struct {
	Key
	Number, Sequence       uint64
	State                  string
	People, Signed, Untold int
	Stuck                  bool
	SentAt, EndedAt        time.Time
	LastAt                 time.Time
	Body                   []byte // the JSON of document.Document
}

// Page is a part of a result, newest first.
type Page struct {
	Rows []Found
	// Newer and Older tell whether there are rows before the first and after the last one.
	Newer, Older bool
	// Total is the number of all documents that match. It is exact, unless About is true.
	Total int
	About bool
}

// Position is how far the index is.
type Position struct {
	Sequence uint64 // of the last event of the log that is folded in
	At       time.Time
}

// Status is the size and the position of an index.
type Status struct {
	Position
	Documents int64
	People    int64
	Bytes     int64
}

// View is a saved query of a reader. The query's text may be a name or a number, so it is stored here and not in an address.
type View struct {
	Name, Owner string
	// Query has no times: a view of the last 7 days must mean the last 7 days of the day on which it is opened.
	Query Query
	Since string // the age of the oldest documents of the view, as the caller writes it, such as "7d"; empty for all
	Until string // the age of the newest ones
}

// Index is an open index. Its methods may be called concurrently, also by several processes. One process at a time may write.
type Index struct {
	dialect dialect
	main    *sql.DB // which generation is current, and the saved views

	mu      sync.RWMutex // held for reading by each operation, so that a generation is not closed in the middle of one
	current *generation
	unclean bool // removed texts may still be in a log of the database
}

// generation is the tables that one build of the index made. A rebuild makes the next one beside it.
type generation struct {
	number      int64
	read, write *sql.DB
	prefix      string // of its tables
}

// Open opens the index at an address, and creates a missing one: sqlite:///folder/file, or postgres://user@host/database.
func Open(ctx context.Context, where string) (*Index, error) {
	d, err := dialectOf(where)
	if err != nil {
		return nil, err
	}
	i := &Index{dialect: d}
	if i.main, err = d.openMain(ctx); err != nil {
		return nil, fmt.Errorf("open the index: %w", err)
	}
	if err := i.create(ctx); err != nil {
		_ = i.main.Close()
		return nil, fmt.Errorf("open the index: %w", err)
	}
	return i, nil
}

// Missing reports whether the address is a file that does not exist on this machine.
func Missing(where string) bool {
	d, err := dialectOf(where)
	if err != nil {
		return false
	}
	file, is := d.(*sqlite)
	if !is {
		return false
	}
	_, err = os.Stat(file.path)
	return errors.Is(err, fs.ErrNotExist)
}

func dialectOf(where string) (dialect, error) {
	kind, err := address.Check(where)
	if err != nil {
		return nil, err
	}
	if kind == address.Postgres {
		return &postgres{url: where}, nil
	}
	u, err := url.Parse(where)
	if err != nil {
		return nil, errors.New("the address of the index cannot be read")
	}
	return &sqlite{path: u.Path}, nil
}

// Close closes the index. Operations that are in progress end first.
func (i *Index) Close() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	err := i.main.Close()
	if i.current != nil {
		err = errors.Join(err, i.dialect.close(i.current))
		i.current = nil
	}
	return err
}

// Reach reports whether the database answers.
func (i *Index) Reach(ctx context.Context) error {
	if _, _, err := i.currentNumber(ctx, i.main); err != nil {
		return fmt.Errorf("the index does not answer: %w", err)
	}
	return nil
}
