package evidence_test

import (
	"archive/zip"
	"bytes"
	"compress/zlib"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/evidence"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// A document with more members than a plain ZIP archive can have is written and verified, and memory does not depend on the size of its events.
func TestALargeDocumentNeedsLittleMemory(t *testing.T) { //nolint:paralleltest // it measures the memory of the process
	const events, perEvent = 66_000, 600 // bytes
	var heap [2]uint64
	measure := func(i int) {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		heap[i] = m.HeapAlloc
	}
	s := source(nil)
	s.Events = func(yield func(event.Stored, error) bool) {
		for n := range events {
			switch n {
			case 6000:
				measure(0)
			case events - 1:
				measure(1)
			}
			e := stored(n+1, &signingv1.SigningEvent{Type: event.RecipientOpened, Attributes: map[string]string{"agent": strings.Repeat("a", 2000)}})
			e.Time = at(0).Add(time.Duration(n) * time.Second)
			if !yield(e, nil) {
				return
			}
		}
	}
	path := filepath.Join(t.TempDir(), "large.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := evidence.Make(t.Context(), f, s); err != nil {
		t.Fatal(err)
	}
	if grown := int64(heap[1]) - int64(heap[0]); grown > (events-6000)*perEvent {
		t.Errorf("%d events of 2 kB took %d bytes of memory", events-6000, grown)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	got, err := evidence.Verify(f, info.Size(), fingerprint(1))
	if err != nil || got.Chain.Events != events {
		t.Errorf("%v: %+v", err, got)
	}
	r, err := zip.NewReader(f, info.Size())
	if err != nil || len(r.File) != got.Files+2 {
		t.Fatalf("another program reads the archive: %v", err)
	}
	page, err := r.Open("evidence.html")
	if err != nil {
		t.Fatal(err)
	}
	html, err := io.ReadAll(page)
	if err != nil || !bytes.Contains(html, []byte("64000 of them, in the middle, are not shown here")) || bytes.Count(html, []byte("<tr")) > 2100 {
		t.Errorf("the page: %v, %d bytes", err, len(html))
	}
}

// far is a reader of an archive that begins after some gigabytes of zeros.
type far struct {
	begin int64
	tail  []byte
}

func (f far) ReadAt(p []byte, offset int64) (int, error) {
	for i := range p {
		switch at := offset + int64(i) - f.begin; {
		case at < 0:
			p[i] = 0
		case at >= int64(len(f.tail)):
			return i, io.EOF
		default:
			p[i] = f.tail[at]
		}
	}
	return len(p), nil
}

// Beyond 4 GiB the archive has ZIP64 records, which other programs read.
func TestMembersBeyondFourGiB(t *testing.T) {
	t.Parallel()
	const begin = 5 << 30
	path := filepath.Join(t.TempDir(), "far.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := evidence.WriteArchiveAt(f, begin, []string{"events/000001.json"}, [][]byte{[]byte("far away")}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(far{begin, data}, begin+int64(len(data)))
	if err != nil || len(r.File) != 1 {
		t.Fatalf("%v: %d members", err, len(r.File))
	}
	in, err := r.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(in); err != nil || string(text) != "far away" {
		t.Errorf("%v: %q", err, text)
	}
}

// text returns the text of a PDF: its streams, which are UTF-16 in the order of reading.
func text(t *testing.T, pdf []byte) string {
	t.Helper()
	var all []byte
	for _, found := range regexp.MustCompile(`(?s)stream\n(.*?)\nendstream`).FindAllSubmatch(pdf, -1) {
		r, err := zlib.NewReader(bytes.NewReader(found[1]))
		if err != nil {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data...)
	}
	return string(all)
}

func inPDF(text string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		b = append(b, byte(u>>8), byte(u))
	}
	return strings.NewReplacer(`\`, `\\`, "(", `\(`, ")", `\)`, "\r", `\r`).Replace(string(b)) // as in a string of a PDF
}

// Names in other scripts are in both pages. What the PDF cannot show is there by number, and the PDF says so.
func TestNamesInOtherScripts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ inPDF, inHTML string }{
		"Łukasz Żółć":     {"Łukasz Żółć", "Łukasz Żółć"},
		"Nguyễn Thị Huệ":  {"Nguyễn Thị Huệ", "Nguyễn Thị Huệ"},
		"Nguyễn":          {"Nguyễn", "Nguyễn"}, // with combining marks
		"Γιώργος":         {"Γιώργος", "Γιώργος"},
		"Світлана Щербак": {"Світлана Щербак", "Світлана Щербак"},
		"张伟":              {"[U+5F20][U+4F1F]", "张伟"},
		"דו":              {"[U+05D3][U+05D5]", "דו"},
		"Eva 😀":           {"Eva [U+1F600]", "Eva 😀"},
		"a\u202eb":        {`a\u202eb`, `a\u202eb`},
		"<b>&":            {"<b>&", "&lt;b&gt;&amp;"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := stored(1, &signingv1.SigningEvent{Type: event.RecipientSigned, Recipient: &signingv1.Recipient{Id: "r1", FirstName: name}})
			_, content := members(t, file(t, source([]event.Stored{e})))
			if !bytes.Contains(content["evidence.html"], []byte(c.inHTML)) {
				t.Errorf("the page has no %s", c.inHTML)
			}
			pdf := text(t, content["evidence.pdf"])
			if !strings.Contains(pdf, inPDF(c.inPDF)) {
				t.Errorf("the PDF has no %s", c.inPDF)
			}
			if says, missing := strings.Contains(pdf, inPDF("The fonts of this PDF cannot show")), strings.Contains(c.inPDF, "[U+"); says != missing {
				t.Errorf("the PDF says %t that it cannot show characters, want %t", says, missing)
			}
		})
	}
}
