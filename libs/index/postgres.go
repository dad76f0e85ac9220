package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
)

// postgres is an index in a PostgreSQL database: a schema for the main tables, and one for each generation.
type postgres struct{ url string }

const schemaName = "signrelay_index"

// lockKey and claimKey are the numbers of advisory locks, which all users of the database share.
const (
	lockKey  = 0x5349_474e_0001
	claimKey = 0x5349_474e_0002
)

func (p *postgres) openMain(ctx context.Context) (*sql.DB, error) {
	db, err := sql.Open("pgx", p.url)
	if err != nil {
		return nil, errors.New("the address of PostgreSQL cannot be read")
	}
	db.SetMaxOpenConns(2 * readers)
	db.SetMaxIdleConns(readers)
	err = p.locked(ctx, db, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+schemaName)
		return err
	})
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

func (p *postgres) mainPrefix() string { return schemaName + "." }

func (p *postgres) schema(n int64) string { return schemaName + "_g" + strconv.FormatInt(n, 10) }

func (p *postgres) open(ctx context.Context, main *sql.DB, n int64) (*generation, error) {
	g := &generation{number: n, read: main, write: main, prefix: p.schema(n) + "."}
	_, err := main.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+p.schema(n))
	return g, err
}

func (p *postgres) close(*generation) error { return nil }

func (p *postgres) drop(ctx context.Context, main *sql.DB, n int64) error {
	_, err := main.ExecContext(ctx, "DROP SCHEMA IF EXISTS "+p.schema(n)+" CASCADE")
	return err
}

func (p *postgres) generations(ctx context.Context, main *sql.DB) (all []int64, err error) {
	rows, err := main.QueryContext(ctx, "SELECT nspname FROM pg_namespace WHERE starts_with(nspname::text, $1)", schemaName+"_g")
	if err != nil {
		return nil, err
	}
	return all, eachRow(rows, func() error {
		var name string
		err := rows.Scan(&name)
		if n, failed := strconv.ParseInt(strings.TrimPrefix(name, schemaName+"_g"), 10, 64); err == nil && failed == nil {
			all = append(all, n)
		}
		return err
	})
}

func (p *postgres) claim(ctx context.Context, main *sql.DB) (release func(), err error) {
	conn, err := main.Conn(ctx)
	if err != nil {
		return nil, err
	}
	var got bool
	if err := conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock($1)", int64(claimKey)).Scan(&got); err != nil || !got {
		_ = conn.Close()
		if err == nil {
			err = errClaimed
		}
		return nil, err
	}
	return func() {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", int64(claimKey))
		_ = conn.Close()
	}, nil
}

func (p *postgres) locked(ctx context.Context, main *sql.DB, do func(tx *sql.Tx) error) error {
	return transact(ctx, main, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockKey)); err != nil {
			return err
		}
		return do(tx)
	})
}

func (p *postgres) typeOf(k kind) string {
	return map[kind]string{integer: "BIGINT", text: `TEXT COLLATE "C"`, blob: "BYTEA"}[k]
}

func (p *postgres) tableOptions(table) string { return "" }

func (p *postgres) bind(query string) string { return numbered(query) }

func (p *postgres) isIn(column string) string { return column + " = ANY(?)" }

func (p *postgres) numbers(all []int64) any { return all }
func (p *postgres) texts(all []string) any  { return all }

// put sends all rows in one statement, as an array for each column: a statement for each row would be a round trip for each.
func (p *postgres) put(ctx context.Context, tx *sql.Tx, prefix string, t table, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	columns := make([]any, len(t.columns))
	arrays := make([]string, len(t.columns))
	for c, column := range t.columns {
		switch column.kind {
		case integer:
			columns[c], arrays[c] = columnOf[int64](rows, c), fmt.Sprintf("$%d::bigint[]", c+1)
		case text:
			columns[c], arrays[c] = columnOf[string](rows, c), fmt.Sprintf("$%d::text[]", c+1)
		case blob:
			columns[c], arrays[c] = columnOf[[]byte](rows, c), fmt.Sprintf("$%d::bytea[]", c+1)
		}
	}
	_, err := tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s%s (%s) SELECT * FROM unnest(%s)%s",
		prefix, t.name, strings.Join(t.names(0, len(t.columns)), ", "), strings.Join(arrays, ", "), t.conflict()), columns...)
	return err
}

func columnOf[T any](rows [][]any, c int) []T {
	all := make([]T, len(rows))
	for i, row := range rows {
		all[i], _ = row[c].(T)
	}
	return all
}

func (p *postgres) pairs(prefix, docs string) string {
	return "SELECT p.block, p.term, " + docs + " FROM unnest($1::bigint[]) b(block) CROSS JOIN unnest($2::text[]) t(term) JOIN " + prefix +
		"postings p ON p.block = b.block AND p.term = t.term ORDER BY p.block DESC"
}

// clean removes the dead rows from the tables. PostgreSQL's own log keeps them until its files are used again.
func (p *postgres) clean(ctx context.Context, g *generation) error {
	for _, t := range []table{documents, bodies, wordsOf, fresh, postings} {
		if _, err := g.write.ExecContext(ctx, "VACUUM "+g.prefix+t.name); err != nil {
			return err
		}
	}
	return nil
}

func (p *postgres) bytes(ctx context.Context, g *generation) (total int64, err error) {
	err = g.read.QueryRowContext(ctx, `SELECT COALESCE(SUM(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relkind = 'r'`, p.schema(g.number)).Scan(&total)
	return total, err
}

func (p *postgres) faster(context.Context, *generation) error { return nil }

func (p *postgres) isolation() sql.IsolationLevel { return sql.LevelRepeatableRead }

func (p *postgres) settle(ctx context.Context, g *generation) error {
	for _, t := range generationTables {
		if _, err := g.write.ExecContext(ctx, "ANALYZE "+g.prefix+t.name); err != nil {
			return err
		}
	}
	return nil
}
