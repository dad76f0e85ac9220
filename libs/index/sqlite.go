package index

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver
)

// sqlite is an index in files: the main file at the path, and a file for each generation beside it. A generation is a file of its own, because
// the end of a file removes it at once, and the end of tables of 3 GB would overwrite each of their pages.
type sqlite struct{ path string }

// The memory of a connection's page cache in KiB: one connection writes, and up to readers read.
const (
	readers      = 4
	writeCache   = 32 << 10
	readCache    = 8 << 10
	rebuildCache = 32 << 10
	pageBytes    = 8 << 10 // most postings of a common term are in one or two pages
	busy         = 10 * time.Second
)

func (s *sqlite) file(generation int64) string {
	return s.path + ".g" + strconv.FormatInt(generation, 10)
}

// connect opens a file, and creates a missing one that no other user can read; SQLite gives its log the same permissions.
func (s *sqlite) connect(ctx context.Context, path string, cache, most int, begin string, options ...string) (*sql.DB, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // the operator's path
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	values := url.Values{"_pragma": append([]string{
		fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()), fmt.Sprintf("page_size(%d)", pageBytes), "journal_mode(WAL)", "synchronous(NORMAL)",
		"secure_delete(1)", fmt.Sprintf("cache_size(-%d)", cache), "journal_size_limit(67108864)",
	}, options...), "_txlock": {begin}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: values.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most)
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

func (s *sqlite) openMain(ctx context.Context) (*sql.DB, error) {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return nil, err
	}
	return s.connect(ctx, s.path, 1<<10, readers, "immediate")
}

func (s *sqlite) mainPrefix() string { return "" }

func (s *sqlite) open(ctx context.Context, _ *sql.DB, n int64) (*generation, error) {
	write, err := s.connect(ctx, s.file(n), writeCache, 1, "immediate")
	if err != nil {
		return nil, err
	}
	read, err := s.connect(ctx, s.file(n), readCache, readers, "deferred", "query_only(1)")
	if err != nil {
		_ = write.Close()
		return nil, err
	}
	return &generation{number: n, read: read, write: write}, nil
}

func (s *sqlite) close(g *generation) error { return errors.Join(g.read.Close(), g.write.Close()) }

func (s *sqlite) drop(_ context.Context, _ *sql.DB, n int64) error {
	var errs []error
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(s.file(n) + end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s *sqlite) generations(context.Context, *sql.DB) (all []int64, err error) {
	files, err := os.ReadDir(filepath.Dir(s.path))
	for _, f := range files {
		end, is := strings.CutPrefix(f.Name(), filepath.Base(s.path)+".g")
		if n, err := strconv.ParseInt(end, 10, 64); is && err == nil {
			all = append(all, n)
		}
	}
	return all, err
}

var errClaimed = errors.New("another rebuild of the index is running")

// claim holds a lock of a file that only rebuilds use. The end of the process also releases it.
func (s *sqlite) claim(ctx context.Context, _ *sql.DB) (release func(), err error) {
	db, err := s.connect(ctx, s.path+".rebuild", 100, 1, "immediate", "busy_timeout(100)")
	if err != nil {
		return nil, err
	}
	tx, err := db.Conn(ctx)
	if err == nil {
		_, err = tx.ExecContext(ctx, "BEGIN IMMEDIATE")
	}
	if err != nil {
		_ = db.Close()
		if strings.Contains(err.Error(), "locked") || strings.Contains(err.Error(), "BUSY") {
			return nil, errClaimed
		}
		return nil, err
	}
	return func() {
		_, _ = tx.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		_ = tx.Close()
		_ = db.Close()
	}, nil
}

// locked: each transaction of main takes the lock of the main file when it begins.
func (s *sqlite) locked(ctx context.Context, main *sql.DB, do func(tx *sql.Tx) error) error {
	return transact(ctx, main, do)
}

func (s *sqlite) typeOf(k kind) string {
	return map[kind]string{integer: "INTEGER", text: "TEXT", blob: "BLOB"}[k]
}

// tableOptions: a table with a key of two columns is stored in the order of the key, and one with an integer key is anyway.
func (s *sqlite) tableOptions(t table) string {
	if t.keys > 1 {
		return " WITHOUT ROWID"
	}
	return ""
}

func (s *sqlite) bind(query string) string { return query }

func (s *sqlite) isIn(column string) string { return column + " IN (SELECT value FROM json_each(?))" }

func (s *sqlite) numbers(all []int64) any {
	data, _ := json.Marshal(all) //nolint:errchkjson // numbers and texts have a JSON form
	return string(data)
}

func (s *sqlite) texts(all []string) any {
	data, _ := json.Marshal(all) //nolint:errchkjson // numbers and texts have a JSON form
	return string(data)
}

func (s *sqlite) put(ctx context.Context, tx *sql.Tx, prefix string, t table, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(t.columns)), ", ")
	insert, err := tx.PrepareContext(ctx, fmt.Sprintf("INSERT INTO %s%s (%s) VALUES (%s)%s", prefix, t.name, strings.Join(t.names(0, len(t.columns)), ", "), marks, t.conflict()))
	if err != nil {
		return err
	}
	defer func() { _ = insert.Close() }()
	for _, row := range rows {
		if _, err := insert.ExecContext(ctx, row...); err != nil {
			return err
		}
	}
	return nil
}

// pairs: CROSS JOIN makes SQLite look up each pair.
func (s *sqlite) pairs(prefix, docs string) string {
	return "SELECT p.block, p.term, " + docs + " FROM json_each(?) b CROSS JOIN json_each(?) t CROSS JOIN " + prefix +
		"postings p ON p.block = b.value AND p.term = t.value ORDER BY p.block DESC"
}

// clean truncates the log. A reader in the middle of a query prevents that, so it is tried for a while.
func (s *sqlite) clean(ctx context.Context, g *generation) error {
	for range 20 {
		var blocked, pages, done int
		err := g.write.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&blocked, &pages, &done)
		if err == nil && blocked == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return errors.New("a reader blocks the end of SQLite's log")
}

func (s *sqlite) bytes(_ context.Context, g *generation) (total int64, err error) {
	for _, path := range []string{s.path, s.path + "-wal", s.file(g.number), s.file(g.number) + "-wal"} {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return 0, err
		default:
			total += info.Size()
		}
	}
	return total, nil
}

// faster: a generation that is being built is not synced before its end, because a crash makes it useless anyway.
func (s *sqlite) faster(ctx context.Context, g *generation) error {
	for _, pragma := range []string{"synchronous = OFF", fmt.Sprintf("cache_size = -%d", rebuildCache)} {
		if _, err := g.write.ExecContext(ctx, "PRAGMA "+pragma); err != nil {
			return err
		}
	}
	return nil
}

// settle writes everything from the log into the file, and syncs it.
func (s *sqlite) settle(ctx context.Context, g *generation) error {
	for _, pragma := range []string{"synchronous = FULL"} {
		if _, err := g.write.ExecContext(ctx, "PRAGMA "+pragma); err != nil {
			return err
		}
	}
	if err := s.clean(ctx, g); err != nil {
		return err
	}
	f, err := os.OpenFile(s.file(g.number), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// transact calls do in a transaction.
func transact(ctx context.Context, db *sql.DB, do func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, rollback(tx))
	}
	return tx.Commit()
}

func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil
}

// isolation: each transaction of SQLite sees one state.
func (s *sqlite) isolation() sql.IsolationLevel { return sql.LevelDefault }
