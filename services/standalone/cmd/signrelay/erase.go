package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/archive"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/service"
	archivesettings "github.com/signrelay/signrelay/services/archiver/settings"
	"github.com/signrelay/signrelay/services/standalone"
)

func eraseFlags(fs *flag.FlagSet) {
	fs.String("person", "", "erase a person instead of documents: an e-mail `address`, or a number with its country code")
	fs.String("file", "", "erase the documents whose ids are in this `file`, one a line")
	fs.String("source", "", "only documents of this `source`; without it, of all sources")
	fs.Bool("opt-outs", false, "with --person: also remove the person's opt-out, so that messages may be sent to the person again")
	fs.Bool("shared-files", false, "with --person: also delete the archived files of the person's documents that have other people")
	fs.Bool("no-overwrite", false, "do not overwrite messages, which takes a write of 8 MiB each: nothing reads them any more, and their bytes stay in the server's files until it removes these")
	fs.String("store", "", "after the removal, search all files in this `folder` of the NATS server for what was erased")
	fs.Bool("copy", false, "with a team's credentials: remove from the team's copy of the log what the log's events "+event.DocumentErased+" name")
	orderFlags(fs)
	fs.Bool("yes", false, "do not ask for confirmation")
}

// orderFlags are who orders something, and why. Both are kept in the log.
func orderFlags(fs *flag.FlagSet) {
	fs.String("reason", "", "why, such as the `number` of a request; no names and addresses, because it is kept")
	fs.String("by", "", "who orders it; without it, the `name` of the user of this machine")
}

// order reads the flags of orderFlags. It refuses what looks personal, because the record stays after the data is gone.
func (c *call) order(targets ...string) (erase.Order, error) {
	o := erase.Order{By: c.by(), Reason: c.flag("reason")}
	if o.Reason == "" {
		return o, usageError{"--reason is required: it is kept as the record of the decision"}
	}
	for name, text := range map[string]string{"reason": o.Reason, "by": o.By} {
		if strings.Contains(text, "@") || slices.ContainsFunc(targets, func(t string) bool { return t != "" && strings.Contains(text, t) }) {
			return o, usageError{"--" + name + " names the person or the document: use the number of a request, because it is kept"}
		}
	}
	return o, nil
}

// eraseCommand removes documents or a person from all places.
func eraseCommand(ctx context.Context, c *call) error {
	if value[bool](c, "copy") {
		return eraseCopy(ctx, c)
	}
	target, err := c.target()
	if err != nil {
		return err
	}
	order, err := c.order(append(slices.Clone(target.IDs), c.flag("person"))...)
	if err != nil {
		return err
	}
	env, done, err := open(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	e, closeRedis, err := c.eraser(env)
	if err != nil {
		return err
	}
	defer closeRedis()
	found, err := e.Find(ctx, target)
	if err != nil {
		return err
	}
	if found.Empty() {
		fmt.Fprintln(c.stderr, "Nothing was found")
		return nil
	}
	held, err := e.Held(ctx, found)
	if err != nil {
		return err
	}
	if len(held) > 0 {
		return fmt.Errorf("nothing was changed: %w", &erase.HeldError{Documents: held})
	}
	c.announceErasure(target, found)
	if err := c.confirm(ctx); err != nil {
		return err
	}
	removed, err := e.Run(ctx, target, found, order, time.Now())
	if err != nil {
		return fmt.Errorf("%w; run the command again for the rest", err)
	}
	fmt.Fprintf(c.stdout, "Removed: %s.\n", count(removed, "message"))
	return c.prove(ctx, target)
}

// target reads the documents or the person.
func (c *call) target() (t erase.Target, err error) {
	t = erase.Target{IDs: slices.Clone(c.args), Source: c.flag("source"), OptOuts: value[bool](c, "opt-outs"), SharedFiles: value[bool](c, "shared-files")}
	if path := c.flag("file"); path != "" {
		ids, err := lines(path)
		if err != nil {
			return t, err
		}
		t.IDs = append(t.IDs, ids...)
	}
	who := c.flag("person")
	switch {
	case who == "" && len(t.IDs) == 0:
		return t, usageError{"want documents, --file or --person"}
	case who != "" && len(t.IDs) > 0:
		return t, usageError{"want either documents or --person"}
	case who == "" && t.OptOuts:
		return t, usageError{"--opt-outs is for --person"}
	case who == "" && t.SharedFiles:
		return t, usageError{"--shared-files is for --person: the files of a document always go with it"}
	case who == "":
		return t, nil
	}
	if t.Person, err = erase.ParsePerson(who); err != nil {
		return t, usageError{"--person: " + err.Error()}
	}
	return t, nil
}

func lines(path string) (all []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewScanner(f)
	for in.Scan() {
		if line := strings.TrimSpace(in.Text()); line != "" {
			all = append(all, line)
		}
	}
	return all, in.Err()
}

// eraser returns an Eraser for an installation, and a function that closes its connection to Redis.
func (c *call) eraser(env service.Env) (*erase.Eraser, func(), error) {
	ring := keyring.New(env.Config.MasterKeys())
	e := &erase.Eraser{JS: env.JS, Ring: ring, Known: erase.KnownWithin, NoOverwrite: value[bool](c, "no-overwrite"), Log: env.Log, Progress: c.progress()}
	done := func() {}
	if a := archivesettings.Section.Of(standalone.WithArchive(c.cfg)); a.On() {
		store, err := archive.Open(context.Background(), a.URL)
		if err != nil {
			return nil, nil, err
		}
		e.Archive, done = store, func() { _ = store.Close() }
	}
	for _, s := range c.cfg.Sources {
		e.Sources = append(e.Sources, erase.Source{Name: s.Name, Provider: s.Provider})
	}
	if env.Config.Redis.URL == "" {
		return e, done, nil
	}
	client, err := service.ConnectRedis(env.Config.Redis)
	if err != nil {
		done()
		return nil, nil, err
	}
	e.Claims = func(ctx context.Context, namespace string, ids ...string) error {
		return dedupe.NewRedis(client, dedupe.Options{Namespace: namespace, Ring: ring}).Forget(ctx, ids...)
	}
	return e, func() {
		_ = client.Close()
		done()
	}, nil
}

// progress prints a line every few seconds.
func (c *call) progress() func(place string, done, all int) {
	begun := map[string]time.Time{}
	var printed time.Time
	lock := make(chan struct{}, 1)
	return func(place string, done, all int) {
		lock <- struct{}{}
		defer func() { <-lock }()
		now := time.Now()
		if _, known := begun[place]; !known || done == 1 { // a place may be searched twice
			begun[place] = now
		}
		if now.Sub(printed) < progressInterval || done == 0 {
			return
		}
		printed = now
		left := time.Duration(float64(now.Sub(begun[place])) / float64(done) * float64(all-done)).Round(time.Second)
		fmt.Fprintf(c.stdout, "%s: %d of %d, about %s left\n", place, done, all, left)
	}
}

// announceErasure says what is removed and what is not.
func (c *call) announceErasure(t erase.Target, f *erase.Found) {
	what := count(len(f.Documents), "document")
	if t.Person != nil {
		what = "a person, from " + what
	}
	fmt.Fprintf(c.stdout, "To erase: %s.\n", what)
	for _, p := range f.Places() {
		fmt.Fprintf(c.stdout, "  %-12s %6d  %s\n", p.Name, p.Count, p.Rule)
	}
	if t.Person != nil {
		fmt.Fprintln(c.stdout, "This cannot be undone. An event that names several people is removed as a whole. The documents stay, without these events; a later callback may name the person again. "+
			"Files of documents that the log has no more are not found: erase these documents by their ids.")
		c.announceFiles(f)
	} else {
		fmt.Fprintln(c.stdout, operate.Erase.Consequence())
	}
	c.announceTime(f)
	fmt.Fprintln(c.stdout, "Not removed, or only in part:")
	for _, p := range erase.Stays() {
		fmt.Fprintf(c.stdout, "  %-14s %s\n", p.Name, p.Rule)
	}
}

// mostShared is the number of documents with shared files that the plan names.
const mostShared = 50

// announceFiles names the documents of a person whose files are deleted, and those whose files stay because they are also about other people.
func (c *call) announceFiles(f *erase.Found) {
	deleted := map[string]int{} // the beginning of a key names the document
	for _, key := range f.Archived {
		deleted[key[:strings.LastIndexByte(key, '/')]]++
	}
	for i, of := range slices.Sorted(maps.Keys(deleted)) {
		if i == mostShared {
			fmt.Fprintf(c.stdout, "  and those of %s\n", count(len(deleted)-i, "more document"))
			break
		}
		fmt.Fprintf(c.stdout, "  archive: deleted: %s of %s\n", count(deleted[of], "file"), of)
	}
	for i, s := range f.Shared {
		if i == mostShared {
			fmt.Fprintf(c.stdout, "  and those of %s\n", count(len(f.Shared)-i, "more document"))
			break
		}
		others := count(s.Others, "other person")
		if s.Others != 1 {
			others = strconv.Itoa(s.Others) + " other people"
		}
		if s.Others == erase.UnknownOthers {
			others = "the log does not have all people of the document"
		}
		fmt.Fprintf(c.stdout, "  archive: stays: %s of %s/%s/%s, %s\n", count(s.Files, "file"), s.Source, s.Provider, s.Token, others)
	}
	if len(f.Shared) > 0 {
		fmt.Fprintln(c.stdout, "A file cannot be changed. --shared-files deletes the files that stay, for all people of these documents. Decide now: afterwards nothing connects the person with them.")
	}
}

// announceTime says what an erasure with many overwrites takes. Whether the server encrypts its files, so that it does not overwrite, is not in any
// of its responses to a client.
func (c *call) announceTime(f *erase.Found) {
	n, took := f.Overwrites()
	switch {
	case value[bool](c, "no-overwrite"):
		fmt.Fprintln(c.stdout, "Messages are not overwritten: their bytes stay in the server's files until it rewrites a file, of which more than half was removed, or deletes it, when its newest message expires.")
	case took > overwritesLong:
		fmt.Fprintf(c.stdout, "%s are overwritten one by one: about %s on a server that does not encrypt its files. --no-overwrite takes a fraction of it.\n",
			count(n, "message"), took.Round(time.Minute))
	}
}

// overwritesLong is the time from which the plan of an erasure names it.
const overwritesLong = 5 * time.Minute

const (
	// proveWithin is longer than the two minutes after which the NATS server writes its index of subjects again.
	proveWithin = 5 * time.Minute
	proveEvery  = 10 * time.Second
)

// prove searches the server's files, if they can be read here.
func (c *call) prove(ctx context.Context, t erase.Target) error {
	folder := c.flag("store")
	if folder == "" && c.cfg.NATS.URL == "" {
		folder = filepath.Join(c.cfg.DataDir, "nats") // of `signrelay run`
	}
	if folder == "" {
		fmt.Fprintln(c.stdout, "The server's files were not searched: pass its folder with --store on each of its machines. It writes its index within two minutes.")
		return nil
	}
	within := proveWithin
	if value[bool](c, "no-overwrite") {
		within = 0 // bytes stay, and to wait changes nothing
	}
	fmt.Fprintf(c.stdout, "Searching the server's files for what was erased, for at most %s …\n", max(within, time.Second))
	left, err := erase.AwaitFiles(ctx, within, proveEvery, folder, t.Texts()...)
	if err != nil {
		return err
	}
	for _, l := range left {
		fmt.Fprintf(c.stdout, "  left in %s\n", l.Path)
	}
	if len(left) > 0 && value[bool](c, "no-overwrite") {
		fmt.Fprintf(c.stdout, "%d files of the server still have bytes of it, because messages were not overwritten.\n", len(left))
		return nil
	}
	if len(left) > 0 {
		return fmt.Errorf("%d files of the server still have bytes of it: of messages that expired or were replaced. They disappear when the server rewrites the file, "+
			"at the latest when its newest message expires; to see it happen, run the command again with --store", len(left))
	}
	fmt.Fprintln(c.stdout, "No file of the NATS server has one of the ids or addresses. Redis was not searched: it has hashes only. Neither were archived files: a search of bytes finds no text in a PDF.")
	return nil
}

// eraseCopy removes from a team's copy what was erased from the log.
func eraseCopy(ctx context.Context, c *call) error {
	if len(c.args) > 0 {
		return usageError{"--copy takes no documents: the events " + event.DocumentErased + " name what is removed"}
	}
	js, done, err := connectLog(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	e := &erase.Eraser{JS: js, NoOverwrite: value[bool](c, "no-overwrite"), Progress: c.progress()}
	found, err := erase.InCopy(ctx, e)
	if err != nil {
		return err
	}
	if found.Len() == 0 {
		fmt.Fprintln(c.stderr, "The copy has nothing that was erased from the log")
		return nil
	}
	fmt.Fprintf(c.stdout, "To remove from this copy of the log: %s that were erased from the log. This cannot be undone.\n", count(found.Len(), "event"))
	if err := c.confirm(ctx); err != nil {
		return err
	}
	if err := erase.RunCopy(ctx, e, found); err != nil {
		return fmt.Errorf("%w; run the command again for the rest", err)
	}
	fmt.Fprintf(c.stdout, "Removed: %s.\n", count(found.Len(), "event"))
	return nil
}

func holdFlags(fs *flag.FlagSet) {
	fs.String("source", "", "only the document of this `source`; without it, of all sources")
	orderFlags(fs)
	fs.Bool("yes", false, "do not ask for confirmation")
}

// holdAdd puts a document under a legal hold.
func holdAdd(ctx context.Context, c *call) error {
	id, err := c.argument("a document's id at its provider")
	if err != nil {
		return err
	}
	order, err := c.order()
	if err != nil {
		return err
	}
	js, done, err := connect(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	documents, err := erase.DocumentsOf(ctx, js, id, c.flag("source"))
	if err != nil {
		return err
	}
	if len(documents) == 0 {
		return errors.New("the log has no events of this document: check the id with `signrelay timeline`")
	}
	fmt.Fprintf(c.stdout, "To hold: %s. %s\n", count(len(documents), "document"), operate.HoldDocument.Consequence())
	fmt.Fprintln(c.stdout, "Messages on their way, receipts and links still expire.")
	if err := c.confirm(ctx); err != nil {
		return err
	}
	for _, d := range documents {
		copies, err := erase.Hold(ctx, js, d, order, time.Now())
		if err != nil {
			return err
		}
		if err := c.say("%s/%s %s is held: %s copied", d.Source, d.Provider, d.Token, count(copies, "event")); err != nil {
			return err
		}
	}
	return nil
}

// holdRemove ends the legal hold of a document.
func holdRemove(ctx context.Context, c *call) error {
	id, err := c.argument("a document's id at its provider")
	if err != nil {
		return err
	}
	order, err := c.order()
	if err != nil {
		return err
	}
	js, done, err := connect(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	all, err := erase.Holds(ctx, js)
	if err != nil {
		return err
	}
	var held []erase.Held
	for d, h := range all {
		if source := c.flag("source"); d.Token == event.DocumentToken(id) && (source == "" || source == d.Source) {
			held = append(held, h)
		}
	}
	if len(held) == 0 {
		fmt.Fprintln(c.stderr, "The document is not held")
		return nil
	}
	fmt.Fprintf(c.stdout, "To release: %s. %s\n", count(len(held), "document"), operate.ReleaseDocument.Consequence())
	if err := c.confirm(ctx); err != nil {
		return err
	}
	for _, h := range held {
		if err := erase.Release(ctx, js, h, order, time.Now()); err != nil {
			return err
		}
		if err := c.say("%s/%s %s is released", h.Source, h.Provider, h.Token); err != nil {
			return err
		}
	}
	return nil
}

// heldDocument is a held document in a listing.
type heldDocument struct {
	Source   string    `json:"source"`
	Provider string    `json:"provider"`
	Document string    `json:"document"`
	Since    time.Time `json:"since"`
	By       string    `json:"by"`
	Reason   string    `json:"reason"`
}

// holdList lists the documents under a legal hold, the oldest hold first.
func holdList(ctx context.Context, c *call) error {
	js, done, err := connect(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	held, err := erase.Holds(ctx, js)
	if err != nil {
		return err
	}
	var all []heldDocument
	for d, h := range held {
		all = append(all, heldDocument{d.Source, d.Provider, d.Token, h.Since, h.By, h.Reason})
	}
	slices.SortFunc(all, func(a, b heldDocument) int { return a.Since.Compare(b.Since) })
	for _, h := range all {
		if c.json() {
			if err := printJSON(c.stdout, h); err != nil {
				return err
			}
			continue
		}
		if err := c.say("%s  %-22s  %-34s  by %s: %s", h.Since.Format(time.RFC3339), h.Source+"/"+h.Provider, h.Document, h.By, h.Reason); err != nil {
			return err
		}
	}
	if len(all) == 0 {
		fmt.Fprintln(c.stderr, "No documents are held")
	}
	return nil
}
