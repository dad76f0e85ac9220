package console

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// leastZipped is the size in bytes from which a body is compressed: a smaller one fits into one packet.
const leastZipped = 1400

// zippers are writers for gzip, which have 800 kB of tables each.
var zippers = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// mayZip reports whether the response may be compressed. Its length then tells whether a text of the address is also elsewhere in the page, such as a
// name or the token of forms. Another site can open pages with texts of its choice, and somebody on the network sees the length (the attack BREACH). So
// only what the reader or the console itself opened is compressed; a browser that does not say who did gets the page as it is. Live updates repeat the
// address of a page that another site may have opened.
func mayZip(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return (site == "same-origin" || site == "none") && r.Header.Get("Signrelay-Live") == "" && acceptsGzip(r.Header.Get("Accept-Encoding"))
}

func acceptsGzip(accepted string) bool {
	for coding := range strings.SplitSeq(accepted, ",") {
		name, quality, _ := strings.Cut(coding, ";")
		if strings.TrimSpace(name) == "gzip" {
			q := strings.TrimSpace(quality)
			return !strings.HasPrefix(q, "q=0") || strings.Trim(strings.TrimPrefix(q, "q=0"), ".0") != ""
		}
	}
	return false
}

// sendWhole writes a whole body, compressed if that is allowed.
func sendWhole(w http.ResponseWriter, r *http.Request, status int, mediaType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Add("Vary", "Accept, Accept-Encoding, Sec-Fetch-Site")
	if len(body) >= leastZipped && mayZip(r) {
		var zipped bytes.Buffer
		z := zippers.Get().(*gzip.Writer) //nolint:forcetypeassert // New above returns nothing else
		z.Reset(&zipped)
		_, _ = z.Write(body) // a buffer accepts everything
		_ = z.Close()
		zippers.Put(z)
		body = zipped.Bytes()
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // an error means that the client has gone
	}
}
