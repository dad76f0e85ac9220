package shortener

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// askWithin is how long a person waits for the provider to say where the link leads. It does not bound the document that
// may come with the answer.
const askWithin = 8 * time.Second

// ask asks the provider for the link's current target, and sends the person who pressed the button there. The target may work
// only once, so it is not stored: a second click asks again.
func (d *door) ask(v *visit) {
	r, l := v.r, v.entry.link
	src := d.sources()[providers.SourceKey{Name: l.Source, Provider: l.Provider}]
	if src.API == nil {
		d.log.ErrorContext(r.Context(), "short link not opened: the settings do not say how its provider is asked", "source", l.Source, "provider", l.Provider)
		d.show(v, busyFor(0))
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	late := time.AfterFunc(d.patience, cancel)
	target, err := src.API.Open(ctx, pack.Link{Document: l.Document, Recipient: l.Recipient, Purpose: pack.Purpose(l.Purpose)})
	late.Stop()
	switch {
	case err != nil:
		d.refuse(v, err)
	case target.URL != "":
		d.lead(v, target.URL)
	default:
		d.hand(v, target)
	}
}

// refuse says why there is nothing behind the link. Of the provider's answer nothing gets into the log but its status:
// what a failed answer says may hold the address that was asked for.
func (d *door) refuse(v *visit, err error) {
	l := v.entry.link
	if why := new(pack.NotOpenError); errors.As(err, &why) {
		d.show(v, notOpen(why))
		return
	}
	o := outcome.Of(err)
	if o.Kind() == outcome.Waits { // our own limit, which is no failure
		d.show(v, busyFor(o.After()))
		return
	}
	attrs := []any{"source", l.Source, "provider", l.Provider, "purpose", l.Purpose}
	if call := new(pack.CallError); errors.As(err, &call) {
		attrs = append(attrs, "op", call.Op, "status", call.Status, "operator_must_act", o.Kind() == outcome.Held)
	} else {
		attrs = append(attrs, "type", fmt.Sprintf("%T", err))
	}
	d.log.ErrorContext(v.r.Context(), "short link not opened: its provider was asked in vain", attrs...)
	d.show(v, busyFor(o.After()))
}

// handWithin is how long a document may take to its reader: 10 MB at 0.3 Mbit/s. It takes the place of the server's 30 s.
const handWithin = 5 * time.Minute

// hand gives the document itself to the person, where its provider has no address that works without our credentials.
func (d *door) hand(v *visit, document *pack.Target) {
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
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`) // never shown as a page of ours, whatever is in it
	if document.Size >= 0 {
		h.Set("Content-Length", strconv.FormatInt(document.Size, 10))
	}
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(handWithin)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		d.log.DebugContext(r.Context(), "document's deadline not set", "error", err)
	}
	if _, err := io.Copy(w, document.Body); err != nil {
		d.asked.WithLabelValues("cut-off").Inc()
		d.log.WarnContext(r.Context(), "document cut off on its way", "source", l.Source, "provider", l.Provider, "type", fmt.Sprintf("%T", err))
		panic(http.ErrAbortHandler) // so that the reader's browser does not take half of it for the whole
	}
	d.asked.WithLabelValues("handed").Inc()
	d.tellOpened(v, clicked)
}
