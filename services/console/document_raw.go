package console

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/signrelay/signrelay/libs/archive"
	"github.com/signrelay/signrelay/libs/collect"
	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/evidence"
	"github.com/signrelay/signrelay/libs/evidence/signkey"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	archivesettings "github.com/signrelay/signrelay/services/archiver/settings"
	standalonesettings "github.com/signrelay/signrelay/services/standalone/settings"
)

// rawData is a callback as it was received.
type rawData struct {
	Event    string           `json:"event"`
	Received time.Time        `json:"received_at"`
	Method   string           `json:"method"`
	Bytes    int              `json:"bytes"`
	SHA256   string           `json:"sha256"`
	Body     string           `json:"body,omitempty"` // if it is text
	Query    string           `json:"query,omitempty"`
	Headers  []string         `json:"headers,omitempty"`
	Type     string           `json:"provider_type,omitempty"`
	Result   pack.CheckResult `json:"result"`
	Reason   string           `json:"reason,omitempty"`
	Key      string           `json:"key,omitempty"` // that verifies it now
	SameKey  bool             `json:"same_key"`
	Others   int              `json:"other_events,omitempty"` // of the document, from the same callback

	Level, Word string `json:"-"`
	Secret      string `json:"-"` // "secret 2"
	Path        string `json:"-"`
}

// mostShown is the number of bytes of a body that the page shows. The download has all of them.
const mostShown = 64 << 10

// rawCallback shows the callback that reported an event, and verifies it again with the keys of today.
func rawCallback(r *Request, got operate.Dossier) (View, error) {
	if err := r.looked(got, "A callback"); err != nil {
		return View{}, err
	}
	id := r.URL.Query().Get("raw")
	i := slices.IndexFunc(got.Events, func(s event.Stored) bool { return s.Event.GetId() == id })
	if i < 0 || got.Events[i].Event.GetCallback().GetId() == "" {
		return View{}, &Problem{Status: http.StatusNotFound, Title: "The event has no callback", Detail: "Signrelay made the event, or the document has no event with this id.",
			Back: DocumentPath(got.Is.Provider, got.Is.Source, r.PathValue("document"))}
	}
	e := got.Events[i].Event
	log := event.Log{JS: r.Console.env.JS, Stream: flow.Signing}
	kept, err := log.Callback(r.Context(), e, got.Events[i].Time)
	if err != nil {
		return View{}, err
	}
	if get := r.URL.Query().Get("get"); get == "bytes" && event.Carries(kept) {
		return download(kept.GetBody(), "callback-"+id+".bin"), nil
	} else if get != "" && get != "bytes" {
		return View{}, badValue("get", "bytes")
	}
	is, err := pack.CheckSignature(func() (pack.Webhook, error) { return webhookOf(r.Console.sources.Now(), e) }, e, kept)
	if err != nil {
		return View{}, err
	}
	sum := sha256.Sum256(kept.GetBody())
	data := rawData{
		Event: id, Received: e.GetReceivedAt().AsTime(), Method: kept.GetMethod(), Bytes: len(kept.GetBody()), SHA256: hex.EncodeToString(sum[:]),
		Query: kept.GetQuery(), Type: e.GetProviderType(), Result: is.Result, Reason: is.Reason, Key: is.Now.Setting, Secret: secretWord(is.Now.Setting),
		SameKey: is.Result == pack.SignatureValid && is.SameKey(), Path: DocumentPath(got.Is.Provider, got.Is.Source, r.PathValue("document")),
	}
	for _, h := range kept.GetHeaders() {
		data.Headers = append(data.Headers, h.GetName()+": "+h.GetValue())
	}
	for _, s := range got.Events {
		if s.Event.GetCallback().GetId() == e.GetCallback().GetId() && s.Event.GetId() != id {
			data.Others++
		}
	}
	if body := kept.GetBody(); utf8.Valid(body) {
		data.Body = string(body[:min(len(body), mostShown)])
		if len(body) > mostShown {
			data.Body = strings.ToValidUTF8(data.Body, "") + "…"
		}
	}
	switch is.Result {
	case pack.SignatureValid:
		data.Level, data.Word = "ok", "Still true"
	case pack.SignatureInvalid:
		data.Level, data.Word = "bad", "Does not verify"
	default:
		data.Word = "Cannot be checked again"
	}
	return View{Template: "document_raw", Title: "Raw callback", Data: data}, nil
}

// webhookOf opens the source of an event.
func webhookOf(sources []config.Source, e *signingv1.SigningEvent) (webhook pack.Webhook, err error) {
	defer func() {
		if recover() != nil { // a pack reads bytes that others chose
			err = errors.New("the pack of the provider failed")
		}
	}()
	i := slices.IndexFunc(providers.All, func(p pack.Pack) bool { return p.Name == e.GetProvider() })
	j := slices.IndexFunc(sources, func(s config.Source) bool { return s.Provider == e.GetProvider() && s.Name == e.GetSource() })
	if i < 0 || j < 0 {
		return nil, pack.ErrNoSource
	}
	return providers.All[i].Webhook(sources[j])
}

// secretWord returns the name of a setting for a person: "webhook.secrets[1]" is the second secret.
func secretWord(setting string) string {
	if _, place, ok := strings.Cut(setting, "secrets["); ok {
		n := 0
		if _, err := fmt.Sscanf(place, "%d]", &n); err == nil {
			return fmt.Sprintf("secret %d", n+1)
		}
	}
	return setting
}

// download is a response with bytes that a browser must not show.
func download(body []byte, name string) View {
	return View{Raw: func(w http.ResponseWriter) {
		attach(w.Header(), name, "application/octet-stream")
		_, _ = io.Copy(w, bytes.NewReader(body)) // an error means that the client has gone
	}}
}

func attach(h http.Header, name, mediaType string) {
	h.Set("Content-Type", mediaType)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
}

// openArchive opens the archive of the settings, once.
func (s *Server) openArchive(ctx context.Context) (*archive.Store, error) {
	is := archivesettings.Section.Of(s.env.Config)
	if !is.On() {
		return nil, &Problem{Status: http.StatusNotFound, Title: "There is no archive", Detail: "The setting archive.url is empty, so the console cannot open files."}
	}
	s.archiveOpen.Lock()
	defer s.archiveOpen.Unlock()
	if s.archive == nil {
		store, err := archive.Open(context.WithoutCancel(ctx), is.URL)
		if err != nil {
			return nil, err
		}
		s.archive = store
	}
	return s.archive, nil
}

// archivedFile streams an archived file. A file whose bytes do not have the hash that the log has ends with a broken connection, not as a whole file.
func archivedFile(r *Request, got operate.Dossier) (View, error) {
	if err := r.looked(got, "A file"); err != nil {
		return View{}, err
	}
	n, err := r.numberIn("file", len(got.Document.Files))
	if err != nil {
		return View{}, err
	}
	f := got.Document.Files[n-1]
	store, err := r.Console.openArchive(r.Context())
	if err != nil {
		return View{}, err
	}
	ctx := documentContext(r, r.writer)
	in, err := store.Read(ctx, archive.Object{Key: f.Key})
	if err != nil {
		return View{}, fmt.Errorf("open an archived file: %w", err)
	}
	return View{Raw: func(w http.ResponseWriter) {
		defer func() { _ = in.Close() }()
		attach(w.Header(), f.Kind+"-"+f.SHA256[:min(12, len(f.SHA256))]+".pdf", archive.MediaType)
		sum := sha256.New()
		_, err := io.Copy(w, io.TeeReader(in, sum))
		if err == nil && hex.EncodeToString(sum.Sum(nil)) == f.SHA256 {
			return
		}
		if r.Context().Err() == nil {
			r.Console.env.Log.ErrorContext(ctx, "an archived file is not as it was stored: the download was broken off", "source", got.Is.Source, "provider", got.Is.Provider, "error", err)
		}
		panic(http.ErrAbortHandler) // the browser reports a failed download
	}}, nil
}

// evidenceKey returns the key of evidence files; nil if there is none.
func (s *Server) evidenceKey() string { return standalonesettings.Section.Of(s.env.Config).Key }

// evidenceFile makes an evidence file and sends it. It is made in a temporary file, because its format completes headers afterwards.
func evidenceFile(r *Request, got operate.Dossier) (View, error) {
	if err := r.looked(got, "An evidence file"); err != nil {
		return View{}, err
	}
	key, err := signkey.Parse(r.Console.evidenceKey())
	if err != nil {
		return View{}, &Problem{Status: http.StatusConflict, Title: "There is no key for evidence files",
			Detail: "Make a key with signrelay evidence key <file>, and name the file in SIGNRELAY_EVIDENCE_KEY_FILE for the console."}
	}
	ctx := documentContext(r, r.writer)
	source := evidence.Source{Key: key, Document: evidence.Document{Source: got.Is.Source, Provider: got.Is.Provider, ID: got.Is.ID}}
	if source, err = collect.Evidence(ctx, r.Console.env.JS, source); err != nil {
		return View{}, err
	}
	f, err := os.CreateTemp("", "signrelay-evidence-*")
	if err != nil {
		return View{}, err
	}
	done := func() { _ = f.Close(); _ = os.Remove(f.Name()) }
	if _, err := evidence.Make(ctx, f, source); err != nil {
		done()
		return View{}, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		done()
		return View{}, err
	}
	return View{Raw: func(w http.ResponseWriter) {
		defer done()
		attach(w.Header(), "evidence-"+event.DocumentToken(cmp.Or(event.Public(got.Is.ID), got.Is.ID))+".zip", "application/zip")
		_, _ = io.Copy(w, f) // an error means that the client has gone
	}}, nil
}
