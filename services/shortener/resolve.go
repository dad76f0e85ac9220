package shortener

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/signrelay/signrelay/libs/archive"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// providerTimeout limits a person's wait for the provider's response. It does not limit the download of a document in that response.
const providerTimeout = 8 * time.Second

// resolve requests the link's current target from the provider, and redirects the person who pressed the button there. The target may work
// only once, so it is not stored: a second click makes a new request.
func (d *handler) resolve(v *visit) {
	r, l := v.r, v.entry.link
	src := d.sources()[providers.SourceKey{Name: l.Source, Provider: l.Provider}]
	if src.API == nil {
		d.log.ErrorContext(r.Context(), "short link not opened: the settings have no API for its provider", "source", l.Source, "provider", l.Provider)
		d.show(v, busyFor(0))
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	late := time.AfterFunc(d.providerTimeout, cancel)
	target, err := src.API.Open(ctx, pack.Link{Document: l.Document, Recipient: l.Recipient, Purpose: pack.Purpose(l.Purpose)})
	late.Stop()
	if err != nil {
		if kept := d.fromArchive(r.Context(), l, err); kept != nil {
			target, err = kept, nil
		}
	}
	switch {
	case err != nil:
		d.showFailure(v, err)
	case target.URL != "":
		d.redirect(v, target.URL)
	default:
		d.serveDocument(v, target)
	}
}

// fromArchive returns the finished document from the archive, if the provider does not have it any more, or not now, and if the person may open it;
// nil if there is none.
func (d *handler) fromArchive(ctx context.Context, l link, why error) *pack.Target {
	notOpen := new(pack.NotOpenError)
	if d.archive == nil || pack.Purpose(l.Purpose) != pack.Download || !errors.As(why, &notOpen) || !notOpen.Archived {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, d.providerTimeout)
	defer cancel()
	all, err := d.archive.Of(limited, archive.Document{Source: l.Source, Provider: l.Provider, ID: l.Document})
	all = slices.DeleteFunc(all, func(o archive.Object) bool { return o.Kind != string(pack.SignedFile) })
	if err == nil && len(all) > 0 {
		newest := all[len(all)-1]
		var body io.ReadCloser
		if body, err = d.archive.Read(ctx, newest); err == nil {
			return &pack.Target{Body: body, ContentType: archive.MediaType, Size: newest.Size}
		}
	}
	if err != nil {
		d.log.ErrorContext(ctx, "document not read from the archive", "source", l.Source, "provider", l.Provider, "error", err)
	}
	return nil
}

// showFailure shows why the link has no target. The log gets only the status of the provider's response, because an error text may contain
// the requested address.
func (d *handler) showFailure(v *visit, err error) {
	l := v.entry.link
	if why := new(pack.NotOpenError); errors.As(err, &why) {
		d.show(v, notOpen(why))
		return
	}
	o := outcome.Of(err)
	if o.Kind() == outcome.Waits { // our own limit, which is not a failure
		d.show(v, busyFor(o.After()))
		return
	}
	attrs := []any{"source", l.Source, "provider", l.Provider, "purpose", l.Purpose}
	if call := new(pack.CallError); errors.As(err, &call) {
		attrs = append(attrs, "op", call.Op, "status", call.Status, "operator_must_act", o.Kind() == outcome.Held)
	} else {
		attrs = append(attrs, "type", fmt.Sprintf("%T", err))
	}
	d.log.ErrorContext(v.r.Context(), "short link not opened: its provider's API failed", attrs...)
	d.show(v, busyFor(o.After()))
}

// documentTimeout limits the download of a document: 10 MB at 0.3 Mbit/s. It replaces the server's 30 s.
const documentTimeout = 5 * time.Minute

// serveDocument sends the document itself, if its provider has no address that works without our credentials.
func (d *handler) serveDocument(v *visit, document *pack.Target) {
	w, r, l := v.w, v.r, v.entry.link
	defer func() { _ = document.Body.Close() }()
	media, _, err := mime.ParseMediaType(document.ContentType)
	if err != nil {
		media = "application/octet-stream"
	}
	name := "document"
	if media == "application/pdf" {
		name = "document.pdf"
	}
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`) // a browser never shows it as one of our pages
	if document.Size >= 0 {
		h.Set("Content-Length", strconv.FormatInt(document.Size, 10))
	}
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(documentTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		d.log.DebugContext(r.Context(), "deadline of a document's download not set", "error", err)
	}
	if _, err := io.Copy(w, document.Body); err != nil {
		d.opened.WithLabelValues("cut-off").Inc()
		d.log.WarnContext(r.Context(), "download of a document was interrupted", "source", l.Source, "provider", l.Provider, "type", fmt.Sprintf("%T", err))
		panic(http.ErrAbortHandler) // so that the browser does not treat a part as the whole document
	}
	d.opened.WithLabelValues("handed").Inc()
	d.recordOpened(v, clicked)
}
