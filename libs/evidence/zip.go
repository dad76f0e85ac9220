package evidence

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
)

// The canonical ZIP archive (APPNOTE 6.3.10): members are stored without compression, one after the other, without extra fields, comments,
// data descriptors or times; then the central directory in the same order. ZIP64 is used only where a value needs it. Without compression the
// archive has exactly the bytes of its members, so it cannot grow when somebody reads it.

// The signatures of the archive's parts.
const (
	localSignature   = 0x04034b50
	centralSignature = 0x02014b50
	end64Signature   = 0x06064b50
	locatorSignature = 0x07064b50
	endSignature     = 0x06054b50
)

// The sizes of the archive's parts, in bytes, without names.
const (
	localSize   = 30
	centralSize = 46
	extra64Size = 12 // the extra field of an offset beyond 4 GiB
	end64Size   = 56
	locatorSize = 20
	endSize     = 22
)

const (
	versionPlain = 10
	version64    = 45
	firstDay     = 1<<5 | 1 // 1980-01-01, the earliest date of a ZIP archive: a member has no time
)

// member is a member of an archive.
type member struct {
	name   string
	size   int64
	crc    uint32
	sum    [sha256.Size]byte
	offset int64 // of its local header
}

// largestMember is the largest member without ZIP64, in bytes.
const largestMember = math.MaxUint32 - 1

// local returns the member's local header, with its name.
func (m member) local() []byte {
	b := make([]byte, 0, localSize+len(m.name))
	b = u32(b, localSignature)
	b = u16(b, versionPlain)
	b = u16(b, 0) // flags
	b = m.fields(b)
	b = u16(b, 0) // extra field
	return append(b, m.name...)
}

// fields appends the fields that both headers of a member have: method, time, date, CRC, sizes, length of the name.
func (m member) fields(b []byte) []byte {
	b = u16(b, 0) // stored
	b = u16(b, 0) // time
	b = u16(b, firstDay)
	b = u32(b, m.crc)
	b = u32(b, uint32(m.size))
	b = u32(b, uint32(m.size))
	return u16(b, uint16(len(m.name)))
}

// far reports whether the member begins beyond 4 GiB.
func (m member) far() bool { return m.offset >= math.MaxUint32 }

// central returns the member's record in the central directory.
func (m member) central() []byte {
	b := make([]byte, 0, centralSize+len(m.name)+extra64Size)
	version, extra, offset := versionPlain, 0, uint32(math.MaxUint32)
	if m.far() {
		version, extra = version64, extra64Size
	} else {
		offset = uint32(m.offset)
	}
	b = u32(b, centralSignature)
	b = u16(b, uint16(version)) // made by: MS-DOS, so that no permissions are set
	b = u16(b, uint16(version)) // needed
	b = u16(b, 0)               // flags
	b = m.fields(b)
	b = u16(b, uint16(extra))
	b = append(b, 0, 0) // comment
	b = append(b, 0, 0) // disk
	b = append(b, 0, 0) // internal attributes
	b = u32(b, 0)       // external attributes
	b = u32(b, offset)
	b = append(b, m.name...)
	if m.far() {
		b = u16(b, 1)             // ZIP64
		b = u16(b, extra64Size-4) // bytes that follow
		b = u64(b, uint64(m.offset))
	}
	return b
}

// directory is the place of the central directory.
type directory struct {
	members      int
	offset, size int64
}

// needs64 reports whether one of the values does not fit into the plain end of an archive.
func (d directory) needs64() bool {
	return d.members >= math.MaxUint16 || d.offset >= math.MaxUint32 || d.size >= math.MaxUint32
}

// end returns the bytes after the central directory.
func (d directory) end() []byte {
	var b []byte
	members, size, offset := uint16(math.MaxUint16), uint32(math.MaxUint32), uint32(math.MaxUint32)
	if d.needs64() {
		b = u32(b, end64Signature)
		b = u64(b, end64Size-12) // bytes that follow
		b = u16(b, version64)
		b = u16(b, version64)
		b = u32(b, 0)
		b = u32(b, 0)
		b = u64(b, uint64(d.members))
		b = u64(b, uint64(d.members))
		b = u64(b, uint64(d.size))
		b = u64(b, uint64(d.offset))
		b = u32(b, locatorSignature)
		b = u32(b, 0)
		b = u64(b, uint64(d.offset+d.size))
		b = u32(b, 1)
	} else {
		members, size, offset = uint16(d.members), uint32(d.size), uint32(d.offset)
	}
	b = u32(b, endSignature)
	b = u16(b, 0)
	b = u16(b, 0)
	b = u16(b, members)
	b = u16(b, members)
	b = u32(b, size)
	b = u32(b, offset)
	return u16(b, 0) // comment
}

func u16(b []byte, n uint16) []byte { return binary.LittleEndian.AppendUint16(b, n) }
func u32(b []byte, n uint32) []byte { return binary.LittleEndian.AppendUint32(b, n) }
func u64(b []byte, n uint64) []byte { return binary.LittleEndian.AppendUint64(b, n) }

// Output is the file that gets an archive: an empty *os.File.
type Output interface {
	io.Writer
	io.WriterAt // a member's header is completed after a stream was copied
}

// archive writes members in their order. Only their names, sizes and hashes are in memory.
type archive struct {
	file    Output
	to      *bufio.Writer
	offset  int64
	members []member
	taken   map[string]bool
}

func newArchive(file Output) *archive {
	return &archive{file: file, to: bufio.NewWriterSize(file, 64<<10), taken: map[string]bool{}}
}

// add writes a member whose bytes are known, and returns its SHA-256.
func (a *archive) add(name string, data []byte) (member, error) {
	m, err := a.begin(name)
	if err != nil {
		return m, err
	}
	m.size, m.crc, m.sum = int64(len(data)), crc32.ChecksumIEEE(data), sha256.Sum256(data)
	if m.size > largestMember {
		return m, errTooLarge
	}
	if err := a.write(m.local()); err != nil {
		return m, err
	}
	if err := a.write(data); err != nil {
		return m, err
	}
	a.members = append(a.members, m)
	return m, nil
}

var errTooLarge = errors.New("it has 4 GiB or more: an evidence file cannot contain it")

// stream writes a member from a reader of any size, and returns its size and SHA-256.
func (a *archive) stream(name string, r io.Reader) (member, error) {
	m, err := a.begin(name)
	if err != nil {
		return m, err
	}
	if err := a.write(m.local()); err != nil { // without size and CRC
		return m, err
	}
	d := newDigest()
	n, err := io.Copy(io.MultiWriter(a.to, d), io.LimitReader(r, largestMember+1))
	a.offset += n
	switch {
	case err != nil:
		return m, err
	case n > largestMember:
		return m, errTooLarge
	}
	m.size, m.crc, m.sum = n, d.crc.Sum32(), d.sha()
	if err := a.to.Flush(); err != nil {
		return m, err
	}
	if _, err := a.file.WriteAt(m.local(), m.offset); err != nil {
		return m, err
	}
	a.members = append(a.members, m)
	return m, nil
}

func (a *archive) begin(name string) (member, error) {
	if !validName(name) || a.taken[name] {
		return member{}, fmt.Errorf("the name of a member is not valid, or occurs twice: %q", name)
	}
	a.taken[name] = true
	return member{name: name, offset: a.offset}, nil
}

func (a *archive) write(data []byte) error {
	n, err := a.to.Write(data)
	a.offset += int64(n)
	return err
}

// close writes the central directory.
func (a *archive) close() error {
	d := directory{members: len(a.members), offset: a.offset}
	for _, m := range a.members {
		if err := a.write(m.central()); err != nil {
			return err
		}
	}
	d.size = a.offset - d.offset
	if err := a.write(d.end()); err != nil {
		return err
	}
	return a.to.Flush()
}

// digest computes both checksums of a member.
type digest struct {
	crc  hash.Hash32
	sum  hash.Hash
	size int64
}

func newDigest() *digest { return &digest{crc: crc32.NewIEEE(), sum: sha256.New()} }

func (d *digest) Write(p []byte) (int, error) {
	_, _ = d.crc.Write(p)
	_, _ = d.sum.Write(p)
	d.size += int64(len(p))
	return len(p), nil
}

func (d *digest) sha() (sum [sha256.Size]byte) {
	copy(sum[:], d.sum.Sum(nil))
	return sum
}

// readDirectory finds the central directory by the end of an archive. It returns false unless the end is canonical.
func readDirectory(r io.ReaderAt, size int64) (d directory, end int64, ok bool) {
	tail := make([]byte, min(size, end64Size+locatorSize+endSize))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) || len(tail) < endSize {
		return d, 0, false
	}
	last := tail[len(tail)-endSize:]
	d = directory{
		members: int(binary.LittleEndian.Uint16(last[10:])),
		size:    int64(binary.LittleEndian.Uint32(last[12:])), offset: int64(binary.LittleEndian.Uint32(last[16:])),
	}
	if d.needs64() {
		if len(tail) < end64Size+locatorSize+endSize {
			return d, 0, false
		}
		members, length, offset := binary.LittleEndian.Uint64(tail[32:]), binary.LittleEndian.Uint64(tail[40:]), binary.LittleEndian.Uint64(tail[48:])
		if members > math.MaxInt32 || length > math.MaxInt64/4 || offset > math.MaxInt64/4 {
			return d, 0, false
		}
		d = directory{members: int(members), size: int64(length), offset: int64(offset)}
	}
	want := d.end()
	end = size - int64(len(want))
	ok = len(want) <= len(tail) && bytes.Equal(want, tail[len(tail)-len(want):]) && d.offset+d.size == end
	return d, end, ok
}
