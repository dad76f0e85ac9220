package index

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// storedView is the column query of a view.
type storedView struct {
	Query
	Within    string `json:"within,omitempty"`
	OlderThan string `json:"older_than,omitempty"`
}

// Views returns the saved views of a reader, by name.
func (i *Index) Views(ctx context.Context, owner string) (all []View, err error) {
	rows, err := i.main.QueryContext(ctx, i.dialect.bind("SELECT name, query FROM "+i.dialect.mainPrefix()+"views WHERE owner = ? ORDER BY name"), owner)
	if err != nil {
		return nil, fmt.Errorf("read the saved views: %w", err)
	}
	return all, eachRow(rows, func() error {
		v := View{Owner: owner}
		var query string
		if err := rows.Scan(&v.Name, &query); err != nil {
			return err
		}
		var stored storedView
		if err := json.Unmarshal([]byte(query), &stored); err != nil {
			return fmt.Errorf("read a saved view: %w", err)
		}
		v.Query, v.Since, v.Until = stored.Query, stored.Within, stored.OlderThan
		all = append(all, v)
		return nil
	})
}

// SaveView saves a view, and replaces the reader's view of that name. The view has no page.
func (i *Index) SaveView(ctx context.Context, v View) error {
	if v.Name == "" || len(v.Name) > 100 || v.Owner == "" {
		return errors.New("a saved view needs a name of at most 100 bytes")
	}
	v.Query.After, v.Query.Before, v.Query.Limit = 0, 0, 0
	v.Query.Since, v.Query.Until = time.Time{}, time.Time{}
	query, err := json.Marshal(storedView{v.Query, v.Since, v.Until})
	if err != nil {
		return fmt.Errorf("save a view: %w", err)
	}
	t := viewsTable
	_, err = i.main.ExecContext(ctx, i.dialect.bind("INSERT INTO "+i.dialect.mainPrefix()+"views (owner, name, query) VALUES (?, ?, ?)"+t.conflict()),
		v.Owner, v.Name, string(query))
	if err != nil {
		return fmt.Errorf("save a view: %w", err)
	}
	return nil
}

// RemoveView removes a reader's view. A view that does not exist is no error.
func (i *Index) RemoveView(ctx context.Context, owner, name string) error {
	_, err := i.main.ExecContext(ctx, i.dialect.bind("DELETE FROM "+i.dialect.mainPrefix()+"views WHERE owner = ? AND name = ?"), owner, name)
	if err != nil {
		return fmt.Errorf("remove a saved view: %w", err)
	}
	return nil
}
