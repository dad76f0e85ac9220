package evidence_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/evidence"
	"github.com/signrelay/signrelay/libs/evidence/signkey"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// testKey is a fixed key, so that the files of a test are the same in each run.
func testKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

var document = evidence.Document{Source: "acme", Provider: "clickwrap", ID: "596f858584281715b3493d0c"}

func at(minute int) time.Time { return time.Date(2026, 3, 1, 9, minute, 0, 0, time.UTC) }

// stored returns an event as the log has it.
func stored(n int, e *signingv1.SigningEvent) event.Stored {
	e.Id = fmt.Sprintf("%026d", n)
	e.Source, e.Provider = document.Source, document.Provider
	e.Document = &signingv1.Document{Id: document.ID, Title: "Employment Agreement"}
	if e.OccurredAt == nil {
		e.OccurredAt = timestamppb.New(at(n))
	}
	return event.Stored{RawStreamMsg: &jetstream.RawStreamMsg{Subject: event.Subject(e), Sequence: uint64(100 + n), Time: at(n).Add(time.Second)}, Event: e}
}

// body is the body of a callback: not all of its bytes are text.
const body = "{\"event\":\"request_sent\"}\r\n\x00\xff"

// life is the life of a small document.
func life() []event.Stored {
	eric := &signingv1.Recipient{Id: "r1", FirstName: "Eric", LastName: "Smith", Email: "eric@example.com", Mobile: "+13175551234"}
	hmac, internal := signingv1.Verification_VERIFICATION_HMAC, signingv1.Verification_VERIFICATION_INTERNAL
	sms := func(reason string) *signingv1.Notice {
		return &signingv1.Notice{NotificationId: "n1", Kind: "invitation", Channel: "sms", Reason: reason, Reference: "ref-1", Parts: 1}
	}
	sent := sms("")
	sent.Text, sent.Template, sent.Price = "Please review & sign: https://sign.acme.example/l/…", "invitation.sms@0123456789abcdef", "0.0333 EUR"
	callback := &signingv1.Callback{
		Id: "c1", Key: "webhook.secrets[0]", KeyFingerprint: "sha256:0011223344556677", Method: "POST", Path: "/webhooks/clickwrap/acme",
		Headers: []*signingv1.Header{{Name: "Content-Type", Value: "application/json"}, {Name: "X-Signature", Value: "c2ln"}}, Body: []byte(body),
	}
	events := []*signingv1.SigningEvent{
		{Type: event.DocumentSent, ProviderType: "request_sent", Verification: hmac, Recipient: eric, Attributes: map[string]string{"b": "2", "a": "1"}, Callback: callback},
		{Type: event.NotificationSent, Verification: internal, Recipient: &signingv1.Recipient{Id: "r1"}, Notice: sent},
		{Type: event.NotificationDelivered, Verification: internal, Recipient: &signingv1.Recipient{Id: "r1"}, Notice: sms("")},
		{Type: event.LinkFetched, Verification: internal, Recipient: &signingv1.Recipient{Id: "r1"}, Attributes: map[string]string{"client": "preview"}},
		{Type: event.LinkOpened, Verification: internal, Recipient: &signingv1.Recipient{Id: "r1"}, Attributes: map[string]string{"certainty": "clicked"}},
		{Type: event.RecipientSigned, Verification: hmac, Recipient: eric, Callback: &signingv1.Callback{Id: "c1"}},
		{Type: event.DocumentCompleted, Verification: hmac, Callback: &signingv1.Callback{Id: "c2", Item: proto.Uint32(3)}},
	}
	all := make([]event.Stored, len(events))
	for i, e := range events {
		all[i] = stored(i+1, e)
	}
	return all
}

func sequence[T any](all []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, one := range all {
			if !yield(one, nil) {
				return
			}
		}
	}
}

func source(events []event.Stored) evidence.Source {
	return evidence.Source{Document: document, Events: sequence(events), Key: testKey(1)}
}

// file writes an evidence file and returns its bytes.
func file(t testing.TB, s evidence.Source) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "evidence.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := evidence.Make(t.Context(), f, s); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func verify(data []byte, trusted string) (evidence.Verified, error) {
	return evidence.Verify(bytes.NewReader(data), int64(len(data)), trusted)
}

func fingerprint(seed byte) string { return signkey.Fingerprint(signkey.PublicOf(testKey(seed))) }

// members reads the file with another program's eyes: the standard library's reader of ZIP archives.
func members(t testing.TB, data []byte) (names []string, content map[string][]byte) {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	content = map[string][]byte{}
	for _, f := range r.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if content[f.Name], err = io.ReadAll(in); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		names = append(names, f.Name)
	}
	return names, content
}

func TestAFileHasTheDocumentAndIsValid(t *testing.T) {
	t.Parallel()
	data := file(t, source(life()))
	got, err := verify(data, fingerprint(1))
	if err != nil {
		t.Fatal(err)
	}
	if got.Document != document || got.Chain.Events != 7 || got.Fingerprint != fingerprint(1) || !got.Trusted {
		t.Errorf("%+v", got)
	}
	names, content := members(t, data)
	if len(names) != got.Files+2 || names[0] != "events/000001.json" || names[len(names)-1] != "manifest.sig" {
		t.Errorf("members %v", names)
	}
	var first struct {
		Previous, Stored string
		Sequence         uint64
		Event            struct{ ID, Type string }
	}
	if err := json.Unmarshal(content["events/000001.json"], &first); err != nil || first.Previous != strings.Repeat("0", 64) || first.Sequence != 101 ||
		first.Event.Type != event.DocumentSent || first.Stored != "2026-03-01T09:01:01Z" {
		t.Errorf("%v: %+v", err, first)
	}
	if want := "POST /webhooks/clickwrap/acme HTTP/1.1\r\nContent-Type: application/json\r\nX-Signature: c2ln\r\n\r\n" + body; string(content["callbacks/000001.http"]) != want {
		t.Errorf("the callback: %q", content["callbacks/000001.http"])
	}
	page := html.UnescapeString(string(content["evidence.html"]))
	for _, want := range []string{
		"Employment Agreement", "Eric Smith", "eric@example.com", "HMAC signature", "2026-03-01 09:06:00 UTC", "The person has signed", "signed, 2026-03-01",
		"a person: the button of the page was pressed", "a program: preview", "invitation by text message to Eric Smith", got.Fingerprint, got.Chain.Head,
		"Please review & sign: https://sign.acme.example/l/…", "invitation.sms@0123456789abcdef", "0.0333 EUR", "webhook.secrets[0]\nsha256:0011223344556677",
		">c2</td>", "not here: an event of another document carries it", "A delivery receipt reports that the message has arrived", "Everybody has signed. Time: 2026-03-01 09:07:00 UTC",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(page, "<script") || !bytes.HasPrefix(content["evidence.pdf"], []byte("%PDF-")) {
		t.Error("the page has a script, or the PDF is none")
	}
	if key, err := signkey.ParsePublic(string(content["public-key.pem"])); err != nil || signkey.Fingerprint(key) != got.Fingerprint {
		t.Errorf("the public key: %v", err)
	}
}

func TestTheSameLogGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	if a, b := file(t, source(life())), file(t, source(life())); !bytes.Equal(a, b) {
		t.Errorf("two files of one document differ: %d and %d bytes", len(a), len(b))
	}
}

// Two files of one document begin with the same events, so that the later one contains the earlier one's last hash.
func TestALaterFileContinuesTheChain(t *testing.T) {
	t.Parallel()
	earlier, err := verify(file(t, source(life()[:5])), "")
	if err != nil || earlier.Trusted {
		t.Fatal(err, earlier)
	}
	_, content := members(t, file(t, source(life())))
	if sixth := string(content["events/000006.json"]); !strings.Contains(sixth, `"previous": "`+earlier.Chain.Head+`"`) {
		t.Errorf("the sixth event has another hash of the fifth: %s", sixth)
	}
}

// small is a valid file of some kilobytes: its pages are one line each.
func small(t *testing.T) []byte {
	t.Helper()
	return resign(t, file(t, source(life()[:1])), 1, func(manifest []byte, all []entry) ([]byte, []entry) {
		for i := range all {
			if strings.HasPrefix(all[i].name, "evidence.") {
				manifest = listAgain(manifest, all, i, []byte("a page\n"))
			}
		}
		return manifest, all
	})
}

// requireEachByte changes each step-th byte in two ways, one bit and all bits, and requires that the change is found.
func requireEachByte(t *testing.T, data []byte, step int) {
	t.Helper()
	if _, err := verify(data, fingerprint(1)); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(data); i += step {
		for _, flip := range []byte{1, 0xff} {
			data[i] ^= flip
			if _, err := verify(data, ""); !errors.As(err, new(*evidence.MisfitError)) {
				t.Fatalf("byte %d of %d, changed by %#x: %v", i, len(data), flip, err)
			}
			data[i] ^= flip
		}
	}
}

func TestEachChangedByteIsFound(t *testing.T) {
	t.Parallel()
	requireEachByte(t, small(t), 1)
	requireEachByte(t, file(t, source(life())), 199) // a file with its pages
}

func TestATruncatedOrExtendedFileIsFound(t *testing.T) {
	t.Parallel()
	small := small(t)
	for n := range small {
		if _, err := verify(small[:n], ""); !errors.As(err, new(*evidence.MisfitError)) {
			t.Fatalf("%d of %d bytes: %v", n, len(small), err)
		}
	}
	for name, data := range map[string][]byte{
		"a byte behind":     append(bytes.Clone(small), 0),
		"a byte before":     append([]byte{0}, small...),
		"twice":             append(bytes.Clone(small), small...),
		"a comment":         append(append(bytes.Clone(small[:len(small)-2]), 2, 0), "hi"...),
		"an empty archive":  append([]byte("PK\x05\x06"), make([]byte, 18)...),
		"another ZIP file":  packed(t, map[string]string{"manifest.json": "{}", "manifest.sig": strings.Repeat("x", 64)}),
		"not a ZIP archive": bytes.Repeat([]byte("%PDF-1.4 "), 100),
	} {
		if _, err := verify(data, ""); !errors.As(err, new(*evidence.MisfitError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// packed returns a ZIP archive as other programs write it.
func packed(t *testing.T, content map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range content {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// entry is a member for a forged archive.
type entry struct {
	name string
	data []byte
}

// forge writes a canonical archive of any members with the package's own writer.
func forge(t *testing.T, all []entry) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "forged.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	names, contents := make([]string, len(all)), make([][]byte, len(all))
	for i, e := range all {
		names[i], contents[i] = e.name, e.data
	}
	if err := evidence.WriteArchive(f, names, contents); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The members of a file cannot be exchanged, also if the archive around them is made anew.
func TestChangedMembersAreFound(t *testing.T) {
	t.Parallel()
	original := file(t, source(life()))
	names, content := members(t, original)
	entries := func() []entry {
		all := make([]entry, len(names))
		for i, name := range names {
			all[i] = entry{name, content[name]}
		}
		return all
	}
	if !bytes.Equal(forge(t, entries()), original) {
		t.Fatal("a control: the same members give another archive")
	}
	for name, c := range map[string]struct {
		change func([]entry) []entry
		want   string // the first part that does not fit
	}{
		"two events exchanged": {func(e []entry) []entry { e[0], e[1] = e[1], e[0]; return e }, "events/000001.json: its header"},
		"an event removed":     {func(e []entry) []entry { return append(e[:2], e[3:]...) }, "events/000002.json: its header"},
		"an event twice":       {func(e []entry) []entry { return append([]entry{e[0]}, e...) }, "callbacks/000001.http: its header"},
		"a file added":         {func(e []entry) []entry { return append([]entry{{"notes.txt", []byte("hi")}}, e...) }, "events/000001.json: its header"},
		"a file added behind": {func(e []entry) []entry {
			last := len(e) - 2
			return append(append(append([]entry{}, e[:last]...), entry{"notes.txt", []byte("hi")}), e[last:]...)
		}, "manifest.json: there are bytes before it"},
		"an event's content": {func(e []entry) []entry {
			e[2].data = bytes.Replace(e[2].data, []byte(`"sms"`), []byte(`"fax"`), 1)
			return e
		}, "events/000002.json: it was changed: its SHA-256"},
		"the manifest": {func(e []entry) []entry {
			m := &e[len(e)-2]
			m.data = bytes.Replace(m.data, []byte(document.ID), []byte("596f858584281715b3493d0d"), 1)
			return e
		}, "manifest.sig: the signature does not fit"},
		"the signature removed": {func(e []entry) []entry { return e[:len(e)-1] }, "the central directory"},
	} {
		_, err := verify(forge(t, c.change(entries())), "")
		if misfit := new(evidence.MisfitError); !errors.As(err, &misfit) || !strings.HasPrefix(misfit.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// A person with another key can make a valid file with any content. So the key must be compared: a given key is.
func TestAnotherKeyIsFoundIfAKeyIsGiven(t *testing.T) {
	t.Parallel()
	s := source(life())
	s.Key = testKey(2)
	forged := file(t, s)
	if got, err := verify(forged, ""); err != nil || got.Trusted || got.Fingerprint != fingerprint(2) {
		t.Errorf("without a key: %v, %+v", err, got)
	}
	if _, err := verify(forged, fingerprint(1)); err == nil || !strings.Contains(err.Error(), "signed with another key: "+fingerprint(2)) {
		t.Errorf("with a key: %v", err)
	}
}

// resign changes the manifest and signs it again, as the holder of a key can.
func resign(t *testing.T, data []byte, seed byte, change func(manifest []byte, all []entry) ([]byte, []entry)) []byte {
	t.Helper()
	names, content := members(t, data)
	var all []entry
	for _, name := range names[:len(names)-2] {
		all = append(all, entry{name, content[name]})
	}
	manifest, all := change(content["manifest.json"], all)
	all = append(all, entry{"manifest.json", manifest}, entry{"manifest.sig", ed25519.Sign(testKey(seed), manifest)})
	return forge(t, all)
}

// A file that is signed by a stranger can have any content. It must not harm the program that reads it, or the folder into which it is extracted.
func TestASignedFileIsStillChecked(t *testing.T) {
	t.Parallel()
	data := file(t, source(life()))
	replace := func(old, with string) func([]byte, []entry) ([]byte, []entry) {
		return func(manifest []byte, all []entry) ([]byte, []entry) {
			return bytes.Replace(manifest, []byte(old), []byte(with), 1), all
		}
	}
	for name, c := range map[string]struct {
		change func([]byte, []entry) ([]byte, []entry)
		want   string
	}{
		"another version":    {replace(`"version":1`, `"version":2`), "manifest.json: it has version 2"},
		"no manifest":        {replace(`"signrelay-evidence"`, `"other"`), "manifest.json: it is not the manifest"},
		"a path":             {replace(`"evidence.html"`, `"../evidence.h"`), "manifest.json: it lists a file whose name"},
		"an absolute path":   {replace(`"evidence.html"`, `"/vidence.html"`), "manifest.json: it lists a file whose name"},
		"a backslash":        {replace(`"evidence.html"`, `"..\\evidenc.html"`), "manifest.json: it lists a file whose name"},
		"a large size":       {replace(`"name":"evidence.html","size":`, `"name":"evidence.html","size":99`), "evidence.html: the archive ends before it"},
		"a negative size":    {replace(`"name":"evidence.html","size":`, `"name":"evidence.html","size":-`), "manifest.json: it lists a file whose name"},
		"a number of events": {replace(`"events":7`, `"events":8`), "manifest.json: its number of events"},
		"nothing, a control": {func(manifest []byte, all []entry) ([]byte, []entry) { return manifest, all }, ""},
		"another key in PEM": {func(manifest []byte, all []entry) ([]byte, []entry) {
			last := len(all) - 1
			return listAgain(manifest, all, last, signkey.PEM(signkey.PublicOf(testKey(3)))), all
		}, "public-key.pem: it is not the key"},
		"no key in PEM": {func(manifest []byte, all []entry) ([]byte, []entry) {
			at := bytes.LastIndex(manifest, []byte(",\n{"))
			return append(bytes.Clone(manifest[:at]), "\n]}\n"...), all[:len(all)-1]
		}, "public-key.pem: it is missing"},
		"a broken chain": {func(manifest []byte, all []entry) ([]byte, []entry) {
			changed := bytes.Replace(all[3].data, []byte(`"previous": "`), []byte(`"previous": "0`), 1)
			return listAgain(manifest, all, 3, changed), all
		}, "events/000003.json: its hash of the event before"},
		"an event left out": {func(manifest []byte, all []entry) ([]byte, []entry) {
			lines := bytes.Split(manifest, []byte("\n"))
			return bytes.Join(append(lines[:4], lines[5:]...), []byte("\n")), append(all[:2], all[3:]...)
		}, "events/000003.json: want events/000002.json here"},
		"spaces in the list": {replace(`"name":"evidence.html"`, `"name": "evidence.html"`), "manifest.json: its list of files"},
	} {
		_, err := verify(resign(t, data, 1, c.change), "")
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if misfit := new(evidence.MisfitError); !errors.As(err, &misfit) || !strings.HasPrefix(misfit.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// listAgain puts other content into a member, and its size and hash into the manifest.
func listAgain(manifest []byte, all []entry, i int, data []byte) []byte {
	line := func(d []byte) []byte {
		return fmt.Appendf(nil, `"size":%d,"sha256":"%s"`, len(d), evidence.SumOf(d))
	}
	manifest = bytes.Replace(manifest, line(all[i].data), line(data), 1)
	all[i].data = data
	return manifest
}

// A member that another program compressed is not read: its header does not fit. So a small file cannot become large.
func TestACompressedMemberIsNotRead(t *testing.T) {
	t.Parallel()
	data := file(t, source(life()))
	bomb := bytes.Clone(data)
	binary.LittleEndian.PutUint16(bomb[8:], zip.Deflate)
	if _, err := verify(bomb, ""); err == nil || !strings.Contains(err.Error(), "events/000001.json: its header") {
		t.Errorf("%v", err)
	}
}

func TestADocumentWithoutEventsHasNoFile(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "evidence.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := evidence.Make(context.Background(), f, source(nil)); !errors.Is(err, evidence.ErrNoEvents) {
		t.Errorf("%v", err)
	}
}

// The archived files are copied as streams, and compared with the log.
func TestArchivedFilesAreInTheFileOrTheirHashes(t *testing.T) {
	t.Parallel()
	const content = "%PDF-1.7 signed"
	archived := func(n int) event.Stored {
		return stored(n, &signingv1.SigningEvent{Type: event.DocumentArchived, File: &signingv1.File{
			Kind: "signed", Size: uint64(len(content)), Sha256: evidence.SumOf([]byte(content)), Key: "acme/clickwrap/d/signed.pdf",
		}})
	}
	s := source(append(life(), archived(8), archived(9)))
	hashes := file(t, s)
	_, in := members(t, hashes)
	if _, ok := in["files/000008.pdf"]; ok || !bytes.Contains(in["evidence.html"], []byte("no, only its hash")) || !bytes.Contains(in["evidence.html"], []byte(evidence.SumOf([]byte(content)))) {
		t.Error("without files: the hash is missing, or the file is there")
	}
	serve := func(content string) func(context.Context, string) (io.ReadCloser, error) {
		return func(_ context.Context, key string) (io.ReadCloser, error) {
			if key != "acme/clickwrap/d/signed.pdf" {
				return nil, errors.New("another key")
			}
			return io.NopCloser(strings.NewReader(content)), nil
		}
	}
	s.Open = serve(content)
	data := file(t, s)
	if _, err := verify(data, fingerprint(1)); err != nil {
		t.Error(err)
	}
	names, in := members(t, data)
	if string(in["files/000008.pdf"]) != content || slices.Contains(names, "files/000009.pdf") || bytes.Count(in["evidence.html"], []byte("files/000008.pdf")) != 2 {
		t.Errorf("with files: %v", names)
	}
	requireEachByte(t, data, 401)
	s.Open = serve("%PDF-1.7 forged")
	f, err := os.Create(filepath.Join(t.TempDir(), "evidence.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := evidence.Make(t.Context(), f, s); err == nil || !strings.Contains(err.Error(), "the archived file of event 8: the archive has other content") {
		t.Errorf("another content: %v", err)
	}
}

// The state of a document whose person declines, and signs later, follows the last decision.
func TestTheStateOfADeclinedDocument(t *testing.T) {
	t.Parallel()
	hmac := signingv1.Verification_VERIFICATION_HMAC
	decision := func(n int, typ, person string, v signingv1.Verification) event.Stored {
		return stored(n, &signingv1.SigningEvent{Type: typ, Recipient: &signingv1.Recipient{Id: person}, Verification: v})
	}
	const declined, open = "The person has declined to sign. Time: 2026-03-01 09:01:00 UTC", "The log has no event that ended the document."
	for name, c := range map[string]struct {
		events []event.Stored
		want   string
	}{
		"declined":             {[]event.Stored{decision(1, event.RecipientDeclined, "r1", hmac)}, declined},
		"another person signs": {[]event.Stored{decision(1, event.RecipientDeclined, "r1", hmac), decision(2, event.RecipientSigned, "r2", hmac)}, declined},
		"the person signs":     {[]event.Stored{decision(1, event.RecipientDeclined, "r1", hmac), decision(2, event.RecipientSigned, "r1", hmac)}, open},
		"sent again":           {[]event.Stored{decision(1, event.RecipientDeclined, "r1", hmac), decision(2, event.DocumentSent, "", hmac)}, open},
		"not verified":         {[]event.Stored{decision(1, event.RecipientDeclined, "r1", signingv1.Verification_VERIFICATION_NONE)}, open},
	} {
		_, content := members(t, file(t, source(c.events)))
		if !bytes.Contains(content["evidence.html"], []byte(c.want)) {
			t.Errorf("%s: the page has no %q", name, c.want)
		}
	}
}
