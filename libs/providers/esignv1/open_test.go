package esignv1_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers/esignv1"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// No link is requested if the document's status excludes one, because each link opens only once.
func TestOpen(t *testing.T) {
	t.Parallel()
	const sign, download = pack.Sign, pack.Download
	for name, tt := range map[string]struct {
		document string
		purpose  pack.Purpose
		reason   pack.NotOpen // empty if a link is requested
	}{
		"his turn":                 {`"status":10,"signers":[["/api/v1/signer/R/","","","","",true,10,0]]`, sign, ""},
		"his turn in order":        {`"status":20,"signers_in_order":true,"signers":[["/api/v1/signer/1/","","","","",true,40,0],["/api/v1/signer/R/","","","","",true,4,1]]`, sign, ""},
		"they sign all at once":    {`"status":10,"signers_in_order":false,"signers":[["/api/v1/signer/1/","","","","",true,10,0],["/api/v1/signer/R/","","","","",true,10,1]]`, sign, ""},
		"others sign before":       {`"status":10,"signers_in_order":true,"signers":[["/api/v1/signer/1/","","","","",true,10,0],["/api/v1/signer/R/","","","","",true,4,1]]`, sign, pack.NotYet},
		"he has signed":            {`"status":10,"signers":[["/api/v1/signer/R/","","","","",true,40,0],["/api/v1/signer/2/","","","","",true,10,1]]`, sign, pack.AlreadySigned},
		"all have signed":          {`"status":30,"signers":[["/api/v1/signer/R/","","","","",true,50,0]]`, sign, pack.AlreadySigned},
		"he declined":              {`"status":10,"signers":[["/api/v1/signer/R/","","","","",true,60,0]]`, sign, pack.Ended},
		"a signer declined":        {`"status":50,"signers":[["/api/v1/signer/R/","","","","",true,10,0]]`, sign, pack.Ended},
		"removed":                  {`"status":40,"signers":[["/api/v1/signer/R/","","","","",true,10,0]]`, sign, pack.Ended},
		"forwarded to another":     {`"status":10,"signers":[["/api/v1/signer/2/","","","","",true,10,0]]`, sign, pack.Gone},
		"finished":                 {`"status":30,"signers":[["/api/v1/signer/R/","","","","",true,40,0]]`, download, ""},
		"not finished":             {`"status":20,"signers":[["/api/v1/signer/R/","","","","",true,40,0]]`, download, pack.NotYet},
		"never finished":           {`"status":50,"signers":[["/api/v1/signer/R/","","","","",true,40,0]]`, download, pack.Ended},
		"forwarded before its end": {`"status":30,"signers":[["/api/v1/signer/2/","","","","",true,40,0]]`, download, pack.Gone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := ""
			a := documentThen(t, tt.document, func(w http.ResponseWriter, r *http.Request) {
				asked = r.RequestURI
				w.Header().Set("Location", "https://sign.example/once")
				if tt.purpose == download {
					w.WriteHeader(http.StatusFound)
					return
				}
				w.WriteHeader(http.StatusCreated)
			})
			got, err := a.Open(t.Context(), pack.Link{Document: documentID, Recipient: "R", Purpose: tt.purpose})
			var not *pack.NotOpenError
			switch {
			case tt.reason != "":
				if !errors.As(err, &not) || not.Reason != tt.reason || not.In != 0 || asked != "" {
					t.Errorf("%+v, %v, requested %q; want %s", got, err, asked, tt.reason)
				}
			case err != nil || got.URL != "https://sign.example/once" || got.Body != nil:
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestNewLinks(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status         int
		location, body string
		want           string
	}{
		"created":                 {201, "https://sign.example/once", "", "https://sign.example/once"},
		"ok":                      {200, "https://sign.example/once", "", "https://sign.example/once"},
		"in the body":             {200, "", `{"url":"https://sign.example/once"}`, "https://sign.example/once"},
		"in the body, created":    {201, "", `{"url":"http://sign.example/once"}`, "http://sign.example/once"},
		"nowhere":                 {201, "", "", ""},
		"half an address":         {201, "/esign/once", "", ""},
		"without a scheme":        {201, "//sign.example/once", "", ""},
		"another scheme":          {201, "javascript:alert(1)", "", ""},
		"a redirect":              {302, "https://sign.example/once", "", ""},
		"a redirect to ourselves": {302, "/api/v1/signer/R/", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := documentThen(t, open, func(w http.ResponseWriter, r *http.Request) {
				if r.RequestURI != "/api/v1/signer/R/new-link/" {
					t.Errorf("%s was requested", r.RequestURI)
				}
				if tt.location != "" {
					w.Header().Set("Location", tt.location)
				}
				w.WriteHeader(tt.status)
				fmt.Fprint(w, tt.body)
			})
			got, err := a.Open(t.Context(), pack.Link{Document: documentID, Recipient: "R", Purpose: pack.Sign})
			var call *pack.CallError
			switch {
			case tt.want == "":
				if !errors.As(err, &call) || outcome.Of(err).Kind() != outcome.Failed {
					t.Errorf("%+v, %v", got, err)
				}
			case err != nil || got.URL != tt.want:
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

const (
	open     = `"status":10,"signers":[["/api/v1/signer/R/","","","","",true,10,0]]`
	finished = `"status":30,"signers":[["/api/v1/signer/R/","","","","",true,40,0]]`
)

var download = pack.Link{Document: documentID, Recipient: "R", Purpose: pack.Download}

func TestTheDocumentItself(t *testing.T) {
	t.Parallel()
	for mediaType, ok := range map[string]bool{
		"application/pdf": true, "application/pdf; charset=binary": true, "application/octet-stream": true,
		"text/html": false, "application/json": false, "": false, ";": false,
	} {
		a := documentThen(t, finished, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{mediaType}
			fmt.Fprint(w, "%PDF-1.4")
		})
		got, err := a.Open(t.Context(), download)
		var call *pack.CallError
		if !ok {
			if !errors.As(err, &call) || outcome.Of(err).Kind() != outcome.Failed {
				t.Errorf("%q: %+v, %v", mediaType, got, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(got.Body)
		if string(body) != "%PDF-1.4" || err != nil || got.URL != "" || got.Size != 8 || !strings.HasPrefix(mediaType, got.ContentType) {
			t.Errorf("%q: %q, %v, %+v", mediaType, body, err, got)
		}
		if err := got.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A document is passed on while it arrives, and may take longer than the response timeout.
func TestADocumentIsStreamed(t *testing.T) {
	t.Parallel()
	more := make(chan struct{})
	server := httptest.NewServer(documentHandler(finished, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.RequestURI, "hangs") {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", "application/pdf")
		fmt.Fprint(w, "%PDF")
		_ = http.NewResponseController(w).Flush()
		<-more
		fmt.Fprint(w, "-1.4")
	}))
	t.Cleanup(server.Close)
	client := server.Client()
	client.Timeout = 300 * time.Millisecond
	a := apiAt(t, server.URL, esignv1.API{}, client)
	got, err := a.Open(t.Context(), download)
	if err != nil {
		t.Fatal(err)
	}
	if got.Size != -1 {
		t.Errorf("of %d bytes", got.Size)
	}
	start := make([]byte, 4)
	if _, err := io.ReadFull(got.Body, start); err != nil || string(start) != "%PDF" {
		t.Fatalf("%q, %v", start, err)
	}
	// A later call of the same client has timed out, so the document's response timeout has elapsed too.
	if _, err := a.Document(t.Context(), "hangs"); err == nil || !strings.Contains(err.Error(), "in time") {
		t.Error(err)
	}
	close(more)
	if rest, err := io.ReadAll(got.Body); err != nil || string(rest) != "-1.4" {
		t.Errorf("%q, %v", rest, err)
	}
	_ = got.Body.Close()
}

// A reader may stop before the document's end.
func TestADocumentEndsWithItsReader(t *testing.T) {
	t.Parallel()
	left := make(chan struct{})
	a := documentThen(t, finished, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/pdf")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(left)
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got, err := a.Open(ctx, download)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(got.Body); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	_ = got.Body.Close()
	<-left
}

func TestADocumentBehindARedirect(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the client followed the redirect itself") }))
	t.Cleanup(elsewhere.Close)
	for location, want := range map[string]string{
		elsewhere.URL + "/short-lived?x=1": elsewhere.URL + "/short-lived?x=1",
		"/here":                            "",
		"":                                 "",
		"file:///etc/passwd":               "",
	} {
		a := documentThen(t, finished, func(w http.ResponseWriter, r *http.Request) {
			if r.RequestURI != "/api/v1/pdf/"+documentID+"/" {
				t.Errorf("%s was requested", r.RequestURI)
			}
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusFound)
		})
		got, err := a.Open(t.Context(), download)
		var call *pack.CallError
		switch {
		case want == "":
			if !errors.As(err, &call) || outcome.Of(err).Kind() != outcome.Failed {
				t.Errorf("%q: %+v, %v", location, got, err)
			}
		case err != nil || got.URL != want || got.Body != nil:
			t.Errorf("%q: %+v, %v", location, got, err)
		}
	}
}

func TestADocumentInTheArchive(t *testing.T) {
	t.Parallel()
	a := documentThen(t, finished, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	got, err := a.Open(t.Context(), download)
	var not *pack.NotOpenError
	if !errors.As(err, &not) || not.Reason != pack.NotYet || not.In != 4*time.Hour {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestASignerIDWithAPathTraversal(t *testing.T) {
	t.Parallel()
	a := documentThen(t, `"status":10,"signer_objects":[{"uuid":"../group","status":10}]`, func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s was requested", r.RequestURI)
	})
	var call *pack.CallError
	if _, err := a.Open(t.Context(), pack.Link{Document: documentID, Recipient: "../group", Purpose: pack.Sign}); !errors.As(err, &call) || outcome.Of(err).Kind() != outcome.GaveUp {
		t.Error(err)
	}
}

func documentThen(t *testing.T, document string, then http.HandlerFunc) pack.API {
	t.Helper()
	return apiOf(t, esignv1.API{}, documentHandler(document, then))
}

func documentHandler(document string, then http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI == "/api/v1/document/"+documentID+"/" {
			fmt.Fprint(w, "{"+document+"}")
			return
		}
		then(w, r)
	}
}
