package clickwrap_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers/clickwrap"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

const requestID = "596f858584281715b3493d0c"

func TestTheCall(t *testing.T) {
	t.Parallel()
	for _, under := range []string{"", "/", "/v1.1", "/v1.1/"} {
		var got *http.Request
		a := apiOf(t, under, func(w http.ResponseWriter, r *http.Request) {
			got = r
			fmt.Fprint(w, `{"signers":[]}`)
		})
		if _, err := a.Document(t.Context(), "a/b?c"); err != nil {
			t.Fatal(err)
		}
		if got.Method != http.MethodGet || got.URL.EscapedPath() != "/v1.1/requests/a%2Fb%3Fc" || got.URL.RawQuery != "" {
			t.Errorf("base %q: %s %s", under, got.Method, got.URL)
		}
		if auth := got.Header.Get("Authorization"); auth != "Bearer api-token" {
			t.Errorf("Authorization: %s", auth)
		}
	}
}

func TestAnswersOfEveryShape(t *testing.T) {
	t.Parallel()
	eric := pack.Recipient{
		ID: "S1", FirstName: "Eric", LastName: "Smith", Email: "eric@example.com", Mobile: "+13175551234", ByEmail: true, BySMS: true,
		SigningURL: "https://sign.example/1", DownloadURL: "https://sign.example/1",
	}
	const seed = `{"send_to":{"email":true,"mobile_number":true},"signer":{"email":"eric@example.com","mobile_number":"+13175551234"},"request_url":"https://sign.example/1"`
	seeded := eric
	seeded.ID, seeded.FirstName, seeded.LastName = "", "", ""

	for name, tt := range map[string]struct {
		body string
		want pack.Document
	}{
		"as the guide prints it": {
			`{"signers":[` + seed + `}]}`,
			pack.Document{Recipients: []pack.Recipient{seeded}},
		},
		"in data, with a name and created as the reference says": {
			`{"data":{"name":"PS Employment Agreement","signers":[{"signer_id":"S1","signer":{"email":"eric@example.com","mobile_number":"+13175551234",
			  "additional_attributes":{"first_name":"Eric","last_name":"Smith"}},"send_to":{"email":true,"mobile_number":true},"request_url":"https://sign.example/1"}]}}`,
			pack.Document{Title: "PS Employment Agreement", Recipients: []pack.Recipient{eric}},
		},
		"other spellings": {
			`{"title":"T","signers":[{"signer":{"_id":"S1","name":"Eric Smith","email":"eric@example.com","mobile_number":"+13175551234"},
			  "send_to":{"email":"true","mobile_number":1},"request_url":"https://sign.example/1","data":null}]}`,
			pack.Document{Title: "T", Recipients: []pack.Recipient{eric}},
		},
		"the person beside the signer's id": {
			`{"subject":"S","name":null,"signers":[{"signer":"S1","first_name":"Eric","last_name":"Smith","email":"eric@example.com",
			  "mobile_number":"+13175551234","send_to":{"email":true,"mobile_number":true},"request_url":"https://sign.example/1"}]}`,
			pack.Document{Title: "S", Recipients: []pack.Recipient{eric}},
		},
		"numbers for ids, and in order": {
			`{"signers":[{"id":2,"order":2},{"id":10,"order":"10"},{"id":1,"order":1},{"id":0.5}]}`,
			pack.Document{Recipients: []pack.Recipient{{ID: "0.5"}, {ID: "1"}, {ID: "2"}, {ID: "10"}}},
		},
		"who has signed": {
			`{"signers":[{"id":"1","status":"Signed"},{"id":"2","status":"complete"},{"id":"3","signed_time":"2017-07-19T16:15:43Z"},{"id":"4","signed_at":1500480943},
			  {"id":"5","signed":true},{"id":"6","status":"sent","signed":false,"signed_time":null},{"id":"7","signed_at":""}]}`,
			pack.Document{Recipients: []pack.Recipient{
				{ID: "1", Signed: true}, {ID: "2", Signed: true}, {ID: "3", Signed: true}, {ID: "4", Signed: true}, {ID: "5", Signed: true}, {ID: "6"}, {ID: "7"},
			}},
		},
		"where to download": {
			`{"pdf_url":"https://pdf.example/all","signers":[{"id":"1","request_url":"https://sign.example/1"},{"id":"2","download_url":"https://pdf.example/2","request_url":"https://sign.example/2"}]}`,
			pack.Document{Recipients: []pack.Recipient{
				{ID: "1", SigningURL: "https://sign.example/1", DownloadURL: "https://pdf.example/all"},
				{ID: "2", SigningURL: "https://sign.example/2", DownloadURL: "https://pdf.example/2"},
			}},
		},
		"no word of channels": {
			`{"signers":[{"id":"1","email":"a@example.com","mobile_number":"1"},{"id":"2","mobile_number":"1"},{"id":"3"},{"id":"4","email":"a@example.com","send_to":{}}]}`,
			pack.Document{Recipients: []pack.Recipient{
				{ID: "1", Email: "a@example.com", Mobile: "1", ByEmail: true}, {ID: "2", Mobile: "1", BySMS: true}, {ID: "3"}, {ID: "4", Email: "a@example.com"},
			}},
		},
		"nobody": {`{"signers":[]}`, pack.Document{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := apiOf(t, "", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, tt.body) })
			got, err := a.Document(t.Context(), requestID)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.ID = requestID
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	inAMinute := func() string { return time.Now().Add(time.Minute + 500*time.Millisecond).UTC().Format(http.TimeFormat) }
	for status, tt := range map[int]struct {
		retryAfter string
		wait       time.Duration
		then       pack.Then
	}{
		400: {then: pack.GiveUp},
		401: {then: pack.Stop},
		403: {then: pack.Stop},
		404: {},
		410: {then: pack.GiveUp},
		422: {then: pack.GiveUp},
		429: {retryAfter: "7", wait: 7 * time.Second},
		500: {},
		502: {retryAfter: "soon"},
		503: {retryAfter: inAMinute(), wait: time.Minute},
		504: {retryAfter: "-5"},
		204: {},
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			a := apiOf(t, "", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", tt.retryAfter)
				w.WriteHeader(status)
				if status != http.StatusNoContent {
					fmt.Fprint(w, `{"error":{"message":"no eric@example.com here"}}`)
				}
			})
			call := wantCallError(t.Context(), t, a)
			if call.Status != status || call.Then != tt.then || call.RetryAfter.Round(10*time.Second) != tt.wait.Round(10*time.Second) {
				t.Errorf("status %d, then %v, after %v", call.Status, call.Then, call.RetryAfter)
			}
		})
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"empty":             "",
		"a page":            "<html>eric@example.com</html>",
		"a list":            "[]",
		"null":              "null",
		"no signers":        `{"id":"596f858584281715b3493d0c"}`,
		"data of no object": `{"data":"eric@example.com"}`,
		"signers no list":   `{"signers":{"email":"eric@example.com"}}`,
		"cut off":           `{"signers":[{"email":"eric@exa`,
		"over 1 MiB":        `{"signers":[],"padding":"` + strings.Repeat("x", 1<<20) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := apiOf(t, "", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
			if call := wantCallError(t.Context(), t, a); call.Then == pack.GiveUp || call.Err == nil {
				t.Errorf("%+v", call)
			}
		})
	}
}

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	t.Run("hangs", func(t *testing.T) {
		t.Parallel()
		arrived := make(chan struct{})
		a := apiOf(t, "", func(_ http.ResponseWriter, r *http.Request) {
			close(arrived)
			<-r.Context().Done()
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-arrived
			cancel()
		}()
		if call := wantCallError(ctx, t, a); call.Then == pack.GiveUp || !errors.Is(call, context.Canceled) {
			t.Errorf("%+v", call)
		}
	})
	t.Run("hangs in the middle", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		a := apiOf(t, "", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, `{"signers":[`)
			_ = http.NewResponseController(w).Flush()
			cancel()
			<-r.Context().Done()
		})
		if call := wantCallError(ctx, t, a); call.Then == pack.GiveUp || !errors.Is(call, context.Canceled) {
			t.Errorf("%+v", call)
		}
	})
	t.Run("hangs up", func(t *testing.T) {
		t.Parallel()
		a := apiOf(t, "", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		if call := wantCallError(t.Context(), t, a); call.Then == pack.GiveUp || call.Status != 0 {
			t.Errorf("%+v", call)
		}
	})
	t.Run("is not there", func(t *testing.T) {
		t.Parallel()
		gone := httptest.NewServer(nil)
		gone.Close()
		if call := wantCallError(t.Context(), t, newAPI(t, gone.URL, gone.Client())); call.Then == pack.GiveUp || call.Status != 0 {
			t.Errorf("%+v", call)
		}
	})
	t.Run("an id that walks", func(t *testing.T) {
		t.Parallel()
		a := apiOf(t, "", func(http.ResponseWriter, *http.Request) { t.Error("was called") })
		for _, id := range []string{"", ".", ".."} {
			var call *pack.CallError
			if _, err := a.Document(t.Context(), id); !errors.As(err, &call) || call.Then != pack.GiveUp {
				t.Errorf("%q: %v", id, err)
			}
		}
	})
}

func TestTheTokenStaysOnItsHost(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was called") }))
	t.Cleanup(elsewhere.Close)
	a := apiOf(t, "", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	if call := wantCallError(t.Context(), t, a); call.Status != http.StatusTemporaryRedirect || call.Then == pack.GiveUp {
		t.Errorf("%+v", call)
	}

	a = apiOf(t, "", func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/here") {
			http.Redirect(w, r, r.URL.Path+"/here", http.StatusTemporaryRedirect)
			return
		}
		fmt.Fprint(w, `{"signers":[]}`)
	})
	if _, err := a.Document(t.Context(), requestID); err != nil {
		t.Error("control: on its own host:", err)
	}
}

func TestSettingsThatCannotCall(t *testing.T) {
	t.Parallel()
	for key, settings := range map[string]config.API{
		"api.token":    {},
		"api.base_url": {Token: "api-token", BaseURL: "api.example"},
	} {
		_, err := clickwrap.Pack.API(config.Source{API: settings}, http.DefaultClient)
		if err == nil || !strings.Contains(err.Error(), key) || strings.Contains(err.Error(), "api.example") {
			t.Errorf("%s: %v", key, err)
		}
	}
	if _, err := clickwrap.Pack.API(config.Source{API: config.API{Token: "api-token"}}, http.DefaultClient); err != nil {
		t.Error("control:", err)
	}
}

func apiOf(t *testing.T, under string, h http.HandlerFunc) pack.API {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return newAPI(t, server.URL+under, server.Client())
}

func newAPI(t *testing.T, base string, client *http.Client) pack.API {
	t.Helper()
	a, err := clickwrap.Pack.API(config.Source{Name: "demo", API: config.API{BaseURL: base, Token: "api-token"}}, client)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// wantCallError calls, and looks for anything in the error's text that must not be in a log.
func wantCallError(ctx context.Context, t *testing.T, a pack.API) *pack.CallError {
	t.Helper()
	d, err := a.Document(ctx, requestID)
	var call *pack.CallError
	if !errors.As(err, &call) {
		t.Fatalf("%v, %v", d, err)
	}
	for _, secret := range []string{requestID, "api-token", "eric", "127.0.0.1", "http:"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q is in %q", secret, err)
		}
	}
	return call
}
