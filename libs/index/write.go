package index

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/crash"
)

// Batch is a set of changes that are made together.
type Batch struct {
	Position Position // after the batch; an earlier one than the index has changes nothing but rows with a later sequence
	Rows     []Row    // at most one for each document
	Removed  []Key    // documents; no row of the batch has one of these keys
}

// mostFresh is the number of documents whose terms are not up to date. A search reads the words of all of them, 2 ms for each thousand. With more
// documents at once, more of them share a term, so that fewer postings are written: 140 for one document, six for each of 1,000.
const mostFresh = 1000

// ErrMoved means that another process wrote to the index: what the caller knows of its documents may be old.
var ErrMoved = errors.New("another process has written to the index")

// Apply makes the changes of a batch in one transaction. A row whose sequence the index already has changes nothing.
func (i *Index) Apply(ctx context.Context, b Batch) error { return i.apply(ctx, nil, b) }

// ApplyAt works like Apply, but changes nothing and returns ErrMoved if the index has another position than the one at which the caller read its
// documents. A replica that was stopped for some time would otherwise write states without the events that another replica has folded in.
func (i *Index) ApplyAt(ctx context.Context, at Position, b Batch) error { return i.apply(ctx, &at, b) }

func (i *Index) apply(ctx context.Context, at *Position, b Batch) error {
	err := i.dialect.locked(ctx, i.main, func(tx *sql.Tx) error {
		number, version, err := i.currentNumber(ctx, tx)
		if err != nil {
			return err
		}
		g, leave, err := i.enterAt(ctx, number, version)
		if err != nil {
			return err
		}
		defer leave()
		w := &writer{i: i, g: g, at: at, most: mostFresh, deltas: deltas{}}
		if err := transact(ctx, g.write, func(tx *sql.Tx) error { return w.apply(ctx, tx, b) }); err != nil {
			return err
		}
		if w.removed {
			i.unclean = true
			if err := i.tidy(ctx, number); err != nil {
				return err
			}
		}
		if !i.unclean {
			return nil
		}
		if err := i.dialect.clean(ctx, g); err == nil { // otherwise with the next batch
			i.unclean = false
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write to the index: %w", err)
	}
	return nil
}

// Remove removes documents and everything that was stored of them, also from the files' free space.
func (i *Index) Remove(ctx context.Context, keys ...Key) error {
	return i.Apply(ctx, Batch{Removed: keys})
}

// writer makes the changes of one transaction.
type writer struct {
	i       *Index
	g       *generation
	tx      *sql.Tx
	at      *Position // that the index must have; nil for any
	most    int       // fresh documents
	deltas  deltas
	removed bool
	bulk    bool // the generation is being built: the terms of words are written at the end
}

// stored is what the index has of a document.
type stored struct {
	number, sequence        int64
	source, provider, state string
	id                      string
	people                  int64
	untold, stuck           int64
	words                   string
}

func (w *writer) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return w.tx.QueryContext(ctx, w.i.dialect.bind(query), args...)
}

func (w *writer) exec(ctx context.Context, query string, args ...any) error {
	_, err := w.tx.ExecContext(ctx, w.i.dialect.bind(query), args...)
	return err
}

// in returns a condition and its parameter.
func (w *writer) in(column string) string { return w.i.dialect.isIn(column) }

func (w *writer) apply(ctx context.Context, tx *sql.Tx, b Batch) error {
	w.tx = tx
	if err := w.check(ctx); err != nil {
		return err
	}
	if err := w.remove(ctx, b.Removed); err != nil {
		return fmt.Errorf("remove documents: %w", err)
	}
	if err := w.store(ctx, b.Rows); err != nil {
		return fmt.Errorf("store documents: %w", err)
	}
	if err := w.freshen(ctx); err != nil {
		return fmt.Errorf("index words: %w", err)
	}
	if err := w.post(ctx); err != nil {
		return fmt.Errorf("store terms: %w", err)
	}
	crash.Point("indexing")
	return w.move(ctx, b.Position)
}

// check returns ErrMoved if the index has another position than the caller expects.
func (w *writer) check(ctx context.Context) error {
	if w.at == nil {
		return nil
	}
	is, err := positionOf(ctx, w.tx, w.g)
	if err == nil && is.Sequence != w.at.Sequence {
		err = ErrMoved
	}
	return err
}

func (w *writer) move(ctx context.Context, p Position) error {
	if p.Sequence == 0 {
		return nil
	}
	return w.exec(ctx, "INSERT INTO "+w.g.prefix+"position (one, sequence, at) VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE SET "+
		"sequence = excluded.sequence, at = excluded.at WHERE excluded.sequence > "+w.g.prefix+"position.sequence", signed(p.Sequence), milliseconds(p.At))
}

// signed returns a sequence as the databases store it.
func signed(n uint64) int64 { return int64(n) } // sequences are far below 2^63

func unsigned(n int64) uint64 { return uint64(n) } // signed made it

// milliseconds returns a time as it is stored.
func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// load returns what the index has of documents, by number.
func (w *writer) load(ctx context.Context, numbers []int64) (map[int64]*stored, error) {
	found := make(map[int64]*stored, len(numbers))
	for part := range slices.Chunk(numbers, 1000) {
		rows, err := w.query(ctx, "SELECT d.number, d.sequence, d.source, d.provider, d.id, d.state, d.people, d.untold, d.stuck, t.words FROM "+w.g.prefix+"documents d JOIN "+
			w.g.prefix+"words t ON t.number = d.number WHERE "+w.in("d.number"), w.i.dialect.numbers(part))
		if err != nil {
			return nil, err
		}
		err = eachRow(rows, func() error {
			s := new(stored)

			if err := rows.Scan(&s.number, &s.sequence, &s.source, &s.provider, &s.id, &s.state, &s.people, &s.untold, &s.stuck, &s.words); err != nil {
				return err
			}
			found[s.number] = s
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func eachRow(rows *sql.Rows, do func() error) error {
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := do(); err != nil {
			return err
		}
	}
	return rows.Err()
}

// facets are the terms of a document besides those of its words. They are always up to date.
func (s *stored) facets() map[string]bool {
	all := map[string]bool{termAll: true, termSource + s.source: true, termProvider + s.provider: true, termState + s.state: true}
	if s.untold > 0 {
		all[termUntold] = true
	}
	if s.stuck > 0 {
		all[termStuck] = true
	}
	idTerms(fold(s.id), func(term string) { all[term] = true })
	return all
}

func (r *Row) facets() map[string]bool {
	s := stored{source: r.Source, provider: r.Provider, id: r.ID, state: r.State, untold: int64(r.Untold), stuck: truth(r.Stuck)}
	return s.facets()
}

func (w *writer) store(ctx context.Context, all []Row) error {
	if len(all) == 0 {
		return nil
	}
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Row) int { return cmp.Compare(a.Number, b.Number) })
	numbers := make([]int64, len(all))
	for n := range all {
		numbers[n] = signed(all[n].Number)
	}
	before, err := w.load(ctx, numbers)
	if err != nil {
		return err
	}
	var docs, texts, body, marks, persons [][]any
	sent := map[int64][2]int64{}
	for n := range all {
		r := &all[n]
		number := numbers[n]
		old := before[number]
		switch {
		case old == nil:
			old = new(stored)
			for term := range r.facets() {
				w.deltas.add(r.Number, term)
			}
		case old.sequence >= signed(r.Sequence):
			continue
		case old.state != r.State || (old.untold > 0) != (r.Untold > 0) || (old.stuck > 0) != r.Stuck:
			w.exchange(r.Number, old.facets(), r.facets())
		}
		at := milliseconds(cmp.Or(r.SentAt, r.LastAt))
		span, known := sent[blockOf(r.Number)]
		if !known {
			span = [2]int64{at, at}
		}
		sent[blockOf(r.Number)] = [2]int64{min(span[0], at), max(span[1], at)}
		docs = append(docs, []any{
			number, r.hash(), signed(r.Sequence), r.Source, r.Provider, storable(r.ID), r.State, int64(len(r.People)), int64(r.Signed), int64(r.Untold), truth(r.Stuck),
			at, milliseconds(r.EndedAt), milliseconds(r.LastAt),
		})
		body = append(body, []any{number, r.Body})
		if words := r.words(); old.number == 0 || words != old.words {
			texts = append(texts, []any{number, foldID(r.ID), words})
			marks = append(marks, []any{number, old.words})
		}
		persons = append(persons, r.persons(number, at)...)
		if int64(len(r.People)) < old.people {
			if err := w.exec(ctx, "DELETE FROM "+w.g.prefix+"people WHERE number = ? AND person >= ?", number, int64(len(r.People))); err != nil {
				return err
			}
		}
		if r.Forget {
			w.removed, w.most = true, 0
		}
	}
	if err := w.mark(ctx, marks); err != nil {
		return err
	}
	return errors.Join(
		w.put(ctx, documents, docs), w.put(ctx, bodies, body), w.put(ctx, wordsOf, texts), w.put(ctx, peopleOf, persons), w.widen(ctx, sent),
	)
}

// exchange makes the terms that a document had those that it has.
func (w *writer) exchange(number uint64, had, has map[string]bool) {
	for term := range had {
		if !has[term] {
			w.deltas.remove(number, term)
		}
	}
	for term := range has {
		if !had[term] {
			w.deltas.add(number, term)
		}
	}
}

func (w *writer) put(ctx context.Context, t table, rows [][]any) error {
	if err := w.i.dialect.put(ctx, w.tx, w.g.prefix, t, rows); err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	return nil
}

// mark notes documents whose words changed, with the words that their terms are of. A document that is marked stays so.
func (w *writer) mark(ctx context.Context, rows [][]any) error {
	if w.bulk || len(rows) == 0 {
		return nil
	}
	numbers := make([]int64, len(rows))
	for n, row := range rows {
		numbers[n], _ = row[0].(int64)
	}
	marked, err := w.marked(ctx, numbers)
	if err != nil {
		return err
	}
	return w.put(ctx, fresh, slices.DeleteFunc(rows, func(row []any) bool { number, _ := row[0].(int64); _, is := marked[number]; return is }))
}

// marked returns the words of which the terms are, for those of the documents that are marked.
func (w *writer) marked(ctx context.Context, numbers []int64) (map[int64]string, error) {
	found := map[int64]string{}
	rows, err := w.query(ctx, "SELECT number, posted FROM "+w.g.prefix+"fresh WHERE "+w.in("number"), w.i.dialect.numbers(numbers))
	if err != nil {
		return nil, err
	}
	return found, eachRow(rows, func() error {
		var number int64
		var posted string
		err := rows.Scan(&number, &posted)
		found[number] = posted
		return err
	})
}

// widen notes the times between which the documents of a block were sent.
func (w *writer) widen(ctx context.Context, sent map[int64][2]int64) error {
	if len(sent) == 0 {
		return nil
	}
	keys := slices.Sorted(maps.Keys(sent))
	rows, err := w.query(ctx, "SELECT block, first_sent, last_sent FROM "+w.g.prefix+"blocks WHERE "+w.in("block"), w.i.dialect.numbers(keys))
	if err != nil {
		return err
	}
	before := map[int64][2]int64{}
	err = eachRow(rows, func() error {
		var block, first, last int64
		err := rows.Scan(&block, &first, &last)
		before[block] = [2]int64{first, last}
		return err
	})
	if err != nil {
		return err
	}
	var changed [][]any
	for _, block := range keys {
		span := sent[block]
		if old, known := before[block]; known {
			span = [2]int64{min(span[0], old[0]), max(span[1], old[1])}
			if span == old {
				continue
			}
		}
		changed = append(changed, []any{block, span[0], span[1]})
	}
	return w.put(ctx, blocks, changed)
}

// persons returns the rows of a document's people, without their names.
func (r *Row) persons(number, sent int64) (rows [][]any) {
	for n := range r.People {
		p := &r.People[n]
		rows = append(rows, []any{
			number, int64(n), r.Source, r.Provider, weekOf(cmp.Or(milliseconds(p.SentAt), sent)), milliseconds(p.SentAt), milliseconds(p.DeliveredAt),
			milliseconds(p.OpenedAt), milliseconds(p.SignedAt), p.Channel, p.Kind, int64(p.Parts), p.Country,
		})
	}
	return rows
}

// remove removes documents, and all their terms.
func (w *writer) remove(ctx context.Context, keys []Key) error {
	if len(keys) == 0 {
		return nil
	}
	var numbers []int64
	for _, k := range keys {
		number, err := w.i.find(ctx, w.tx, w.g, k)
		if err != nil {
			return err
		}
		if number != 0 {
			numbers = append(numbers, number)
		}
	}
	if len(numbers) == 0 {
		return nil
	}
	before, err := w.load(ctx, numbers)
	if err != nil {
		return err
	}
	marked, err := w.marked(ctx, numbers)
	if err != nil {
		return err
	}
	for number, s := range before {
		words := s.words
		if posted, is := marked[number]; is {
			words = posted
		}
		for term := range s.facets() {
			w.deltas.remove(unsigned(number), term)
		}
		wordTerms(words, func(term string) { w.deltas.remove(unsigned(number), term) })
	}
	for _, t := range []table{documents, bodies, wordsOf, fresh, peopleOf} {
		if err := w.exec(ctx, "DELETE FROM "+w.g.prefix+t.name+" WHERE "+w.in("number"), w.i.dialect.numbers(numbers)); err != nil {
			return err
		}
	}
	w.removed = true
	return nil
}

// freshen writes the terms of the marked documents when there are many.
func (w *writer) freshen(ctx context.Context) error {
	if w.bulk {
		return nil
	}
	var count int
	if err := w.tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+w.g.prefix+"fresh").Scan(&count); err != nil || count == 0 || count < w.most {
		return err
	}
	rows, err := w.query(ctx, "SELECT f.number, f.posted, t.words FROM "+w.g.prefix+"fresh f JOIN "+w.g.prefix+"words t ON t.number = f.number ORDER BY f.number")
	if err != nil {
		return err
	}
	err = eachRow(rows, func() error {
		var number int64
		var posted, words string
		if err := rows.Scan(&number, &posted, &words); err != nil {
			return err
		}
		if posted == "" { // the usual case, without sets
			wordTerms(words, func(term string) { w.deltas.add(unsigned(number), term) })
			return nil
		}
		w.exchange(unsigned(number), termsOf(posted), termsOf(words))
		return nil
	})
	if err != nil {
		return err
	}
	return w.exec(ctx, "DELETE FROM "+w.g.prefix+"fresh")
}

func termsOf(words string) map[string]bool {
	all := map[string]bool{}
	wordTerms(words, func(term string) { all[term] = true })
	return all
}

// post writes the changes of postings.
func (w *writer) post(ctx context.Context) error {
	for _, block := range slices.Sorted(maps.Keys(w.deltas)) {
		for terms := range slices.Chunk(slices.Sorted(maps.Keys(w.deltas[block])), 5000) {
			if err := w.postTerms(ctx, block, terms); err != nil {
				return err
			}
		}
	}
	clear(w.deltas)
	return nil
}

func (w *writer) postTerms(ctx context.Context, block int64, terms []string) error {
	before := map[string][]byte{}
	rows, err := w.tx.QueryContext(ctx, w.i.dialect.pairs(w.g.prefix, "p.docs"), w.i.dialect.numbers([]int64{block}), w.i.dialect.texts(terms))
	if err != nil {
		return err
	}
	err = eachRow(rows, func() error {
		var b int64
		var term string
		var docs []byte
		err := rows.Scan(&b, &term, &docs)
		before[term] = docs
		return err
	})
	if err != nil {
		return err
	}
	var changed [][]any
	var gone []string
	for _, term := range terms {
		d := w.deltas[block][term]
		after, err := change(before[term], d.add, d.remove)
		switch {
		case err != nil:
			return err
		case len(after) > 0:
			changed = append(changed, []any{block, term, after})
		case before[term] != nil:
			gone = append(gone, term)
		}
	}
	if len(gone) > 0 {
		if err := w.exec(ctx, "DELETE FROM "+w.g.prefix+"postings WHERE block = ? AND "+w.in("term"), block, w.i.dialect.texts(gone)); err != nil {
			return err
		}
	}
	return w.put(ctx, postings, changed)
}
