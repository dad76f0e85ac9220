package archiver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	archivesettings "github.com/signrelay/signrelay/services/archiver/settings"
)

// pdf returns a small file that a PDF reader would accept as the beginning and the end of one.
func pdf(text string) []byte { return []byte("%PDF-1.4\n% " + text + "\n%%EOF\n") }

func hashOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// world is the providers and the servers of their files. Each address has a handler, which a test may replace.
type world struct {
	*httptest.Server

	mu       sync.Mutex
	handlers map[string]http.HandlerFunc // by path
	calls    map[string]int
	leaked   []string // paths of files that were requested with credentials
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{handlers: map[string]http.HandlerFunc{}, calls: map[string]int{}}
	w.Server = httptest.NewServer(w)
	t.Cleanup(w.Close)
	return w
}

// secretHeaders are the headers that must stay at the provider's API.
var secretHeaders = []string{"Authorization", "X-Pleasesign-Key", "X-Pleasesign-Secret", "Cookie", "Referer"}

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.calls[r.URL.Path]++
	h := w.handlers[r.URL.Path]
	if strings.HasPrefix(r.URL.Path, "/file/") && slices.ContainsFunc(secretHeaders, func(name string) bool { return r.Header.Get(name) != "" }) {
		w.leaked = append(w.leaked, r.URL.Path)
	}
	w.mu.Unlock()
	if h == nil {
		http.NotFound(rw, r)
		return
	}
	h(rw, r)
}

func (w *world) on(path string, h http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handlers[path] = h
}

func (w *world) called(path string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[path]
}

// total returns the number of all calls.
func (w *world) total() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, c := range w.calls {
		n += c
	}
	return n
}

func body(status int, contentType string, content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write(content)
	}
}

// file serves a PDF.
func file(content []byte) http.HandlerFunc { return body(200, "application/pdf", content) }

// json serves a response of an API.
func (w *world) json(format string) http.HandlerFunc {
	return body(200, "application/json", []byte(strings.ReplaceAll(format, "HOST", w.URL)))
}

// document is the one document of the tests.
const document = "PLSDOC1"

// pleasesign makes the API of PleaseSign with two files.
func (w *world) pleasesign() {
	w.on("/document/"+document, w.json(`{"id":"PLSDOC1","title":"Lease","status":"complete","recipients":[]}`))
	w.on("/document/"+document+"/original", w.json(`{"url":"HOST/file/rest-original"}`))
	w.on("/document/"+document+"/master", w.json(`{"url":"HOST/file/rest-signed"}`))
	w.on("/file/rest-original", file(pdf("original")))
	w.on("/file/rest-signed", file(pdf("signed")))
}

// harness is the service with a real server, a folder as its archive, and a clock that the test moves.
type harness struct {
	*servicetest.Bench

	t      *testing.T
	world  *world
	folder string
	ahead  atomic.Int64 // of the machine's clock
}

// options of a harness.
type options struct {
	settings func(*archivesettings.Archive)
	fetcher  func(*fetcher)
}

func start(t *testing.T, o options) *harness {
	t.Helper()
	w := newWorld(t)
	w.pleasesign()
	cfg := config.Config{Sources: []config.Source{
		providers.NewSource("pleasesign", "acme", "webhook.secrets=test", "api.base_url="+w.URL, "api.key=the-key", "api.secret=the-secret", "api.per_minute=60000"),
		providers.NewSource("esign-v1", "acme", "webhook.token=demo", "api.base_url="+w.URL, "api.user=me", "api.secret=the-secret", "api.per_minute=60000"),
		providers.NewSource("clickwrap", "acme", "webhook.secrets=12345", "api.base_url="+w.URL, "api.token=the-secret"),
		providers.NewSource("clickwrap", "no-api", "webhook.secrets=12345"),
	}}
	h := &harness{t: t, world: w, folder: t.TempDir()}
	settings := archivesettings.Section.In(&cfg)
	*settings = archivesettings.Archive{URL: "file://" + filepath.ToSlash(h.folder), MaxMegabytes: 1, RetryFor: 720 * time.Hour}
	if o.settings != nil {
		o.settings(settings)
	}
	h.Bench = servicetest.New(t, cfg)
	sources, err := providers.Open(cfg.Sources, providers.ForFiles, h.Env.Limits, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.NeverLogged("the-secret", "/file/", "127.0.0.1") })
	h.Start(func(ctx context.Context, env service.Env) error {
		env.Now = h.now
		return run(ctx, env, func() providers.Sources { return sources }, servicetest.RetrySoon, o.fetcher)
	})
	return h
}

func (h *harness) now() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }

// complete stores the completion of the document, with the callback's links.
func (h *harness) complete(provider string, links ...*signingv1.Link) *signingv1.SigningEvent {
	h.t.Helper()
	e := &signingv1.SigningEvent{
		Source: "acme", Provider: provider, Type: event.DocumentCompleted, OccurredAt: timestamppb.New(h.now()), ReceivedAt: timestamppb.New(h.now()),
		Verification: signingv1.Verification_VERIFICATION_HMAC, Document: &signingv1.Document{Id: document, Title: "Lease of Eric Smith"}, Links: links,
		Recipient: &signingv1.Recipient{Email: "eric.smith@example.com"},
	}
	e.Id = event.TransitionID(e, h.now().String())
	h.Publish(event.Message(h.t.Context(), e))
	return e
}

// links returns the callback's links to files of these kinds.
func (h *harness) links(kinds ...string) []*signingv1.Link {
	var all []*signingv1.Link
	for _, kind := range kinds {
		all = append(all, &signingv1.Link{Kind: kind, Url: h.world.URL + "/file/link-" + kind})
	}
	return all
}

// archived waits for count events document.archived.
func (h *harness) archived(count int) []*signingv1.SigningEvent {
	h.t.Helper()
	var all []*signingv1.SigningEvent
	for _, m := range h.Await(flow.Signing, event.TypeFilter(event.DocumentArchived), count) {
		e, err := event.Decode(m.Data())
		if err != nil {
			h.t.Fatal(err)
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *signingv1.SigningEvent) int {
		return strings.Compare(a.GetFile().GetKey(), b.GetFile().GetKey())
	})
	return all
}

// waits waits for the schedule after an attempt, and returns the delay until the next one, in whole minutes.
func (h *harness) waits(attempt int) (minutes int) {
	h.t.Helper()
	return int(h.schedule(attempt).due.Sub(h.now()).Round(time.Minute).Minutes())
}

type schedule struct {
	due time.Time
	of  *jetstream.RawStreamMsg
}

func (h *harness) schedule(attempt int) schedule {
	h.t.Helper()
	stream, err := h.Env.JS.Stream(h.t.Context(), flow.Archive)
	if err != nil {
		h.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		m, err := stream.GetLastMsgForSubject(h.t.Context(), flow.ArchivesOf("*", "*", document))
		if err == nil && m.Header.Get(headerAttempt) == strconv.Itoa(attempt) {
			due, ok := flow.ScheduledAt(m.Header)
			if !ok {
				h.t.Fatal("the waiting document has no time")
			}
			return schedule{due, m}
		}
		select {
		case <-h.t.Context().Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	h.t.Fatalf("no schedule after attempt %d\nlog:\n%s", attempt, h.Logged)
	return schedule{}
}

// passes moves the clock to the time of the schedule, and publishes the document as the server does then.
func (h *harness) passes(attempt int) {
	h.t.Helper()
	s := h.schedule(attempt)
	h.ahead.Add(int64(max(0, s.due.Sub(h.now()))) + int64(time.Second))
	consumer, err := h.Env.JS.OrderedConsumer(h.t.Context(), flow.Archive, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: s.of.Sequence})
	if err != nil {
		h.t.Fatal(err)
	}
	m, err := consumer.Next()
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.Env.JS.PublishMsg(h.t.Context(), flow.DueMessage(m)); err != nil {
		h.t.Fatal(err)
	}
}

// dead waits for the dead letter of a stage, and returns its reason.
func (h *harness) dead(stage string) string {
	h.t.Helper()
	m := h.Await(flow.DLQ, flow.StageNamed(stage).DeadSubject(), 1)[0]
	return m.Headers().Get("Signrelay-Dlq-Reason")
}

// inFolder returns the keys of all files in the archive's folder, with their contents.
func (h *harness) inFolder() map[string][]byte {
	h.t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(h.folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		key, _ := filepath.Rel(h.folder, path)
		all[filepath.ToSlash(key)] = content
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

func key(provider, kind string, content []byte) string {
	return "acme/" + provider + "/" + document + "/" + kind + "-" + hashOf(content) + ".pdf"
}

func TestTheFilesOfACallbackAreArchivedWithoutACall(t *testing.T) {
	t.Parallel()
	h := start(t, options{})
	for _, kind := range []string{"original", "signed", "certificate"} {
		h.world.on("/file/link-"+kind, file(pdf("the "+kind)))
	}
	completed := h.complete("pleasesign", h.links("original", "signed", "certificate")...)
	events := h.archived(3)
	var kinds []string
	for _, e := range events {
		kinds = append(kinds, e.GetFile().GetKind())
		content := pdf("the " + e.GetFile().GetKind())
		want := key("pleasesign", e.GetFile().GetKind(), content)
		if f := e.GetFile(); f.GetKey() != want || f.GetSha256() != hashOf(content) || f.GetSize() != uint64(len(content)) {
			t.Errorf("the event has %v, want %s", f, want)
		}
		if !bytes.Equal(h.inFolder()[want], content) {
			t.Errorf("%s is not in the archive", want)
		}
		if e.GetDocument().GetTitle() != "" || e.GetRecipient() != nil || e.GetAttributes()["cause"] != completed.GetId() || time.Since(e.GetOccurredAt().AsTime()) > time.Minute {
			t.Errorf("the event is %v", e)
		}
	}
	if want := []string{"certificate", "original", "signed"}; !slices.Equal(kinds, want) || len(h.inFolder()) != 3 {
		t.Errorf("archived are %q, and the folder has %d files", kinds, len(h.inFolder()))
	}
	if n := h.world.called("/document/" + document); n != 0 {
		t.Errorf("the API was called %d times, although the callback has the addresses", n)
	}
	if info, err := os.Stat(filepath.Join(h.folder, "acme")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("other users may read the archive: %v, %v", info, err)
	}
}

// The links of a callback work for 72 hours. After that the API returns new addresses.
func TestADeadLinkIsReplacedOverTheAPI(t *testing.T) {
	t.Parallel()
	h := start(t, options{})
	for _, kind := range []string{"original", "signed", "certificate"} {
		h.world.on("/file/link-"+kind, body(403, "application/xml", []byte("<Error><Code>AccessDenied</Code></Error>")))
	}
	h.complete("pleasesign", h.links("original", "signed", "certificate")...)
	for _, e := range h.archived(2) {
		if want := hashOf(pdf(e.GetFile().GetKind())); e.GetFile().GetSha256() != want {
			t.Errorf("%v has not the hash of the API's file, %s", e.GetFile(), want)
		}
	}
	// The certificate has no other address. It is given up after a day, and the others are not requested again.
	before := h.world.called("/file/rest-signed")
	for attempt := 1; h.Count(flow.DLQ, flow.StageNamed(flow.ArchiverDue).DeadSubject()) == 0; attempt++ {
		if attempt > 40 {
			t.Fatalf("the certificate was not given up\nlog:\n%s", h.Logged)
		}
		h.passes(attempt)
		h.Settled(flow.ArchiverDue)
	}
	if reason := h.dead(flow.ArchiverDue); reason != deadLink {
		t.Errorf("the dead letter's reason is %q", reason)
	}
	if since := time.Duration(h.ahead.Load()); since < goneAfter || since > goneAfter+2*maxDelay {
		t.Errorf("it was given up after %v", since)
	}
	if h.world.called("/file/rest-signed") != before || h.Count(flow.Signing, event.TypeFilter(event.DocumentArchived)) != 2 {
		t.Error("an archived file was requested again")
	}
}

func (w *world) esign(pdf http.HandlerFunc) {
	w.on("/api/v1/document/"+document+"/", w.json(`{"uuid":"PLSDOC1","name":"Lease","status":30,"group":"/api/v1/group/g/","signers":[],"signer_objects":[]}`))
	w.on("/api/v1/pdf/"+document+"/", pdf)
}

// The provider needs four hours to fetch an old document: status 201, and nothing else.
func TestAnArchivedDocumentIsRequestedAgainAfterFourHours(t *testing.T) {
	t.Parallel()
	h := start(t, options{})
	h.world.esign(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201) })
	h.complete("esign-v1")
	if minutes := h.waits(1); minutes != 240 {
		t.Errorf("the next attempt is in %d minutes, want 240", minutes)
	}
	h.world.esign(file(pdf("restored")))
	h.passes(1)
	if f := h.archived(1)[0].GetFile(); f.GetSha256() != hashOf(pdf("restored")) || f.GetKind() != "signed" {
		t.Errorf("archived is %v", f)
	}
	if n := h.world.called("/api/v1/pdf/" + document + "/"); n != 2 {
		t.Errorf("the file was requested %d times, want 2", n)
	}
}

func TestARedirectToAnotherHostIsFollowedWithoutCredentials(t *testing.T) {
	t.Parallel()
	h := start(t, options{})
	other := newWorld(t)
	address := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	h.world.esign(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			t.Error("the API was called without credentials")
		}
		http.Redirect(w, r, address+"/file/first?X-Amz-Signature=abc", http.StatusFound)
	})
	other.on("/file/first", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, h.world.URL+"/file/second", http.StatusFound)
	})
	h.world.on("/file/second", file(pdf("elsewhere")))
	h.complete("esign-v1")
	if f := h.archived(1)[0].GetFile(); f.GetSha256() != hashOf(pdf("elsewhere")) {
		t.Errorf("archived is %v", f)
	}
	if other.called("/file/first") != 1 || len(other.leaked)+len(h.world.leaked) > 0 {
		t.Errorf("the other host was called %d times; with credentials: %q %q", other.called("/file/first"), other.leaked, h.world.leaked)
	}
}

// Clickwrap's response has the address of the file, or has it later.
func TestClickwrapsFileIsAtTheAddressOfItsAPI(t *testing.T) {
	t.Parallel()
	h := start(t, options{})
	request := "/v1.1/requests/" + document
	h.world.on(request, h.world.json(`{"name":"Lease","signers":[{"signer_id":"s","request_url":"HOST/sign/s"}]}`))
	h.complete("clickwrap")
	if minutes := h.waits(1); minutes != 1 {
		t.Errorf("the next attempt is in %d minutes, want 1", minutes)
	}
	h.world.on(request, h.world.json(`{"data":{"name":"Lease","pdf_url":"HOST/file/clickwrap","signers":[{"signer_id":"s","request_url":"HOST/sign/s"}]}}`))
	h.world.on("/file/clickwrap", body(200, "binary/octet-stream", pdf("clickwrap")))
	h.passes(1)
	if f := h.archived(1)[0].GetFile(); f.GetKey() != key("clickwrap", "signed", pdf("clickwrap")) {
		t.Errorf("archived is %v", f)
	}
}

// hijacked writes a raw response and closes the connection.
func hijacked(raw string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = conn.Write([]byte(raw))
		_ = conn.Close()
	}
}

const whole = "%PDF-1.4\n%%EOF\n"

// No bad response becomes a file of the archive, and each is tried again.
func TestABadResponseIsNotArchived(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		bad    http.HandlerFunc
		reason string
		after  int // minutes
	}{
		"truncated":                  {hijacked("HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\nContent-Length: 1000\r\n\r\n" + whole), truncated, 1},
		"truncated in a chunk":       {hijacked("HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n" + whole + "\r\n"), truncated, 1},
		"truncated without a length": {hijacked("HTTP/1.0 200 OK\r\nContent-Type: application/pdf\r\n\r\n%PDF-1.4\nhalf of it"), truncated, 1},
		"empty":                      {file(nil), truncated, 1},
		"a page in HTML":             {body(200, "text/html; charset=utf-8", []byte("<!doctype html><p>%PDF-")), notPDF, 1},
		"a page that says it is one": {body(200, "application/pdf", []byte("<!doctype html><p>Log in")), notPDF, 1},
		"status 500":                 {body(500, "text/plain", []byte("oops")), refused, 1},
		"status 503 with Retry-After": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7200")
			w.WriteHeader(503)
		}, refused, 120},
		"no response":               {hijacked(""), noResponse, 1},
		"a redirect without an end": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, forbidden, 1},
		"another scheme": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, forbidden, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, options{})
			h.world.esign(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, h.world.URL+"/file/pdf", http.StatusFound)
			})
			h.world.on("/file/pdf", row.bad)
			h.complete("esign-v1")
			if minutes := h.waits(1); minutes != row.after {
				t.Errorf("the next attempt is in %d minutes, want %d", minutes, row.after)
			}
			if logged := h.Logged.String(); !strings.Contains(logged, `"reasons":"`+row.reason+`"`) {
				t.Errorf("the log does not name the reason %s:\n%s", row.reason, logged)
			}
			if files := h.inFolder(); len(files) != 0 {
				t.Errorf("the archive has %v", files)
			}
			h.world.on("/file/pdf", file(pdf("good")))
			h.passes(1)
			if f := h.archived(1)[0].GetFile(); f.GetSha256() != hashOf(pdf("good")) {
				t.Errorf("archived is %v", f)
			}
		})
	}
}

// The control of the row "truncated without a length": a whole PDF in such a response.
func TestAPDFWithoutALengthIsArchived(t *testing.T) {
	t.Parallel()
	h := start(t, options{})
	h.world.esign(hijacked("HTTP/1.0 200 OK\r\nContent-Type: application/pdf\r\n\r\n" + whole))
	h.complete("esign-v1")
	if f := h.archived(1)[0].GetFile(); f.GetSha256() != hashOf([]byte(whole)) {
		t.Errorf("archived is %v", f)
	}
}

// A file over the limit is a dead letter at once: only the operator can raise the limit, and then replays it.
func TestAFileOverTheLimitIsADeadLetter(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"by its length": file(append(pdf("large"), make([]byte, 1_000_000)...)),
		"by its own content": func(w http.ResponseWriter, _ *http.Request) { // without a length
			w.Header().Set("Content-Type", "application/pdf")
			_, _ = w.Write(pdf("large"))
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write(make([]byte, 1_000_000))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			world := start(t, options{})
			world.world.esign(h)
			world.complete("esign-v1")
			if reason := world.dead(flow.Archiver); reason != tooLarge {
				t.Errorf("the reason is %q", reason)
			}
			if files := world.inFolder(); len(files) != 0 {
				t.Errorf("the archive has %d files", len(files))
			}
		})
	}
}

// A redelivered or replayed completion finds in the log what is archived, and calls nobody.
func TestARedeliveryFetchesNothing(t *testing.T) {
	t.Parallel()
	h := start(t, options{})
	e := h.complete("pleasesign")
	h.archived(2)
	calls := h.world.total()
	m, err := event.Message(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	m.Header.Del("Nats-Msg-Id")
	h.Publish(m, nil)
	h.Settled(flow.Archiver)
	if n := h.Count(flow.Signing, event.TypeFilter(event.DocumentArchived)); n != 2 || h.world.total() != calls {
		t.Errorf("%d events, and %d calls after the redelivery", n, h.world.total()-calls)
	}
}

// A document that was sent again is completed again, with other files. The first ones stay.
func TestASecondCompletionIsArchivedBesideTheFirst(t *testing.T) {
	t.Parallel()
	h := start(t, options{})
	h.complete("pleasesign")
	h.archived(2)
	h.world.on("/file/rest-signed", file(pdf("signed again")))
	h.ahead.Add(int64(time.Hour))
	h.complete("pleasesign")
	events := h.archived(4)
	files := h.inFolder()
	for _, content := range [][]byte{pdf("original"), pdf("signed"), pdf("signed again")} {
		if !slices.ContainsFunc(events, func(e *signingv1.SigningEvent) bool { return e.GetFile().GetSha256() == hashOf(content) }) {
			t.Errorf("no event for %s", content)
		}
	}
	if len(files) != 3 { // both originals are the same
		t.Errorf("the archive has %d files, want 3", len(files))
	}
}

// An object whose content does not belong to its key is neither overwritten nor reported as archived.
func TestADamagedObjectIsNotOverwritten(t *testing.T) {
	t.Parallel()
	h := start(t, options{})
	h.world.esign(file(pdf("good")))
	path := filepath.Join(h.folder, filepath.FromSlash(key("esign-v1", "signed", pdf("good"))))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.complete("esign-v1")
	h.waits(1)
	if content, _ := os.ReadFile(path); string(content) != "damaged" || !strings.Contains(h.Logged.String(), damaged) {
		t.Errorf("the object is %q\nlog:\n%s", content, h.Logged)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	h.passes(1)
	h.archived(1)
}

// The kernel itself reports that the disk is full.
func TestAFullDiskIsTriedAgain(t *testing.T) {
	t.Parallel()
	var full atomic.Bool
	full.Store(true)
	h := start(t, options{fetcher: func(f *fetcher) {
		usual := f.temporary
		f.temporary = func() (*os.File, error) {
			if full.Load() {
				return os.OpenFile("/dev/full", os.O_RDWR, 0)
			}
			return usual()
		}
	}})
	h.world.esign(file(pdf("good")))
	h.complete("esign-v1")
	if h.waits(1); !strings.Contains(h.Logged.String(), diskFull) {
		t.Errorf("the log does not name the reason:\n%s", h.Logged)
	}
	full.Store(false)
	h.passes(1)
	h.archived(1)
}

// A callback that was not authenticated is checked at the API, whose word counts. A forged one is no dead letter.
func TestAForgedCompletionIsDropped(t *testing.T) {
	t.Parallel()
	h := start(t, options{})
	h.world.on("/api/v1/document/"+document+"/", h.world.json(`{"uuid":"PLSDOC1","name":"Lease","status":10,"group":"/api/v1/group/g/","signers":[],"signer_objects":[]}`))
	e := &signingv1.SigningEvent{
		Id: "forged", Source: "acme", Provider: "esign-v1", Type: event.DocumentCompleted, ReceivedAt: timestamppb.New(h.now()),
		Verification: signingv1.Verification_VERIFICATION_NONE, Document: &signingv1.Document{Id: document},
	}
	h.Publish(event.Message(t.Context(), e))
	h.waits(1)
	h.ahead.Add(int64(unconfirmedFor))
	h.passes(1)
	h.Settled(flow.ArchiverDue)
	if h.Count(flow.DLQ, ">") != 0 || h.world.called("/api/v1/pdf/"+document+"/") != 0 {
		t.Error("the forged completion is a dead letter, or its file was requested")
	}
}

// A provider that is away for longer than the setting leaves a dead letter, which a replay begins again.
func TestAFileIsGivenUpAfterItsTime(t *testing.T) {
	t.Parallel()
	h := start(t, options{})
	h.world.esign(body(500, "text/plain", nil))
	h.complete("esign-v1")
	var delays []int
	for attempt := 1; attempt <= 8; attempt++ {
		delays = append(delays, h.waits(attempt))
		h.passes(attempt)
	}
	if want := []int{1, 2, 4, 8, 16, 32, 60, 60}; !slices.Equal(delays, want) {
		t.Errorf("the delays are %v minutes, want %v", delays, want)
	}
	h.schedule(9)
	h.ahead.Add(int64(720 * time.Hour))
	h.passes(9)
	if reason := h.dead(flow.ArchiverDue); reason != refused {
		t.Errorf("the reason is %q", reason)
	}
}

// A source without an API has no files, and is no failure.
func TestASourceWithoutAnAPIIsSkipped(t *testing.T) {
	t.Parallel()
	h := start(t, options{})
	e := &signingv1.SigningEvent{
		Id: "no-api", Source: "no-api", Provider: "clickwrap", Type: event.DocumentCompleted, ReceivedAt: timestamppb.New(h.now()),
		Document: &signingv1.Document{Id: document},
	}
	h.Publish(event.Message(t.Context(), e))
	h.Settled(flow.Archiver)
	if h.Count(flow.DLQ, ">")+h.Count(flow.Archive, ">") != 0 {
		t.Error("the document waits, or is a dead letter")
	}
}
