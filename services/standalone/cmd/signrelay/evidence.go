package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/archive"
	"github.com/signrelay/signrelay/libs/collect"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/evidence"
	"github.com/signrelay/signrelay/libs/evidence/signkey"
	archivesettings "github.com/signrelay/signrelay/services/archiver/settings"
	"github.com/signrelay/signrelay/services/standalone"
	standalonesettings "github.com/signrelay/signrelay/services/standalone/settings"
)

func evidenceFlags(fs *flag.FlagSet) {
	fs.String("out", "", "the `file` to write; it must not exist")
	fs.Bool("files", false, "put the archived files into it, and not only their hashes")
	fs.String("source", "", "the document's `source`, if several sources have a document with this id")
	fs.String("provider", "", "the document's `provider`, if several providers have a document with this id")
}

// makeEvidence writes an evidence file. It is not an event: it changes nothing, and an event would be a part of the document's next file (ADR 41).
func makeEvidence(ctx context.Context, c *call) error {
	id, err := c.argument("a document's id at its provider")
	if err != nil {
		return err
	}
	out := c.flag("out")
	if out == "" {
		return usageError{"--out is missing: want the file to write, such as --out evidence.zip"}
	}
	text := standalonesettings.Section.Of(c.cfg).Key
	if text == "" {
		return errors.New("the setting evidence.key is empty: make a key with `signrelay evidence key <file>`, and name the file in SIGNRELAY_EVIDENCE_KEY_FILE")
	}
	key, err := signkey.Parse(text)
	if err != nil {
		return fmt.Errorf("evidence.key: %w", err)
	}
	if _, err := os.Lstat(out); err == nil {
		return fmt.Errorf("%s exists: want a name that is not in use", out)
	}
	js, done, err := connectLog(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	source := evidence.Source{Key: key}
	if source.Document, err = c.documentWith(ctx, js, id); err != nil {
		return err
	}
	if value[bool](c, "files") {
		store, err := c.archive(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = store.Close() }()
		source.Open = func(ctx context.Context, key string) (io.ReadCloser, error) {
			return store.Read(ctx, archive.Object{Key: key})
		}
	}
	if source, err = collect.Evidence(ctx, js, source); err != nil {
		return err
	}
	made, err := writeEvidence(ctx, out, source)
	if err != nil {
		return err
	}
	return c.say("%s: %s of document %s, %s. Signed with the key %s", out, count(made.Chain.Events, "event"), event.Public(id),
		count(made.Files, "file"), made.Fingerprint)
}

// archive opens the archive of the settings.
func (c *call) archive(ctx context.Context) (*archive.Store, error) {
	is := archivesettings.Section.Of(standalone.WithArchive(c.cfg))
	if !is.On() {
		return nil, errors.New("--files: there is no archive: set archive.url, or leave out --files to get the hashes only")
	}
	return archive.Open(ctx, is.URL)
}

// documentWith finds the document with that id in the log. Ids of two providers, or of two accounts, may be equal.
func (c *call) documentWith(ctx context.Context, js jetstream.JetStream, id string) (evidence.Document, error) {
	source, provider := c.flag("source"), c.flag("provider")
	found, err := collect.Documents(ctx, js, id)
	if err != nil {
		return evidence.Document{}, err
	}
	found = slices.DeleteFunc(found, func(d evidence.Document) bool {
		return source != "" && source != d.Source || provider != "" && provider != d.Provider
	})
	switch len(found) {
	case 0:
		return evidence.Document{}, fmt.Errorf("the log has no events for %s", event.DocumentFilter(id))
	case 1:
		return found[0], nil
	}
	names := make([]string, len(found))
	for i, d := range found {
		names[i] = "--source " + d.Source + " --provider " + d.Provider
	}
	return evidence.Document{}, usageError{"several documents have this id; add one of: " + strings.Join(names, ", ")}
}

// writeEvidence writes the file under another name first, so that a file with the name is complete.
func writeEvidence(ctx context.Context, out string, source evidence.Source) (made evidence.Made, err error) {
	f, err := os.CreateTemp(filepath.Dir(out), ".evidence-*") // only its owner may read it
	if err != nil {
		return made, err
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}()
	if made, err = evidence.Make(ctx, f, source); err != nil {
		return made, err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return made, err
	}
	return made, os.Link(f.Name(), out) // fails if the name is in use, unlike a rename
}

// evidenceVerifyName is the command that runs without settings.
const evidenceVerifyName = "evidence verify"

func verifyEvidenceFlags(fs *flag.FlagSet) {
	jsonFlag(fs)
	fs.String("key", "", "the `key` that must have signed the file: its fingerprint, or a file with the public key as PEM")
}

// verifyEvidence verifies an evidence file. It uses no settings and no network.
func verifyEvidence(_ context.Context, c *call) error {
	path, err := c.argument("an evidence file")
	if err != nil {
		return err
	}
	trusted, err := trustedKey(c.flag("key"))
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", path)
	}
	v, err := evidence.Verify(f, info.Size(), trusted)
	if misfit := new(evidence.MisfitError); errors.As(err, &misfit) {
		return fmt.Errorf("%s is NOT valid. The first part that does not fit: %w", path, misfit)
	}
	if err != nil {
		return err
	}
	if c.json() {
		return printJSON(c.stdout, struct {
			evidence.Document

			Events      int    `json:"events"`
			Files       int    `json:"files"`
			Head        string `json:"head"`
			Fingerprint string `json:"fingerprint"`
			Trusted     bool   `json:"trusted"`
		}{v.Document, v.Chain.Events, v.Files, v.Chain.Head, v.Fingerprint, v.Trusted})
	}
	result := errors.Join(
		c.say("%s is valid: each byte is as it was when the file was signed.", path),
		c.say("  document      %s of %s/%s", v.Document.ID, v.Document.Source, v.Document.Provider),
		c.say("  content       %s, %s", count(v.Chain.Events, "event"), count(v.Files, "file")),
		c.say("  last event    %s", v.Chain.Head),
		c.say("  signed with   %s", v.Fingerprint),
	)
	if v.Trusted {
		return errors.Join(result, c.say("This is the key that you gave."))
	}
	return errors.Join(result, c.say("Anybody can sign a file with a key of their own. Compare the fingerprint with the one that the operator published, or pass it with --key."))
}

// trustedKey returns the fingerprint of the key that the user names.
func trustedKey(text string) (string, error) {
	if text == "" || signkey.IsFingerprint(text) {
		return text, nil
	}
	data, err := os.ReadFile(text)
	if errors.Is(err, fs.ErrNotExist) {
		return "", usageError{"--key: want a fingerprint (sha256: and 64 digits), or a file with a public key; there is no such file"}
	}
	if err != nil {
		return "", fmt.Errorf("--key: %w", err)
	}
	public, err := signkey.ParsePublic(string(data))
	if err != nil {
		return "", usageError{"--key: " + err.Error()}
	}
	return signkey.Fingerprint(public), nil
}

// evidenceKey makes a key, or prints the public half of the key in the settings.
func evidenceKey(_ context.Context, c *call) error {
	text := standalonesettings.Section.Of(c.cfg).Key
	if len(c.args) > 0 {
		path, err := c.argument("the file of the new key")
		if err != nil {
			return err
		}
		made, err := signkey.New()
		if err != nil {
			return err
		}
		if err := writeNew(path, made); err != nil {
			return err
		}
		fmt.Fprintf(c.stderr, "Made the private key in %s. Name the file in SIGNRELAY_EVIDENCE_KEY_FILE, keep a copy at a safe place, and publish the public key:\n", path)
		text = string(made)
	}
	if text == "" {
		return errors.New("the setting evidence.key is empty: `signrelay evidence key <file>` makes a key")
	}
	key, err := signkey.Parse(text)
	if err != nil {
		return fmt.Errorf("evidence.key: %w", err)
	}
	public := signkey.PublicOf(key)
	_, err = fmt.Fprintf(c.stdout, "%s%s\n", signkey.PEM(public), signkey.Fingerprint(public))
	return err
}

// writeNew writes a file that only its owner may read, and that does not exist yet.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
