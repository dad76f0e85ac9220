// Package address checks the address of the search index. It does not import the databases' drivers, which would make each program that reads
// the settings 10 MB larger.
package address

import (
	"errors"
	"net/url"
)

// Kind is a kind of database.
type Kind int

// The kinds of databases.
const (
	SQLite Kind = iota + 1
	Postgres
)

// Check returns the kind of database at an address. Its error does not contain the address, which may have a password.
func Check(address string) (Kind, error) {
	u, err := url.Parse(address)
	if err != nil {
		return 0, errors.New("want a URL, such as sqlite:///var/lib/signrelay/index.db or postgres://signrelay@db/signrelay")
	}
	switch u.Scheme {
	case "sqlite":
		switch {
		case u.Host != "" || len(u.Path) < 2 || u.Path[len(u.Path)-1] == '/':
			return 0, errors.New("want three slashes and the path of a file, such as sqlite:///var/lib/signrelay/index.db")
		case u.RawQuery != "" || u.Fragment != "":
			return 0, errors.New("leave out the ? and the rest: a file has no options")
		}
		return SQLite, nil
	case "postgres", "postgresql":
		if u.Host == "" && !u.Query().Has("host") {
			return 0, errors.New("want the server after postgres://, such as postgres://signrelay@db/signrelay")
		}
		return Postgres, nil
	default:
		return 0, errors.New("want sqlite:///path/to/file or postgres://user@host/database")
	}
}
