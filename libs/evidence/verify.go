package evidence

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"strings"

	"github.com/signrelay/signrelay/libs/evidence/signkey"
)

// Verified is what a valid evidence file says about itself.
type Verified struct {
	Document    Document
	Chain       Chain
	Files       int    // the members that the manifest lists
	Fingerprint string // of the key that signed it
	Trusted     bool   // the key is the one that the caller trusts
}

// MisfitError is the first part of a file that does not fit.
type MisfitError struct {
	Part string // "events/000003.json"
	Why  string
}

func (m *MisfitError) Error() string { return m.Part + ": " + m.Why }

func misfit(part, why string, args ...any) error {
	return &MisfitError{part, fmt.Sprintf(why, args...)}
}

// The parts of an archive that are not members.
const (
	partEnd     = "the end of the archive"
	partCentral = "the central directory of the archive"
)

// Verify verifies an evidence file of that size in bytes. trusted is the fingerprint of the key that must have signed it; if it is empty, any key
// may have. The error is a *MisfitError if a part does not fit, otherwise an error of r.
//
// It reads the file once from the beginning to the end. It keeps in memory the manifest, which has at most 64 MiB, and one event.
func Verify(r io.ReaderAt, size int64, trusted string) (Verified, error) {
	v := verification{file: r}
	if err := v.open(size); err != nil {
		return Verified{}, err
	}
	if err := v.authenticate(trusted); err != nil {
		return Verified{}, err
	}
	if err := v.members(); err != nil {
		return Verified{}, err
	}
	if err := v.central(); err != nil {
		return Verified{}, err
	}
	return Verified{
		Document: v.head.Document, Chain: v.head.Chain, Files: len(v.crcs), Fingerprint: signkey.Fingerprint(v.head.Signer.PublicKey), Trusted: trusted != "",
	}, nil
}

// verification is the state of one verification.
type verification struct {
	file           io.ReaderAt
	directory      directory
	list, sig      member // the manifest and its signature
	manifest       []byte
	signature      []byte
	head           head
	lines          []byte // the manifest's list of members
	crcs           []uint32
	events         int
	previous       string // the SHA-256 of the last event's member
	publicKeyFound bool
}

// open finds the manifest and the signature, the last two members.
func (v *verification) open(size int64) error {
	d, end, ok := readDirectory(v.file, size)
	if !ok || d.members < 2 || d.offset < 0 || d.size < 0 {
		return misfit(partEnd, "it is not that of an evidence file: the file was cut off, extended or packed again")
	}
	v.directory = d
	for _, last := range []struct {
		to   *member
		name string
		next *int64 // where the member must end
	}{{&v.sig, signatureName, &d.offset}, {&v.list, manifestName, &v.sig.offset}} {
		m, length, err := v.recordBefore(end, last.name)
		if err != nil {
			return err
		}
		if m.size < 0 || m.offset+localSize+int64(len(m.name))+m.size != *last.next {
			return misfit(partCentral, "the record of %s does not fit", last.name)
		}
		*last.to, end = m, end-length
	}
	if v.list.size > largestManifest {
		return misfit(manifestName, "it has more than %d bytes", largestManifest)
	}
	if v.sig.size != ed25519.SignatureSize {
		return misfit(signatureName, "it does not have %d bytes", ed25519.SignatureSize)
	}
	var err error
	if v.manifest, err = v.read(v.list); err != nil {
		return err
	}
	v.signature, err = v.read(v.sig)
	return err
}

// recordBefore reads a member's record in the central directory that ends at a place.
func (v *verification) recordBefore(end int64, name string) (m member, length int64, err error) {
	for _, length = range []int64{centralSize + int64(len(name)), centralSize + int64(len(name)) + extra64Size} {
		b := make([]byte, length)
		if end-length < v.directory.offset {
			break
		}
		if err := v.readAt(b, end-length); err != nil {
			return m, 0, err
		}
		m = member{name: name, crc: binary.LittleEndian.Uint32(b[16:]), size: int64(binary.LittleEndian.Uint32(b[20:])), offset: int64(binary.LittleEndian.Uint32(b[42:]))}
		if length > centralSize+int64(len(name)) {
			m.offset = int64(min(binary.LittleEndian.Uint64(b[length-8:]), 1<<62))
		}
		if bytes.Equal(m.central(), b) {
			return m, length, nil
		}
	}
	return m, 0, misfit(partCentral, "it has no record of %s at its place: it was changed, or the file was packed again", name)
}

// read reads a whole member, with its header.
func (v *verification) read(m member) ([]byte, error) {
	header := make([]byte, localSize+len(m.name))
	data := make([]byte, m.size)
	if err := v.readAt(header, m.offset); err != nil {
		return nil, err
	}
	if err := v.readAt(data, m.offset+int64(len(header))); err != nil {
		return nil, err
	}
	switch {
	case !bytes.Equal(header, m.local()):
		return nil, misfit(m.name, "its header in the archive does not fit")
	case crc32.ChecksumIEEE(data) != m.crc:
		return nil, misfit(m.name, "it was changed: its CRC does not fit")
	}
	return data, nil
}

func (v *verification) readAt(p []byte, offset int64) error {
	_, err := v.file.ReadAt(p, offset)
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("read the file: %w", err)
}

// authenticate reads the manifest's head, and verifies its signature.
func (v *verification) authenticate(trusted string) error {
	begin, rest, _ := bytes.Cut(v.manifest, []byte("\n"))
	begin = append(bytes.TrimSuffix(bytes.Clone(begin), []byte(",")), '}')
	if err := json.Unmarshal(begin, &v.head); err != nil || v.head.Format != format {
		return misfit(manifestName, "it is not the manifest of an evidence file")
	}
	if v.head.Version != version {
		return misfit(manifestName, "it has version %d, and this program knows version %d: use the program of a newer version", v.head.Version, version)
	}
	public := ed25519.PublicKey(v.head.Signer.PublicKey)
	if v.head.Signer.Algorithm != algorithm || len(public) != ed25519.PublicKeySize {
		return misfit(manifestName, "it has no Ed25519 key")
	}
	if !ed25519.Verify(public, v.manifest, v.signature) {
		return misfit(signatureName, "the signature does not fit manifest.json: one of them was changed")
	}
	fingerprint := signkey.Fingerprint(public)
	if trusted != "" && trusted != fingerprint {
		return misfit(signatureName, "the file is signed with another key: %s, want %s", fingerprint, trusted)
	}
	if canonical, err := json.Marshal(v.head); err != nil || !bytes.Equal(canonical, begin) || v.head.Signer.Fingerprint != fingerprint {
		return misfit(manifestName, "its first line is not in the form that this version writes")
	}
	var ok bool
	if v.lines, ok = bytes.CutPrefix(rest, []byte(listKey+"\n")); !ok {
		return misfit(manifestName, "its list of files is not in the form that this version writes")
	}
	return nil
}

// listed yields the members that the manifest lists. It reads line by line, so that a large manifest needs no more memory than its bytes.
func (v *verification) listed() iter.Seq2[listed, error] {
	return func(yield func(listed, error) bool) {
		rest, more := v.lines, true
		for more {
			var line []byte
			line, rest, _ = bytes.Cut(rest, []byte("\n"))
			line, more = bytes.CutSuffix(line, []byte(","))
			var l listed
			err := json.Unmarshal(line, &l)
			canonical, encoding := json.Marshal(l)
			if err != nil || encoding != nil || !bytes.Equal(canonical, line) {
				yield(l, misfit(manifestName, "its list of files is not in the form that this version writes"))
				return
			}
			if !validName(l.Name) || l.Name == manifestName || l.Name == signatureName || l.Size < 0 || l.Size > largestMember {
				yield(l, misfit(manifestName, "it lists a file whose name or size is not allowed: %.100q", l.Name))
				return
			}
			if !yield(l, nil) {
				return
			}
		}
		if string(rest) != "]}\n" {
			yield(listed{}, misfit(manifestName, "its list of files is not in the form that this version writes"))
		}
	}
}

// members verifies the members that the manifest lists, from the beginning of the file.
func (v *verification) members() error {
	r := bufio.NewReaderSize(io.NewSectionReader(v.file, 0, v.list.offset), 64<<10)
	offset, taken := int64(0), map[string]bool{}
	v.previous = noPrevious
	for l, err := range v.listed() {
		if err != nil {
			return err
		}
		if taken[l.Name] {
			return misfit(l.Name, "the manifest lists it twice")
		}
		taken[l.Name] = true
		m := member{name: l.Name, size: l.Size, offset: offset}
		if offset += localSize + int64(len(l.Name)) + l.Size; offset > v.list.offset {
			return misfit(l.Name, "the archive ends before it")
		}
		if err := v.member(r, m, l.SHA256); err != nil {
			return err
		}
	}
	switch {
	case offset != v.list.offset:
		return misfit(manifestName, "there are bytes before it that belong to no file of the manifest")
	case v.events != v.head.Chain.Events || v.previous != v.head.Chain.Head:
		return misfit(manifestName, "its number of events, or the hash of the last one, does not fit")
	case !v.publicKeyFound:
		return misfit(publicName, "it is missing")
	}
	return nil
}

// largestEvent is the largest member of an event that a verification reads, in bytes. An event in the log has at most 1 MiB, and its member is
// longer, because bytes become base64.
const largestEvent = 16 << 20

// member verifies the next member of the archive.
func (v *verification) member(r io.Reader, m member, want string) error {
	header := make([]byte, localSize+len(m.name))
	if _, err := io.ReadFull(r, header); err != nil {
		return fmt.Errorf("read the file: %w", err)
	}
	m.crc = binary.LittleEndian.Uint32(header[14:])
	if !bytes.Equal(header, m.local()) {
		return misfit(m.name, "its header in the archive does not fit: the file was changed or packed again, or a member was moved, added or removed")
	}
	isEvent := strings.HasPrefix(m.name, eventsFolder)
	if isEvent && m.size > largestEvent {
		return misfit(m.name, "an event has at most %d bytes", largestEvent)
	}
	d, kept := newDigest(), bytes.Buffer{}
	var to io.Writer = d
	if isEvent {
		to = io.MultiWriter(d, &kept)
	}
	if _, err := io.CopyN(to, r, m.size); err != nil {
		return fmt.Errorf("read the file: %w", err)
	}
	sum := d.sha()
	switch got := hex.EncodeToString(sum[:]); {
	case got != want:
		return misfit(m.name, "it was changed: its SHA-256 is not the one that the manifest lists")
	case d.crc.Sum32() != m.crc:
		return misfit(m.name, "its CRC in the archive does not fit")
	case isEvent:
		if err := v.link(m.name, kept.Bytes()); err != nil {
			return err
		}
		v.previous = got
	case m.name == publicName:
		if v.publicKeyFound = got == sumOf(signkey.PEM(v.head.Signer.PublicKey)); !v.publicKeyFound {
			return misfit(m.name, "it is not the key of the manifest")
		}
	}
	v.crcs = append(v.crcs, m.crc)
	return nil
}

// link verifies an event's place in the chain.
func (v *verification) link(name string, data []byte) error {
	v.events++
	if name != eventName(v.events) {
		return misfit(name, "want %s here: an event is missing or at another place", eventName(v.events))
	}
	var e struct {
		Previous string `json:"previous"`
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return misfit(name, "it is not JSON")
	}
	if e.Previous != v.previous {
		return misfit(name, "its hash of the event before does not fit: an event was changed, removed or moved before the file was signed")
	}
	return nil
}

// central verifies the central directory. Its place and its last two records are known to fit.
func (v *verification) central() error {
	r := bufio.NewReaderSize(io.NewSectionReader(v.file, v.directory.offset, v.directory.size), 64<<10)
	check := func(m member) error {
		want := m.central()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(r, got); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("read the file: %w", err)
		}
		if !bytes.Equal(got, want) {
			return misfit(partCentral, "the record of %s does not fit", m.name)
		}
		return nil
	}
	offset, i := int64(0), 0
	for l, err := range v.listed() {
		if err != nil {
			return err
		}
		m := member{name: l.Name, size: l.Size, crc: v.crcs[i], offset: offset}
		if err := check(m); err != nil {
			return err
		}
		offset, i = offset+localSize+int64(len(l.Name))+l.Size, i+1
	}
	if err := errors.Join(check(v.list), check(v.sig)); err != nil {
		return err
	}
	if n, err := r.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		return misfit(partCentral, "it has more records than the manifest has files")
	}
	if len(v.crcs)+2 != v.directory.members {
		return misfit(partEnd, "its number of files does not fit")
	}
	return nil
}
