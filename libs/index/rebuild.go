package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/signrelay/signrelay/libs/crash"
)

// Build is a new generation of the index, which is filled beside the current one. Until Swap, readers and the indexer use the current one.
type Build struct {
	i        *Index
	g        *generation
	old      int64 // the current generation; 0 if another version of the program made it
	release  func()
	words    bool // the terms of words are written with each batch
	finished bool
}

// Rebuild begins a new generation. An unfinished one of a rebuild that was stopped is removed. It fails if another rebuild is running.
func (i *Index) Rebuild(ctx context.Context) (*Build, error) {
	var number, version int64
	var release func()
	err := i.dialect.locked(ctx, i.main, func(tx *sql.Tx) (err error) { // tidy tries the claim in it
		if number, version, err = i.currentNumber(ctx, tx); err == nil {
			release, err = i.dialect.claim(ctx, i.main)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("rebuild the index: %w", err)
	}
	b := &Build{i: i, old: number, release: release}
	if version != schemaVersion {
		b.old = 0
	}
	if err := b.begin(ctx, number+1); err != nil {
		release()
		return nil, fmt.Errorf("rebuild the index: %w", err)
	}
	return b, nil
}

func (b *Build) begin(ctx context.Context, number int64) (err error) {
	if err := b.i.dialect.drop(ctx, b.i.main, number); err != nil {
		return err
	}
	if b.g, err = b.i.dialect.open(ctx, b.i.main, number); err != nil {
		return err
	}
	return errors.Join(b.i.dialect.faster(ctx, b.g), b.i.fill(ctx, b.g, true))
}

// Carry copies the documents that began before the first event that the log still has: they cannot be folded again. next is called with each of
// them.
func (b *Build) Carry(ctx context.Context, first uint64, next func(Found) error) error {
	if b.old == 0 {
		return nil
	}
	for from := int64(0); ; {
		var part []Found
		err := b.i.snapshot(ctx, func(r *reader) (err error) {
			part, err = r.rows(ctx, "d.number IN (SELECT number FROM "+r.g.prefix+"documents WHERE number > ? AND number < ? ORDER BY number LIMIT 500)", from, signed(first))
			return err
		})
		if err != nil || len(part) == 0 {
			return err
		}
		from = signed(part[0].Number) // the newest comes first
		for _, f := range part {
			if err := next(f); err != nil {
				return err
			}
		}
	}
}

// Apply makes the changes of a batch in the new generation.
func (b *Build) Apply(ctx context.Context, batch Batch) error {
	w := &writer{i: b.i, g: b.g, most: mostFresh, deltas: deltas{}, bulk: !b.words}
	if err := transact(ctx, b.g.write, func(tx *sql.Tx) error { return w.apply(ctx, tx, batch) }); err != nil {
		return fmt.Errorf("write to the new index: %w", err)
	}
	return nil
}

// Many works like Index.Many.
func (b *Build) Many(ctx context.Context, keys ...Key) ([]Found, error) {
	return b.i.many(ctx, b.snapshot, keys)
}

// Erased works like Index.Erased.
func (b *Build) Erased(ctx context.Context, source, provider, name string) ([]Key, error) {
	return b.i.erased(ctx, b.snapshot, source, provider, name)
}

func (b *Build) snapshot(ctx context.Context, do func(r *reader) error) error {
	return b.i.snapshotOf(ctx, b.g, do)
}

// Words writes the terms of all words, block by block. Batches after it also write them. next is called after each block with the numbers of
// blocks that are done and that there are.
func (b *Build) Words(ctx context.Context, next func(done, all int)) error {
	var all []int64
	rows, err := b.g.write.QueryContext(ctx, "SELECT block FROM "+b.g.prefix+"blocks ORDER BY block") //nolint:gosec // the prefix is ours
	if err == nil {
		err = eachRow(rows, func() error {
			var n int64
			err := rows.Scan(&n)
			all = append(all, n)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("read the blocks of the new index: %w", err)
	}
	for n, block := range all {
		w := &writer{i: b.i, g: b.g, deltas: deltas{}}
		err := transact(ctx, b.g.write, func(tx *sql.Tx) error {
			w.tx = tx
			rows, err := w.query(ctx, "SELECT number, words FROM "+b.g.prefix+"words WHERE number >= ? AND number < ? ORDER BY number",
				signed(numberOf(block, 0)), signed(numberOf(block+1, 0)))
			if err != nil {
				return err
			}
			err = eachRow(rows, func() error {
				var number int64
				var words string
				err := rows.Scan(&number, &words)
				wordTerms(words, func(term string) { w.deltas.add(unsigned(number), term) })
				return err
			})
			if err != nil {
				return err
			}
			return w.post(ctx)
		})
		if err != nil {
			return fmt.Errorf("write the terms of the new index: %w", err)
		}
		next(n+1, len(all))
	}
	b.words = true
	return nil
}

// Swap makes the new generation the current one, and removes the old one. Before that, while no process writes to the index, it calls catchUp with
// the position of the current generation: the new one must not be behind, because the indexer does not get earlier events again.
func (b *Build) Swap(ctx context.Context, catchUp func(ctx context.Context, position Position) error) error {
	err := b.i.dialect.locked(ctx, b.i.main, func(tx *sql.Tx) error {
		var at Position
		if b.old > 0 {
			var err error
			if at, err = b.i.Position(ctx); err != nil {
				return err
			}
		}
		if err := catchUp(ctx, at); err != nil {
			return err
		}
		if err := b.i.dialect.settle(ctx, b.g); err != nil {
			return err
		}
		crash.Point("index built")
		_, err := tx.ExecContext(ctx, b.i.dialect.bind("UPDATE "+b.i.dialect.mainPrefix()+"main SET generation = ?, version = ?"), b.g.number, schemaVersion)
		return err
	})
	if err != nil {
		return fmt.Errorf("replace the index: %w", err)
	}
	b.finished = true
	crash.Point("index swapped")
	// Only now does this process leave the old generation.
	if err := b.i.Reach(ctx); err != nil {
		return err
	}
	if _, err := b.i.Position(ctx); err != nil {
		return err
	}
	if err := b.i.dialect.drop(ctx, b.i.main, b.g.number-1); err != nil {
		return fmt.Errorf("remove the old index: %w", err)
	}
	return nil
}

// Close ends the build. Without Swap its generation is removed.
func (b *Build) Close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	err := b.i.dialect.close(b.g)
	if !b.finished {
		err = errors.Join(err, b.i.dialect.drop(ctx, b.i.main, b.g.number))
	}
	b.release()
	return err
}
