package pack

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// Recordings returns the samples that a pack embeds from its testdata.
func Recordings(embedded embed.FS) fs.FS {
	// Sub fails only for an invalid path, and this one is valid.
	sub, _ := fs.Sub(embedded, "testdata")
	return sub
}

// Sample is one recorded callback.
type Sample struct {
	Name    string
	About   string // the source: the recording's leading # lines
	Request Request
}

// ReadSample reads the recording <name>.http from a pack's Samples: comment lines that begin with #, a request line
// ("POST /webhooks/<provider>/<source><route>?<query>"), headers, an empty line, the body. A final line ending belongs to the file, not to
// the body.
func ReadSample(samples fs.FS, name string) (Sample, error) {
	data, err := fs.ReadFile(samples, name+".http")
	if err != nil {
		return Sample{}, fmt.Errorf("read sample: %w", err)
	}
	s := Sample{Name: name, Request: Request{Header: http.Header{}}}
	lines := &lineReader{rest: data}

	line := lines.next()
	for strings.HasPrefix(line, "#") {
		s.About += strings.TrimSpace(strings.TrimPrefix(line, "#")) + "\n"
		line = lines.next()
	}

	words := strings.Fields(line)
	if len(words) < 2 {
		return Sample{}, fmt.Errorf("sample %s: %q is not a request line", name, line)
	}
	target, err := url.ParseRequestURI(words[1])
	if err != nil {
		return Sample{}, fmt.Errorf("sample %s: %w", name, err)
	}
	// "", "webhooks", provider, source, and the rest is the route.
	parts := strings.SplitN(target.Path, "/", 5)
	if len(parts) < 4 || parts[1] != "webhooks" {
		return Sample{}, fmt.Errorf("sample %s: the path is not /webhooks/<provider>/<source>", name)
	}
	if len(parts) == 5 {
		s.Request.Route = "/" + parts[4]
	}
	s.Request.Method, s.Request.Query = words[0], target.Query()

	for line = lines.next(); line != ""; line = lines.next() {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			return Sample{}, fmt.Errorf("sample %s: %q is not a header", name, line)
		}
		s.Request.Header.Add(textproto.TrimString(key), textproto.TrimString(value))
	}

	s.Request.Body = bytes.TrimSuffix(bytes.TrimSuffix(lines.rest, []byte("\n")), []byte("\r"))
	return s, nil
}

// lineReader splits text into lines that end in LF or CRLF.
type lineReader struct{ rest []byte }

func (r *lineReader) next() string {
	line, rest, _ := bytes.Cut(r.rest, []byte("\n"))
	r.rest = rest
	return string(bytes.TrimSuffix(line, []byte("\r")))
}
