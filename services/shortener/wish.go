package shortener

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/optout"
)

// wish is what a person asks for on the link's page, other than to open the document: the form's field "messages". Only a form sends it, because
// robots fetch links.
type wish string

const (
	askToStop     wish = "ask"   // shows the page that asks
	stopMessages  wish = "stop"  // no more messages about the document
	startMessages wish = "again" // messages again
)

// longestForm is many times the size of a page's form.
const longestForm = 1 << 10

// wishOf returns the wish in a form of the link's page; empty for the form that opens the document.
func wishOf(v *visit) wish {
	if v.form == nil {
		v.form = new(wish)
		v.r.Body = http.MaxBytesReader(v.w, v.r.Body, longestForm)
		if is := wish(v.r.PostFormValue("messages")); v.entry.mayStop() && slices.Contains([]wish{askToStop, stopMessages, startMessages}, is) {
			*v.form = is
		}
	}
	return *v.form
}

// mayStop reports whether the link identifies its person. Clickwrap may send no id of a person; a link without one belongs to an address.
func (l link) mayStop() bool { return l.Recipient != "" && l.Document != "" && !l.corrects() }

// take serves a wish. It shows the page only when the wish and its event are stored.
func (d *handler) take(v *visit, is wish) {
	if is == askToStop {
		d.show(v, askStop)
		return
	}
	if err := d.store(v, is); err != nil {
		d.log.ErrorContext(v.r.Context(), "an opt-out on the page of a short link was not stored", "source", v.entry.Source, "provider", v.entry.Provider, "error", err)
		d.show(v, stopLost)
		return
	}
	d.wishes.Count(is == stopMessages, v.entry.Source, v.entry.Provider)
	if is == stopMessages {
		d.show(v, stopped)
	} else {
		d.show(v, started)
	}
}

// store stores a wish and then its event. If the event cannot be stored, the person tries again, and the wish has been stored twice.
func (d *handler) store(v *visit, is wish) error {
	ctx, cancel := context.WithTimeout(v.r.Context(), storeTimeout)
	defer cancel()
	who := event.Signer{Source: v.entry.Source, Provider: v.entry.Provider, Document: v.entry.Document, Recipient: v.entry.Recipient}
	click := rand.Text()
	changed, err := d.optOuts.Change(ctx, optout.State{Out: is == stopMessages, At: d.links.now().UTC(), Message: click}, optout.Person(who))
	if err != nil {
		return err
	}
	if changed == optout.Outdated { // another replica, whose clock is ahead, has stored a later one
		return errors.New("a later wish is stored")
	}
	typ := event.RecipientOptedIn
	if is == stopMessages {
		typ = event.RecipientOptedOut
	}
	e := v.event(typ, "channel", event.AllChannels)
	e.Attributes["scope"] = "document"
	e.Notice = nil
	e.Id = event.OccurrenceID(e, "page", click)
	m, err := event.Message(ctx, e)
	if err != nil {
		return err
	}
	_, err = d.js.PublishMsg(ctx, m)
	return err
}

// storeTimeout is the time that a person waits for the page.
const storeTimeout = 5 * time.Second
