package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// schemaVersion changes with the tables of a generation, and with fold and wordTerms: an index of another version must be rebuilt.
const schemaVersion = 2

type kind int

const (
	integer kind = iota
	text
	blob
)

type column struct {
	name string
	kind kind
}

// table is a table of a generation. The first keys columns are its primary key.
type table struct {
	name    string
	keys    int
	columns []column
}

// The tables of a generation. Times are milliseconds since 1970, and 0 is none. In documents, hash finds a key and the name of an erased
// document. fresh has the documents whose terms are not up to date, with the words for which they are: a search reads their words instead.
var (
	documents = table{"documents", 1, []column{
		{"number", integer}, {"hash", integer}, {"sequence", integer}, {"source", text}, {"provider", text}, {"id", text}, {"state", text},
		{"people", integer}, {"signed", integer}, {"untold", integer}, {"stuck", integer}, {"sent_at", integer}, {"ended_at", integer}, {"last_at", integer},
	}}
	bodies   = table{"bodies", 1, []column{{"number", integer}, {"body", blob}}}
	wordsOf  = table{"words", 1, []column{{"number", integer}, {"id", text}, {"words", text}}}
	fresh    = table{"fresh", 1, []column{{"number", integer}, {"posted", text}}}
	postings = table{"postings", 2, []column{{"block", integer}, {"term", text}, {"docs", blob}}}
	blocks   = table{"blocks", 1, []column{{"block", integer}, {"first_sent", integer}, {"last_sent", integer}}}
	peopleOf = table{"people", 2, []column{
		{"number", integer}, {"person", integer}, {"source", text}, {"provider", text}, {"week", integer}, {"sent_at", integer},
		{"delivered_at", integer}, {"opened_at", integer}, {"signed_at", integer}, {"channel", text}, {"kind", text}, {"parts", integer}, {"country", text},
	}}
	positions = table{"position", 1, []column{{"one", integer}, {"sequence", integer}, {"at", integer}}}

	generationTables = []table{documents, bodies, wordsOf, fresh, postings, blocks, peopleOf, positions}
)

// indexes are created when a new generation is filled, or at once with an empty one.
var indexes = []struct{ name, table, columns string }{
	{"documents_hash", "documents", "hash"},
	{"words_id", "words", "id"},
	{"people_week", "people", "week"},
}

// The tables that stay when the index is rebuilt.
var (
	mainTable  = table{"main", 1, []column{{"one", integer}, {"generation", integer}, {"version", integer}}}
	viewsTable = table{"views", 2, []column{{"owner", text}, {"name", text}, {"query", text}}}
)

func (t table) create(prefix string, d dialect) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS %s%s (", prefix, t.name)
	for _, c := range t.columns {
		fmt.Fprintf(&b, "%s %s NOT NULL, ", c.name, d.typeOf(c.kind))
	}
	fmt.Fprintf(&b, "PRIMARY KEY (%s))%s", strings.Join(t.names(0, t.keys), ", "), d.tableOptions(t))
	return b.String()
}

func (t table) names(from, to int) []string {
	var all []string
	for _, c := range t.columns[from:to] {
		all = append(all, c.name)
	}
	return all
}

// conflict returns the end of an insertion that replaces a row with the same key.
func (t table) conflict() string {
	var sets []string
	for _, name := range t.names(t.keys, len(t.columns)) {
		sets = append(sets, name+" = excluded."+name)
	}
	return fmt.Sprintf(" ON CONFLICT (%s) DO UPDATE SET %s", strings.Join(t.names(0, t.keys), ", "), strings.Join(sets, ", "))
}

// dialect is what differs between the databases.
type dialect interface {
	openMain(ctx context.Context) (*sql.DB, error)
	mainPrefix() string
	isolation() sql.IsolationLevel // of a transaction that reads one state
	open(ctx context.Context, main *sql.DB, generation int64) (*generation, error)
	close(g *generation) error
	// drop removes a generation. Readers that still use it finish first, or keep it until they end.
	drop(ctx context.Context, main *sql.DB, generation int64) error
	// generations returns the numbers of all generations, also of those that a killed rebuild left.
	generations(ctx context.Context, main *sql.DB) ([]int64, error)
	// claim takes the right to build a generation, until release. It fails if another process builds.
	claim(ctx context.Context, main *sql.DB) (release func(), err error)
	// locked calls do in a transaction of main, while no other process is in such a transaction.
	locked(ctx context.Context, main *sql.DB, do func(tx *sql.Tx) error) error
	typeOf(k kind) string
	tableOptions(t table) string
	// bind replaces each ? by the database's parameters.
	bind(query string) string
	// isIn returns the condition that a column has one of the values that list returns as a parameter.
	isIn(column string) string
	numbers(all []int64) any
	texts(all []string) any
	put(ctx context.Context, tx *sql.Tx, prefix string, t table, rows [][]any) error
	// pairs is a query for the postings of several blocks and terms, or for an expression of them; its parameters are numbers and texts.
	pairs(prefix, docs string) string
	// clean makes sure that the bytes of removed rows are not in the files any more.
	clean(ctx context.Context, g *generation) error
	bytes(ctx context.Context, g *generation) (int64, error)
	// faster prepares a generation that is being built for many rows.
	faster(ctx context.Context, g *generation) error
	// settle ends that: the generation is complete and on the disk.
	settle(ctx context.Context, g *generation) error
}

// errOld means that another version of the program made the index.
var errOld = errors.New("the index was made by another version of Signrelay: run `signrelay index rebuild`")

// create creates the tables of main and the first generation.
func (i *Index) create(ctx context.Context) error {
	return i.dialect.locked(ctx, i.main, func(tx *sql.Tx) error {
		prefix := i.dialect.mainPrefix()
		for _, t := range []table{mainTable, viewsTable} {
			if _, err := tx.ExecContext(ctx, t.create(prefix, i.dialect)); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, i.dialect.bind("INSERT INTO "+prefix+"main (one, generation, version) VALUES (1, 0, ?) ON CONFLICT (one) DO NOTHING"), schemaVersion)
		if err != nil {
			return err
		}
		number, _, err := i.currentNumber(ctx, tx)
		if err != nil {
			return err
		}
		if number > 0 {
			return i.tidy(ctx, number)
		}
		g, err := i.dialect.open(ctx, i.main, 1)
		if err != nil {
			return err
		}
		defer func() { _ = i.dialect.close(g) }()
		if err := i.fill(ctx, g, true); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE "+prefix+"main SET generation = 1") //nolint:gosec // the prefix is ours
		return err
	})
}

// tidy removes the generations that a killed rebuild left: they contain names that an erasure would not reach. The caller is in locked, in which
// a rebuild begins and ends.
func (i *Index) tidy(ctx context.Context, current int64) error {
	all, err := i.dialect.generations(ctx, i.main)
	if err != nil {
		return err
	}
	for _, n := range all {
		if n == current {
			continue
		}
		release := func() {}
		if n > current {
			if release, err = i.dialect.claim(ctx, i.main); errors.Is(err, errClaimed) {
				continue // it is being built
			}
		}
		if err == nil {
			err = i.dialect.drop(ctx, i.main, n)
			release()
		}
		if err != nil {
			return fmt.Errorf("remove what a stopped rebuild left: %w", err)
		}
	}
	return nil
}

// fill creates the tables of a generation.
func (i *Index) fill(ctx context.Context, g *generation, withIndexes bool) error {
	for _, t := range generationTables {
		if _, err := g.write.ExecContext(ctx, t.create(g.prefix, i.dialect)); err != nil {
			return fmt.Errorf("create the table %s: %w", t.name, err)
		}
	}
	if !withIndexes {
		return nil
	}
	return i.index(ctx, g)
}

func (i *Index) index(ctx context.Context, g *generation) error {
	for _, x := range indexes {
		_, err := g.write.ExecContext(ctx, fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s ON %s%s (%s)", x.name, g.prefix, x.table, x.columns))
		if err != nil {
			return fmt.Errorf("create the index %s: %w", x.name, err)
		}
	}
	return nil
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (i *Index) currentNumber(ctx context.Context, q querier) (number, version int64, err error) {
	err = q.QueryRowContext(ctx, "SELECT generation, version FROM "+i.dialect.mainPrefix()+"main").Scan(&number, &version)
	return number, version, err
}

// enter returns the current generation, locked against its end until leave is called.
func (i *Index) enter(ctx context.Context) (g *generation, leave func(), err error) {
	number, version, err := i.currentNumber(ctx, i.main)
	if err != nil {
		return nil, nil, err
	}
	return i.enterAt(ctx, number, version)
}

func (i *Index) enterAt(ctx context.Context, number, version int64) (g *generation, leave func(), err error) {
	if version != schemaVersion {
		return nil, nil, errOld
	}
	for {
		i.mu.RLock()
		if i.current != nil && i.current.number == number {
			return i.current, i.mu.RUnlock, nil
		}
		i.mu.RUnlock()
		if err := i.switchTo(ctx, number); err != nil {
			return nil, nil, err
		}
	}
}

func (i *Index) switchTo(ctx context.Context, number int64) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.current != nil && i.current.number == number {
		return nil
	}
	g, err := i.dialect.open(ctx, i.main, number)
	if err != nil {
		return fmt.Errorf("open generation %d of the index: %w", number, err)
	}
	if i.current != nil {
		_ = i.dialect.close(i.current)
	}
	i.current = g
	return nil
}

// numbered replaces each ? of a query by $1, $2 and so on.
func numbered(query string) string {
	var b strings.Builder
	n := 0
	for {
		before, after, more := strings.Cut(query, "?")
		b.WriteString(before)
		if !more {
			return b.String()
		}
		n++
		b.WriteString("$" + strconv.Itoa(n))
		query = after
	}
}
