package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/signrelay/signrelay/libs/event"
)

// ErrNone means that the index does not have the document.
var ErrNone = errors.New("the index does not have this document")

// mostVerified is the number of documents whose words a search reads only to count them: a piece of more than three characters may not be in a
// document that has all its terms. With more of them, Total is an estimate, with an error of about 2 %. Each takes 5 µs.
const mostVerified = 2500

// mostIDs is the number of ids up to which those with a beginning are looked up one by one.
const mostIDs = 5000

// reader is a search in one snapshot of the index.
type reader struct {
	i      *Index
	g      *generation
	tx     *sql.Tx
	q      Query
	sought sought

	blocks []blockRow
	fresh  map[int64]map[uint32]bool // by block, whether the words of a document whose terms are not up to date match
	ids    map[string]map[int64]*set // by the beginning of an id, if there are few
	chosen map[way][]string          // the terms that are read
	looked int                       // blocks in which their sizes were compared
}

type blockRow struct{ number, first, last int64 }

// snapshot calls do in a transaction that sees one state of the index.
func (i *Index) snapshot(ctx context.Context, do func(r *reader) error) error {
	g, leave, err := i.enter(ctx)
	if err != nil {
		return fmt.Errorf("read the index: %w", err)
	}
	defer leave()
	return i.snapshotOf(ctx, g, do)
}

func (i *Index) snapshotOf(ctx context.Context, g *generation, do func(r *reader) error) error {
	tx, err := g.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: i.dialect.isolation()})
	if err != nil {
		return fmt.Errorf("read the index: %w", err)
	}
	defer func() { _ = rollback(tx) }()
	err = do(&reader{i: i, g: g, tx: tx})
	if err != nil && !errors.Is(err, ErrNone) {
		return fmt.Errorf("read the index: %w", err)
	}
	return err
}

func (r *reader) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return r.tx.QueryContext(ctx, r.i.dialect.bind(query), args...)
}

// Search returns a page of the documents that match, newest first.
func (i *Index) Search(ctx context.Context, q Query) (page Page, err error) {
	if q.Limit <= 0 || q.Limit > PageRows {
		q.Limit = PageRows
	}
	err = i.snapshot(ctx, func(r *reader) error {
		r.q, r.sought = q, seek(q.Text, q.Exact)
		page, err = r.search(ctx)
		return err
	})
	return page, err
}

func (r *reader) search(ctx context.Context) (Page, error) {
	if strings.TrimSpace(r.q.Text) != "" && len(r.sought) == 0 {
		return Page{}, nil // only characters that no text contains
	}
	if err := r.prepare(ctx); err != nil {
		return Page{}, err
	}
	c := collector{q: r.q, done: r.q.Before > 0, newer: r.q.After > 0}
	err := r.each(ctx, r.blocks, func(b blockRow, found, unsure *set) (bool, error) {
		offsets := found.offsets()
		slices.Reverse(offsets)
		return true, r.take(ctx, &c, b.number, offsets, unsure)
	})
	if err == nil && r.q.Before > 0 {
		err = r.before(ctx, &c)
	}
	if err != nil {
		return Page{}, err
	}
	return r.page(ctx, &c)
}

// each calls do for each block with the documents that may match, and those of them of which the words must be read. It reads the terms of one
// block first, because the first one has the whole page of a broad query.
func (r *reader) each(ctx context.Context, blocks []blockRow, do func(b blockRow, found, unsure *set) (more bool, err error)) error {
	for from, size := 0, 1; from < len(blocks); from, size = from+size, min(size*4, 64) {
		part := blocks[from:min(from+size, len(blocks))]
		terms, err := r.terms(ctx, part)
		if err != nil {
			return err
		}
		for _, b := range part {
			found, unsure, err := r.collect(ctx, b, terms[b.number])
			if err != nil {
				return err
			}
			if more, err := do(b, found, unsure); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

// before fills the page with the rows next to a row, towards the newest.
func (r *reader) before(ctx context.Context, c *collector) error {
	up := slices.Clone(r.blocks)
	slices.Reverse(up)
	up = slices.DeleteFunc(up, func(b blockRow) bool { return b.number < blockOf(r.q.Before) })
	c.older = true
	err := r.each(ctx, up, func(b blockRow, found, unsure *set) (bool, error) {
		if b.number == blockOf(r.q.Before) {
			found.keep(offsetOf(r.q.Before)+1, blockSize)
		}
		for part := range slices.Chunk(found.offsets(), 4*PageRows) {
			wrong, err := r.wrong(ctx, numbersOf(b.number, part, unsure))
			if err != nil {
				return false, err
			}
			for _, o := range part {
				number := numberOf(b.number, o)
				if wrong[signed(number)] {
					continue
				}
				if len(c.page) == c.q.Limit {
					c.newer = true
					return false, nil
				}
				c.page = append(c.page, number)
			}
		}
		return true, nil
	})
	return err
}

// numbersOf returns the documents of which the words must be read.
func numbersOf(block int64, offsets []uint32, unsure *set) (all []int64) {
	for _, o := range offsets {
		if unsure.has(o) {
			all = append(all, signed(numberOf(block, o)))
		}
	}
	return all
}

// prepare reads what the search needs of all blocks.
func (r *reader) prepare(ctx context.Context) error {
	rows, err := r.query(ctx, "SELECT block, first_sent, last_sent FROM "+r.g.prefix+"blocks ORDER BY block DESC")
	if err != nil {
		return err
	}
	since, until := milliseconds(r.q.Since), milliseconds(r.q.Until)
	err = eachRow(rows, func() error {
		var b blockRow
		if err := rows.Scan(&b.number, &b.first, &b.last); err != nil {
			return err
		}
		if b.last >= since && (until == 0 || b.first < until) {
			r.blocks = append(r.blocks, b)
		}
		return nil
	})
	if err != nil || len(r.sought) == 0 {
		return err
	}
	if err := r.readFresh(ctx); err != nil {
		return err
	}
	r.ids = map[string]map[int64]*set{}
	for _, reading := range r.sought {
		for _, part := range reading {
			for _, w := range part {
				if err := r.readIDs(ctx, w); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// readFresh compares the words of the documents whose terms are not up to date.
func (r *reader) readFresh(ctx context.Context) error {
	rows, err := r.query(ctx, "SELECT t.number, t.id, t.words FROM "+r.g.prefix+"fresh f JOIN "+r.g.prefix+"words t ON t.number = f.number")
	if err != nil {
		return err
	}
	r.fresh = map[int64]map[uint32]bool{}
	return eachRow(rows, func() error {
		var number int64
		var id, words string
		if err := rows.Scan(&number, &id, &words); err != nil {
			return err
		}
		block := blockOf(unsigned(number))
		if r.fresh[block] == nil {
			r.fresh[block] = map[uint32]bool{}
		}
		r.fresh[block][offsetOf(unsigned(number))] = r.sought.matches(id, words)
		return nil
	})
}

// readIDs looks up the ids with a beginning, if there are few.
func (r *reader) readIDs(ctx context.Context, w way) error {
	if w.how != isID && (w.how != beginsID || utf8.RuneCountInString(w.text) <= idTerm) || r.ids[w.text] != nil {
		return nil
	}
	id := foldID(w.text)
	condition, args := "id = ?", []any{id}
	if w.how == beginsID {
		condition, args = "id >= ? AND id < ?", []any{id, id + string(utf8.MaxRune)}
	}
	rows, err := r.query(ctx, fmt.Sprintf("SELECT number FROM %swords WHERE %s LIMIT %d", r.g.prefix, condition, mostIDs+1), args...)
	if err != nil {
		return err
	}
	found, count := map[int64]*set{}, 0
	err = eachRow(rows, func() error {
		var number int64
		if err := rows.Scan(&number); err != nil {
			return err
		}
		count++
		block := blockOf(unsigned(number))
		if found[block] == nil {
			found[block] = new(set)
		}
		found[block].add(offsetOf(unsigned(number)))
		return nil
	})
	if count <= mostIDs {
		r.ids[w.text] = found
	}
	return err
}

// filterTerms returns the terms of the filters. All documents of the result have them.
func (r *reader) filterTerms() []string {
	var all []string
	for _, f := range []struct {
		on   bool
		term string
	}{
		{r.q.Source != "", termSource + r.q.Source}, {r.q.Provider != "", termProvider + r.q.Provider}, {r.q.State != "", termState + r.q.State},
		{r.q.Untold, termUntold}, {r.q.Stuck, termStuck},
	} {
		if f.on {
			all = append(all, f.term)
		}
	}
	if len(all) == 0 && len(r.sought) == 0 {
		return []string{termAll}
	}
	return all
}

// terms reads the postings of all terms of the search in some blocks.
func (r *reader) terms(ctx context.Context, part []blockRow) (map[int64]map[string][]byte, error) {
	numbers := make([]int64, len(part))
	for n, b := range part {
		numbers[n] = b.number
	}
	if err := r.choose(ctx, numbers); err != nil {
		return nil, err
	}
	wanted := r.filterTerms()
	for _, terms := range r.chosen {
		wanted = append(wanted, terms...)
	}
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	rows, err := r.tx.QueryContext(ctx, r.i.dialect.pairs(r.g.prefix, "p.docs"), r.i.dialect.numbers(numbers), r.i.dialect.texts(wanted))
	if err != nil {
		return nil, err
	}
	found := make(map[int64]map[string][]byte, len(part))
	return found, eachRow(rows, func() error {
		var block int64
		var term string
		var docs []byte
		if err := rows.Scan(&block, &term, &docs); err != nil {
			return err
		}
		if found[block] == nil {
			found[block] = map[string][]byte{}
		}
		found[block][term] = docs
		return nil
	})
}

// terms returns the terms that a document has if the way matches.
func (w way) terms() (all []string) {
	switch w.how {
	case begins:
		return []string{termBegins + w.text}
	case beginsID, isID:
		longest := ""
		idTerms(w.text, func(term string) { longest = term })
		return []string{longest}
	default:
		wordTerms(w.text, func(term string) {
			if term[:1] == termPiece {
				all = append(all, term)
			}
		})
		slices.Sort(all)
		return slices.Compact(all)
	}
}

// mostTerms is the number of terms of a word whose postings are read, the rarest ones. An address has 30: their postings are 30 MB in 10^6 documents,
// the rarest three usually have a few documents in common, and these are verified anyway.
const mostTerms = 3

// mostLooked is the number of blocks after which the chosen terms are used for the others, too. To compare the 30 terms of an address in 77 blocks takes
// half of the time of its search, and what is rare in the newest 65,000 documents is rare in others.
const mostLooked = 1

// choose chooses the terms of each word that are read in some blocks. The database knows the size of postings without reading them.
func (r *reader) choose(ctx context.Context, blocks []int64) error {
	if r.looked > mostLooked {
		return nil
	}
	r.looked += len(blocks)
	r.chosen = map[way][]string{}
	var many []string
	for _, reading := range r.sought {
		for _, p := range reading {
			for _, w := range p {
				terms := w.terms()
				if r.chosen[w] = terms; len(terms) > mostTerms {
					many = append(many, terms...)
				}
			}
		}
	}
	if len(many) == 0 {
		return nil
	}
	slices.Sort(many)
	sizes := map[string]int{}
	rows, err := r.tx.QueryContext(ctx, r.i.dialect.pairs(r.g.prefix, "length(p.docs)"), r.i.dialect.numbers(blocks), r.i.dialect.texts(slices.Compact(many)))
	if err != nil {
		return err
	}
	err = eachRow(rows, func() error {
		var block int64
		var term string
		var size int
		err := rows.Scan(&block, &term, &size)
		sizes[term] += size
		return err
	})
	for w, terms := range r.chosen {
		slices.SortStableFunc(terms, func(a, b string) int { return sizes[a] - sizes[b] })
		r.chosen[w] = terms[:min(len(terms), mostTerms)]
	}
	return err
}

// sure reports whether each document with the terms matches.
func (w way) sure() bool {
	n := utf8.RuneCountInString(w.text)
	return w.how == begins || w.how == contains && n == 3 || w.how == beginsID && n <= idTerm
}

// matched has the documents of a block that may match, and those that certainly do.
type matched struct{ may, sure *set }

func (r *reader) matchWay(w way, block int64, terms map[string][]byte) (m matched, err error) {
	m = matched{new(set), new(set)}
	if found, few := r.ids[w.text]; few && (w.how == beginsID || w.how == isID) {
		if s := found[block]; s != nil {
			m.may.or(s)
			m.sure.or(s)
		}
		return m, nil
	}
	wanted := slices.Clone(r.chosen[w])
	slices.SortFunc(wanted, func(a, b string) int { return len(terms[a]) - len(terms[b]) }) // the rarest first
	for n, term := range wanted {
		if len(terms[term]) == 0 || n > 0 && m.may.empty() {
			*m.may = set{}
			break
		}
		one := m.may
		if n > 0 {
			one = new(set)
		}
		if err := each(terms[term], one.add); err != nil {
			return m, err
		}
		if n > 0 {
			m.may.and(one)
		}
	}
	if w.sure() {
		m.sure.or(m.may)
	}
	return m, nil
}

// match returns the documents of a block that may match the text, by their terms.
func (r *reader) match(block int64, terms map[string][]byte) (all matched, err error) {
	all = matched{new(set), new(set)}
	for _, reading := range r.sought {
		var every matched
		for n, part := range reading {
			some := matched{new(set), new(set)}
			for _, w := range part {
				one, err := r.matchWay(w, block, terms)
				if err != nil {
					return all, err
				}
				some.may.or(one.may)
				some.sure.or(one.sure)
			}
			if n == 0 {
				every = some
				continue
			}
			every.may.and(some.may)
			every.sure.and(some.sure)
		}
		all.may.or(every.may)
		all.sure.or(every.sure)
	}
	return all, nil
}

// collector collects a page, and counts.
type collector struct {
	q            Query
	page         []uint64
	done         bool // the page is complete
	newer, older bool
	total        int
	candidates   int // that were not verified
	verified     int
	true         int // of the verified ones
}

// collect returns the documents of one block that may match, and those of them of which the words must be read.
func (r *reader) collect(ctx context.Context, b blockRow, terms map[string][]byte) (found, unsure *set, err error) {
	unsure = new(set)
	if len(r.sought) == 0 {
		found, err = r.filter(ctx, b, terms, nil)
		return found, unsure, err
	}
	m, err := r.match(b.number, terms)
	if err != nil {
		return nil, nil, err
	}
	for o, matches := range r.fresh[b.number] {
		m.may.remove(o)
		m.sure.remove(o)
		if matches {
			m.may.add(o)
			m.sure.add(o)
		}
	}
	if found, err = r.filter(ctx, b, terms, m.may); err != nil {
		return nil, nil, err
	}
	*unsure = *found
	for i := range unsure {
		unsure[i] &^= m.sure[i]
	}
	return found, unsure, nil
}

// filter returns those of the documents of a block that pass all filters besides the text; found is nil for all documents.
func (r *reader) filter(ctx context.Context, b blockRow, terms map[string][]byte, found *set) (*set, error) {
	for _, term := range r.filterTerms() {
		if found != nil && found.empty() {
			return found, nil
		}
		one := new(set)
		if err := each(terms[term], one.add); err != nil {
			return nil, err
		}
		if found == nil {
			found = one
		} else {
			found.and(one)
		}
	}
	if found.empty() {
		return found, nil
	}
	since, until := milliseconds(r.q.Since), milliseconds(r.q.Until)
	if b.first >= since && (until == 0 || b.last < until) {
		return found, nil
	}
	rows, err := r.query(ctx, "SELECT number, sent_at FROM "+r.g.prefix+"documents WHERE number >= ? AND number < ?",
		signed(numberOf(b.number, 0)), signed(numberOf(b.number+1, 0)))
	if err != nil {
		return nil, err
	}
	return found, eachRow(rows, func() error {
		var number, sent int64
		if err := rows.Scan(&number, &sent); err != nil {
			return err
		}
		if sent < since || until > 0 && sent >= until {
			found.remove(offsetOf(unsigned(number)))
		}
		return nil
	})
}

// take adds documents of a block to the page, in descending order, and counts them. While the page is not complete, it reads the words of as many
// documents as the page may need.
func (r *reader) take(ctx context.Context, c *collector, block int64, offsets []uint32, unsure *set) error {
	if !c.done && c.q.After > 0 { // those on earlier pages
		n := 0
		for n < len(offsets) && numberOf(block, offsets[n]) >= c.q.After {
			n++
		}
		if err := r.count(ctx, c, block, offsets[:n], unsure); err != nil {
			return err
		}
		offsets = offsets[n:]
	}
	for len(offsets) > 0 && !c.done {
		part := offsets[:min(len(offsets), 4*PageRows)]
		offsets = offsets[len(part):]
		verify := numbersOf(block, part, unsure)
		wrong, err := r.wrong(ctx, verify)
		if err != nil {
			return err
		}
		c.verified += len(verify)
		c.true += len(verify) - len(wrong)
		for _, o := range part {
			if number := numberOf(block, o); !wrong[signed(number)] {
				c.add(number)
			}
		}
	}
	return r.count(ctx, c, block, offsets, unsure)
}

// count counts documents that are not on the page. It reads the words of some only.
func (r *reader) count(ctx context.Context, c *collector, block int64, offsets []uint32, unsure *set) error {
	verify := numbersOf(block, offsets, unsure)
	c.total += len(offsets) - len(verify)
	now := verify[:min(len(verify), max(mostVerified-c.verified, 0))]
	c.candidates += len(verify) - len(now)
	wrong, err := r.wrong(ctx, now)
	c.verified += len(now)
	c.true += len(now) - len(wrong)
	c.total += len(now) - len(wrong)
	return err
}

// dense is the distance of documents up to which a range of them is read, and not each by its number: a document has about ten events.
const dense = 16

// wrong returns those of the documents that do not match, although they have all terms.
func (r *reader) wrong(ctx context.Context, numbers []int64) (map[int64]bool, error) {
	wrong := map[int64]bool{}
	for part := range slices.Chunk(slices.Sorted(slices.Values(numbers)), 1000) {
		condition, args := r.i.dialect.isIn("number"), []any{r.i.dialect.numbers(part)}
		if from, to := part[0], part[len(part)-1]; to-from < dense*int64(len(part)) {
			condition, args = "number BETWEEN ? AND ?", []any{from, to}
		}
		rows, err := r.query(ctx, "SELECT number, id, words FROM "+r.g.prefix+"words WHERE "+condition, args...)
		if err != nil {
			return nil, err
		}
		err = eachRow(rows, func() error {
			var number int64
			var id, words string
			if err := rows.Scan(&number, &id, &words); err != nil {
				return err
			}
			if _, asked := slices.BinarySearch(part, number); asked && !r.sought.matches(id, words) {
				wrong[number] = true
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return wrong, nil
}

// add counts a document, and adds it to the page.
func (c *collector) add(number uint64) {
	c.total++
	if len(c.page) < c.q.Limit {
		c.page = append(c.page, number)
		return
	}
	c.older, c.done = true, true
}

func (r *reader) page(ctx context.Context, c *collector) (Page, error) {
	p := Page{Newer: c.newer, Older: c.older, Total: c.total}
	if c.candidates > 0 {
		p.About = true
		p.Total += c.candidates * c.true / max(c.verified, 1)
	}
	if len(c.page) == 0 {
		return p, nil
	}
	numbers := make([]int64, len(c.page))
	for n, number := range c.page {
		numbers[n] = signed(number)
	}
	var err error
	p.Rows, err = r.rows(ctx, r.i.dialect.isIn("d.number"), r.i.dialect.numbers(numbers))
	return p, err
}

func (r *reader) rows(ctx context.Context, condition string, args ...any) (all []Found, err error) {
	rows, err := r.query(ctx, "SELECT d.number, d.sequence, d.source, d.provider, d.id, d.state, d.people, d.signed, d.untold, d.stuck, d.sent_at, d.ended_at, d.last_at, b.body FROM "+
		r.g.prefix+"documents d JOIN "+r.g.prefix+"bodies b ON b.number = d.number WHERE "+condition+" ORDER BY d.number DESC", args...)
	if err != nil {
		return nil, err
	}
	return all, eachRow(rows, func() error {
		var f Found
		var number, sequence, stuck, sent, ended, last int64
		err := rows.Scan(&number, &sequence, &f.Source, &f.Provider, &f.ID, &f.State, &f.People, &f.Signed, &f.Untold, &stuck, &sent, &ended, &last, &f.Body)
		f.Number, f.Sequence, f.Stuck = unsigned(number), unsigned(sequence), stuck > 0
		f.SentAt, f.EndedAt, f.LastAt = timeOf(sent), timeOf(ended), timeOf(last)
		all = append(all, f)
		return err
	})
}

// find returns the number of a document; 0 if the index does not have it.
func (i *Index) find(ctx context.Context, tx *sql.Tx, g *generation, k Key) (int64, error) {
	var number int64
	err := tx.QueryRowContext(ctx, i.dialect.bind("SELECT number FROM "+g.prefix+"documents WHERE hash = ? AND source = ? AND provider = ? AND id = ?"),
		k.hash(), k.Source, k.Provider, storable(k.ID)).Scan(&number)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return number, err
}

// Get returns a document, or ErrNone.
func (i *Index) Get(ctx context.Context, k Key) (Found, error) {
	all, err := i.Many(ctx, k)
	if err != nil {
		return Found{}, err
	}
	if len(all) == 0 {
		return Found{}, ErrNone
	}
	return all[0], nil
}

// Many returns those of the documents that the index has.
func (i *Index) Many(ctx context.Context, keys ...Key) ([]Found, error) {
	return i.many(ctx, i.snapshot, keys)
}

type snapshots func(ctx context.Context, do func(r *reader) error) error

func (i *Index) many(ctx context.Context, snapshot snapshots, keys []Key) (all []Found, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	wanted := make(map[Key]Key, len(keys))
	hashes := make([]int64, len(keys))
	for n, k := range keys {
		wanted[Key{k.Source, k.Provider, storable(k.ID)}] = k
		hashes[n] = k.hash()
	}
	err = snapshot(ctx, func(r *reader) error {
		for part := range slices.Chunk(hashes, 1000) {
			found, err := r.rows(ctx, r.i.dialect.isIn("d.hash"), r.i.dialect.numbers(part))
			if err != nil {
				return err
			}
			for _, f := range found {
				if k, is := wanted[f.Key]; is {
					f.Key = k
					all = append(all, f)
				}
			}
		}
		return nil
	})
	return all, err
}

// Erased returns the keys of the documents with that name after their erasure, which the document.id of document.erased has.
func (i *Index) Erased(ctx context.Context, source, provider, name string) ([]Key, error) {
	return i.erased(ctx, i.snapshot, source, provider, name)
}

func (i *Index) erased(ctx context.Context, snapshot snapshots, source, provider, name string) (keys []Key, err error) {
	err = snapshot(ctx, func(r *reader) error {
		found, err := r.rows(ctx, "d.hash = ?", hashOf(name))
		for _, f := range found {
			if f.Source == source && f.Provider == provider && event.ErasedID(source, provider, event.DocumentToken(f.ID)) == name {
				keys = append(keys, f.Key)
			}
		}
		return err
	})
	return keys, err
}

// Position returns how far the index is; the zero Position if it is empty.
func (i *Index) Position(ctx context.Context) (p Position, err error) {
	err = i.snapshot(ctx, func(r *reader) error {
		p, err = positionOf(ctx, r.tx, r.g)
		return err
	})
	return p, err
}

func positionOf(ctx context.Context, tx *sql.Tx, g *generation) (Position, error) {
	var sequence, at int64
	err := tx.QueryRowContext(ctx, "SELECT sequence, at FROM "+g.prefix+"position").Scan(&sequence, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return Position{}, nil
	}
	return Position{unsigned(sequence), timeOf(at)}, err
}

// Status returns the size and the position of the index.
func (i *Index) Status(ctx context.Context) (s Status, err error) {
	err = i.snapshot(ctx, func(r *reader) error {
		if s.Position, err = positionOf(ctx, r.tx, r.g); err != nil {
			return err
		}
		for _, n := range []struct {
			table string
			into  *int64
		}{{"documents", &s.Documents}, {"people", &s.People}} {
			if err := r.tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+r.g.prefix+n.table).Scan(n.into); err != nil {
				return err
			}
		}
		s.Bytes, err = i.dialect.bytes(ctx, r.g)
		return err
	})
	return s, err
}

// Lag returns how long the index is behind an event that was stored at that time.
func (p Position) Lag(last time.Time) time.Duration { return max(last.Sub(p.At), 0) }
