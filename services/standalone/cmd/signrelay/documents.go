package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/console"
	indexsettings "github.com/signrelay/signrelay/services/indexer/settings"
	"github.com/signrelay/signrelay/services/standalone"
)

// Limits of a listing of documents.
const (
	usualDocuments = 50
	mostDocuments  = 10_000
)

func documentsFlags(fs *flag.FlagSet) {
	jsonFlag(fs)
	var states []string
	for _, s := range document.States {
		states = append(states, string(s))
	}
	fs.String("source", "", "only documents of this `source`")
	fs.String("provider", "", "only documents of this `provider`")
	oneOfFlag(fs, "state", states, "only documents in this `state`")
	fs.Bool("untold", false, "only documents with people who were not notified")
	fs.Bool("stuck", false, "only documents with a message that does not go on by itself")
	fs.String("since", "", "only documents that were sent in the last `age`, such as 24h or 7d")
	fs.String("until", "", "only documents that were sent at least this `age` ago, such as 24h or 7d")
	fs.Bool("private", false, "show names, addresses, numbers and titles, and find pieces of them; without it, a search finds only a whole id, address or number")
	wholeFlag(fs, "limit", usualDocuments, mostDocuments, "show at most this `number` of documents, the newest first")
}

// listDocuments lists the documents that match, as the console does. It reads the index, and no broker.
func listDocuments(ctx context.Context, c *call) error {
	form := url.Values{"q": {strings.Join(c.args, " ")}}
	for _, key := range []string{"source", "provider", "state", "since", "until"} {
		form.Set(key, c.flag(key))
	}
	for _, key := range []string{"untold", "stuck"} {
		if value[bool](c, key) {
			form.Set(key, "1")
		}
	}
	roles := []string{"look"}
	if value[bool](c, "private") {
		roles = append(roles, "private")
	}
	env := service.Env{Config: standalone.WithIndex(c.cfg), Log: quiet(), Now: time.Now}
	found, err := console.Find(ctx, env, form, value[int](c, "limit"), roles...)
	if err != nil {
		return asMistake(err, indexsettings.Section.Of(env.Config).On())
	}
	for _, d := range found.Documents {
		if err := c.showDocument(d); err != nil {
			return err
		}
	}
	switch about := map[bool]string{true: "about "}[found.About]; {
	case len(found.Documents) == 0:
		fmt.Fprintln(c.stderr, "No documents match")
	case found.Total > len(found.Documents):
		fmt.Fprintf(c.stderr, "%d of %s%s: --limit shows more\n", len(found.Documents), about, count(found.Total, "document"))
	}
	return nil
}

// asMistake returns the problem of a search in the words of a command.
func asMistake(err error, hasIndex bool) error {
	problem := new(console.Problem)
	switch {
	case !errors.As(err, &problem):
		return err
	case problem.Status == http.StatusBadRequest:
		return usageError{problem.Title + ": " + problem.Detail}
	case !hasIndex:
		return errNoIndex
	default:
		return errors.New(problem.Title + ": " + problem.Detail)
	}
}

func (c *call) showDocument(d console.DocumentRow) error {
	if c.json() {
		return printJSON(c.stdout, d)
	}
	var people []string
	for _, p := range d.People {
		people = append(people, p.Name+" ("+p.Word()+")")
	}
	line := fmt.Sprintf("%s  %-9s  %-22s  %-34s  %s  %s  %s", d.SentAt.UTC().Format(time.RFC3339), d.State, d.Source+"/"+d.Provider, d.ID, strings.Join(people, ", "), d.Title, d.Waits)
	return c.say("%s", strings.TrimRight(line, " "))
}
