package files_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/services/sandbox/party"
	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

// file returns a sandbox and the path of a file in it.
func file(t *testing.T) (sandboxtest.World, string) {
	t.Helper()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	w.Play("pleasesign", "one-signer")
	address, _ := in.Calls[len(in.Calls)-1].Fields["signed"].(string)
	return w, strings.TrimPrefix(address, w.Link(""))
}

// A page with status 200, and a PDF of 500 MB, which is made while it is served.
func TestTheFaultsOfAFile(t *testing.T) {
	t.Parallel()
	w, path := file(t)
	w.Fault(`{"target":"files","mode":"page"}`)
	page := w.Get(path)
	if sandboxtest.WantStatus(t, page, 200); !strings.HasPrefix(page.Body, "<!doctype html>") || !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") {
		t.Errorf("%+v", page)
	}
	w.Fault(`{"target":"files","mode":"large"}`)
	response, err := http.Get(w.Link(path))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if n, err := io.Copy(io.Discard, response.Body); err != nil || n != party.LargeFile || response.ContentLength != n {
		t.Errorf("%d bytes, %v", n, err)
	}
	w.Fault(`{"target":"files","mode":"503"}`)
	sandboxtest.WantStatus(t, w.Get(path), 503)
	w.Fault(`{"target":"files","mode":"cut"}`)
	if _, err := w.Try(t.Context(), "GET", path, "", nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a truncated body: %v", err)
	}
	sandboxtest.WantPDF(t, w.Get(path))
}
