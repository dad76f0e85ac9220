package security

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

const mebibyte = 1 << 20

// A body's size is limited before it is read. An authentic callback of any form is stored or quarantined, and costs no more than its
// size. It never gets a 5xx, because the provider would then repeat it for days.
func monstrousBodies(t *testing.T, s *stand) {
	const source = "bodies"
	padded := func(size int) string {
		body := clickwrapSent("bodies-padded")
		return body + strings.Repeat(" ", size-len(body))
	}
	s.refuses(t, "one byte too many", clickwrap(source, padded(mebibyte+1)), http.StatusRequestEntityTooLarge)
	chunked := clickwrap(source, "")
	if a := s.sendBody(t, chunked, io.MultiReader(strings.NewReader(padded(mebibyte+1)))); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("one byte too many, in chunks: %d %s", a.status, a.text)
	}
	// A client that announces 8 GiB gets its response before it sends them.
	if statuses, kept := sendRaw(t, s, "POST /webhooks/clickwrap/bodies HTTP/1.1\r\nHost: x\r\nContent-Length: 8589934592\r\n\r\n{"); len(statuses) != 1 || statuses[0] != 413 || kept {
		t.Errorf("8 GiB: %v, kept: %v", statuses, kept)
	}
	s.accepts(t, "the largest allowed body", clickwrap(source, padded(mebibyte)))

	with := func(field string) string { return strings.Replace(clickwrapSent("bodies-x"), "{", "{"+field+",", 1) }
	many := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for name, body := range map[string]string{
		"nested 100,000 deep":                       with(`"a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)),
		"objects nested 100,000 deep":               with(`"a":` + strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)),
		"nested and never closed":                   strings.Repeat("[", mebibyte),
		"a hundred thousand fields":                 with(strings.TrimSuffix(many(`"f%d":0,`, 80_000), ",")),
		"a field repeated a hundred thousand times": with(strings.TrimSuffix(strings.Repeat(`"f":0,`, 150_000), ",")),
		"long names over many leaves":               with(`"` + strings.Repeat("n", 100_000) + `":[` + strings.Repeat("0,", 300_000) + `0]`),
		"a number with 500,000 digits":              with(`"n":` + strings.Repeat("9", 500_000)),
		"a number out of range":                     with(`"n":1e999999999`),
		"an id out of range":                        `{"event_type":"request_sent","request":1e999999999,"id":-0}`,
		"a time out of range":                       `{"event_type":"request_sent","request":"bodies-t","id":"t","created_time":"99999-99-99T99:99:99Z"}`,
		"no UTF-8":                                  with(`"a":"` + "\xff\xfe\xc0\x80" + `"`),
		"overlong UTF-8":                            with(`"a":"` + "\xe0\x80\xaf" + `"`),
		"half a surrogate":                          with(`"a":"\ud800"`),
		"zeros":                                     strings.Repeat("\x00", 500_000),
		"zero bytes in texts":                       with(`"a":"` + "\x00" + `"`),
		"escaped zeros":                             with(`"a\u0000b":"\u0000"`),
		"no object":                                 `"` + strings.Repeat("x", 500_000) + `"`,
		"two objects":                               clickwrapSent("bodies-a") + clickwrapSent("bodies-b"),
		"a compressed body, not declared":           bomb(t),
		"nothing":                                   "",
	} {
		if a := s.send(t, clickwrap(source, body)); a.status >= 300 {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	s.refuses(t, "a compressed body, declared", clickwrap(source, bomb(t)).with(func(c *callback) { c.header["Content-Encoding"] = []string{"gzip"} }), http.StatusUnsupportedMediaType)
	if n := s.quarantined(t, source); n < 10 {
		t.Errorf("the quarantine holds %d of them", n)
	}
	s.accepts(t, "an honest callback afterwards", clickwrap(source, clickwrapSent("bodies-last")))
	s.small(t)
}

// bomb returns almost one gibibyte of zeros in less than one mebibyte: the same compressed mebibyte, repeated.
func bomb(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(make([]byte, mebibyte))
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return strings.Repeat(b.String(), 950*1024/b.Len())
}

// On both of the eSignature API's paths, a form with the token is stored or quarantined, and a form without it is not parsed.
func monstrousForms(t *testing.T, s *stand) {
	multipart := func(parts string) (string, string) {
		return "multipart/form-data; boundary=b", parts + "--b--\r\n"
	}
	part := func(header, value string) string { return "--b\r\n" + header + "\r\n\r\n" + value + "\r\n" }
	named := func(name string) string { return `Content-Disposition: form-data; name="` + name + `"` }
	const form = "application/x-www-form-urlencoded"
	type monster struct{ contentType, body string }
	made := func(contentType, body string) monster { return monster{contentType, body} }
	monsters := map[string]monster{
		"many fields":            {form, strings.Repeat("f=1&", 250_000)},
		"fields of no name":      {form, strings.Repeat("=&", 500_000)},
		"a huge name":            {form, strings.Repeat("n", 900_000) + "=1"},
		"a huge value":           {form, "data=" + strings.Repeat("%5B", 300_000)},
		"broken escapes":         {form, "data=%&signed=%zz"},
		"semicolons":             {form, "data=[];signed=x"},
		"deep items":             {form, "data=" + strings.Repeat("%5B", 200_000) + "&signed=x"},
		"many items":             {form, "data=%5B" + strings.Repeat("%7B%7D,", 100_000) + "%7B%7D%5D&signed=x"},
		"many parts":             made(multipart(strings.Repeat(part(named("f"), "1"), 15_000))),
		"empty parts":            made(multipart(strings.Repeat("--b\r\n\r\n\r\n", 80_000))),
		"a part's many headers":  made(multipart(part(named("data")+strings.Repeat("\r\nX-A: b", 90_000), "[]"))),
		"a part's huge header":   made(multipart(part(named("data")+"\r\nX-A: "+strings.Repeat("x", 900_000), "[]"))),
		"a part's huge name":     made(multipart(part(named(strings.Repeat("n", 900_000)), "1"))),
		"a part that is a file":  made(multipart(part(named("data")+`; filename="../../etc/passwd"`, "[]"))),
		"parts within parts":     made(multipart(strings.Repeat(part(named("f")+"\r\nContent-Type: multipart/mixed; boundary=b", "--b\r\n\r\nx\r\n--b--"), 5_000))),
		"parts without an end":   {"multipart/form-data; boundary=b", strings.Repeat(part(named("f"), "1"), 10_000)},
		"an empty boundary":      {"multipart/form-data; boundary=\"\"", "--\r\n\r\n"},
		"a boundary too long":    {"multipart/form-data; boundary=" + strings.Repeat("b", 5_000), "x"},
		"no boundary":            {"multipart/form-data", "x"},
		"a boundary like a part": {"multipart/form-data; boundary=b", strings.Repeat("--b\r\n--b--\r\n", 80_000)},
		"encoded parts":          made(multipart(part(named("data")+"\r\nContent-Transfer-Encoding: quoted-printable", strings.Repeat("=\r\n", 200_000)))),
	}
	for _, kind := range []string{"all", "signed"} {
		for name, m := range monsters {
			c := callback{method: http.MethodPost, path: "/webhooks/esign-v1/plain/" + kind, body: m.body, header: http.Header{"Content-Type": {m.contentType}}}
			s.refuses(t, kind+": "+name+", from a stranger", c, http.StatusUnauthorized)
			c.query = "token=" + token("plain")
			if a := s.send(t, c); a.status >= 300 {
				t.Errorf("%s: %s: %d %s", kind, name, a.status, a.text)
			}
			// If its provider signs, the token alone is not enough for a form without a signature.
			if kind == "all" {
				c.path, c.query = "/webhooks/esign-v1/bodies/all", "token="+token("bodies")
				s.refuses(t, name+", unsigned", c, http.StatusUnauthorized)
			}
		}
	}
	s.accepts(t, "an honest form", esignForm("plain", "all", map[string][]string{"data": {esignSent("forms-1")}, "signed": {"x"}}))
	s.accepts(t, "an honest signed form", s.esignAll("bodies", esignSent("forms-2")))
	s.small(t)
}

// small requires that ingest uses at most 512 MiB. A server that decompresses or builds nested values needs a thousand times as much.
func (s *stand) small(t *testing.T) {
	t.Helper()
	if size := s.gauge(t, "ingest", "process_resident_memory_bytes"); size > 512*mebibyte {
		t.Errorf("ingest has %.0f bytes of memory", size)
	}
}
