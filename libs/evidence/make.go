package evidence

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/evidence/signkey"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Source is what an evidence file is made of.
type Source struct {
	Document Document
	// Events yields the document's events in the order of the log, each once.
	Events iter.Seq2[event.Stored, error]
	// LogSince is the time of the oldest message that the log still holds; zero if the log is complete from its first message on.
	LogSince time.Time
	// Unprocessed yields the document's dead letters and quarantined callbacks.
	Unprocessed iter.Seq2[Unprocessed, error]
	// Open opens an archived file by its key in the archive. If it is nil, the evidence file has only the hashes of these files.
	Open func(ctx context.Context, key string) (io.ReadCloser, error)
	Key  ed25519.PrivateKey
}

// Unprocessed is a dead letter or a quarantined callback that names the document.
type Unprocessed struct {
	Kind    string // "dead-letter" or "quarantined"
	At      time.Time
	Summary string // one line: the stage or the source, and the reason
	Data    []byte // the content of its member: JSON
}

// Made describes an evidence file that was made.
type Made struct {
	Chain       Chain
	Files       int // listed in the manifest
	Fingerprint string
}

// ErrNoEvents means that there is nothing to make a file of.
var ErrNoEvents = errors.New("the log has no events of this document")

// builder makes one evidence file.
type builder struct {
	source Source
	zip    *archive
	chain  Chain
	report *report
}

// Make writes an evidence file. The same source always gives the same bytes. Memory does not depend on the number of events or on the sizes of
// the files, except for about 200 bytes for each member.
func Make(ctx context.Context, to Output, s Source) (Made, error) {
	b := builder{source: s, zip: newArchive(to), chain: Chain{Head: noPrevious}, report: newReport(s)}
	for stored, err := range s.Events {
		if err != nil {
			return Made{}, err
		}
		m, err := b.addEvent(stored)
		if err != nil {
			return Made{}, err
		}
		b.report.add(stored, m, b.chain.Events)
		if err := b.addCallback(stored.Event.GetCallback()); err != nil {
			return Made{}, err
		}
	}
	if b.chain.Events == 0 {
		return Made{}, ErrNoEvents
	}
	for _, step := range []func(context.Context) error{b.addUnprocessed, b.addFiles, b.addPages} {
		if err := step(ctx); err != nil {
			return Made{}, err
		}
	}
	return b.finish()
}

// addCallback writes a callback as an HTTP message: its request line, the headers that the log has, and its body byte for byte. The first event of
// a callback carries it. If that is an event of another document, because the provider sends batches, the callback is only named: its body is
// about other people, too.
func (b *builder) addCallback(c *signingv1.Callback) error {
	if c == nil {
		return nil
	}
	n := b.chain.Events
	if !event.Carries(c) {
		b.report.callback(c, n, nil)
		return nil
	}
	var text bytes.Buffer
	target := c.GetPath()
	if c.GetQuery() != "" {
		target += "?" + c.GetQuery()
	}
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\n", c.GetMethod(), target)
	for _, h := range c.GetHeaders() {
		fmt.Fprintf(&text, "%s: %s\r\n", h.GetName(), h.GetValue())
	}
	text.WriteString("\r\n")
	text.Write(c.GetBody())
	m, err := b.zip.add(fmt.Sprintf("callbacks/%06d.http", n), text.Bytes())
	if err != nil {
		return fmt.Errorf("the callback of event %d: %w", n, err)
	}
	b.report.callback(c, n, &m)
	return nil
}

func (b *builder) addUnprocessed(context.Context) error {
	if b.source.Unprocessed == nil {
		return nil
	}
	n := 0
	for u, err := range b.source.Unprocessed {
		if err != nil {
			return err
		}
		n++
		m, err := b.zip.add(fmt.Sprintf("unprocessed/%06d-%s.json", n, u.Kind), u.Data)
		if err != nil {
			return err
		}
		b.report.unprocessed(u, m)
	}
	return nil
}

// addFiles copies the archived files that the pages list, each once, and compares them with the hashes in the log.
func (b *builder) addFiles(ctx context.Context) error {
	if b.source.Open == nil {
		return nil
	}
	copied := map[string]string{} // members by key
	all, _ := b.report.files.all()
	for _, f := range all {
		if f.Member = copied[f.Key]; f.Member != "" {
			continue
		}
		var err error
		if f.Member, err = b.addFile(ctx, f); err != nil {
			return fmt.Errorf("the archived file of event %d: %w", f.N, err)
		}
		copied[f.Key] = f.Member
	}
	return nil
}

func (b *builder) addFile(ctx context.Context, f *file) (name string, err error) {
	in, err := b.source.Open(ctx, f.Key)
	if err != nil {
		return "", err
	}
	defer func() { _ = in.Close() }()
	m, err := b.zip.stream(fmt.Sprintf("files/%06d.pdf", f.N), in)
	if err != nil {
		return "", err
	}
	if hexSum(m) != f.SHA256 || m.size != f.Size {
		return "", fmt.Errorf("the archive has other content under its key: SHA-256 %s, and the log has %s", hexSum(m), f.SHA256)
	}
	return m.name, nil
}

// addPages adds the two readable pages and the public key.
func (b *builder) addPages(context.Context) error {
	public := signkey.PublicOf(b.source.Key)
	page := b.report.page(b.chain, signkey.Fingerprint(public)).printed()
	html, err := page.html()
	if err != nil {
		return fmt.Errorf("make evidence.html: %w", err)
	}
	pdf, err := page.pdf()
	if err != nil {
		return fmt.Errorf("make evidence.pdf: %w", err)
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{"evidence.html", html}, {"evidence.pdf", pdf}, {publicName, signkey.PEM(public)}} {
		if _, err := b.zip.add(f.name, f.data); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

// finish signs the manifest, and writes the end of the archive.
func (b *builder) finish() (Made, error) {
	public := signkey.PublicOf(b.source.Key)
	made := Made{Chain: b.chain, Files: len(b.zip.members), Fingerprint: signkey.Fingerprint(public)}
	list, err := manifest(head{
		Format: format, Version: version, Document: b.source.Document, Chain: b.chain,
		Signer: signer{Algorithm: algorithm, PublicKey: public, Fingerprint: made.Fingerprint},
	}, b.zip.members)
	if err != nil {
		return Made{}, err
	}
	if _, err := b.zip.add(manifestName, list); err != nil {
		return Made{}, err
	}
	if _, err := b.zip.add(signatureName, sign(b.source.Key, list)); err != nil {
		return Made{}, err
	}
	return made, b.zip.close()
}

func hexSum(m member) string { return hex.EncodeToString(m.sum[:]) }
