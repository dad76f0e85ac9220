package pack_test

import (
	"net/http"
	"net/url"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

func TestReadSample(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{
		"post.http": {Data: []byte("# From the guide,\n# page 2.\nPOST /webhooks/esign-v1/demo/all?token=demo HTTP/1.1\r\nContent-Type: text/plain\nx-a: 1:2\nX-A:3\n\nline one\n\nline two\r\n")},
		"get.http":  {Data: []byte("GET /webhooks/clickwrap/demo?a=1&a=%262\n\n")},
		"no.http":   {Data: []byte("# nothing else\n")},
		"path.http": {Data: []byte("POST /hooks/clickwrap HTTP/1.1\n\n")},
		"head.http": {Data: []byte("POST /webhooks/clickwrap/demo HTTP/1.1\nno header\n\n")},
	}
	for name, want := range map[string]pack.Sample{
		"post": {Name: "post", About: "From the guide,\npage 2.\n", Request: pack.Request{
			Method: http.MethodPost,
			Route:  "/all",
			Header: http.Header{"Content-Type": {"text/plain"}, "X-A": {"1:2", "3"}},
			Query:  url.Values{"token": {"demo"}},
			Body:   []byte("line one\n\nline two"),
		}},
		"get": {Name: "get", Request: pack.Request{
			Method: http.MethodGet, Header: http.Header{}, Query: url.Values{"a": {"1", "&2"}}, Body: []byte{},
		}},
	} {
		got, err := pack.ReadSample(files, name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for _, name := range []string{"no", "path", "head", "absent"} {
		if got, err := pack.ReadSample(files, name); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
