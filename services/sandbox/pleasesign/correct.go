package pleasesign

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/services/sandbox/party"
)

// resendEvery is the shortest time between two resent e-mails to one recipient.
const resendEvery = 30 * time.Minute

// postResend serves POST /recipient/{id}/resend.
func (p pleasesign) postResend(w http.ResponseWriter, r *http.Request) {
	d, calls, err := p.provider.Update(r.PathValue("id"), func(d *party.Document, i int, at time.Time) (party.Change, error) {
		switch who := d.Recipients[i]; {
		case d.Status != party.StatusOpen:
			return party.Change{}, refusal("The document is not sent.")
		case !slices.Contains([]string{"sent", "failed"}, recipientStatus[who.Stage]):
			return party.Change{}, refusal("The recipient is not sent or failed.")
		case !who.Mailed:
			return party.Change{}, refusal("The recipient is silent.")
		case !who.Resent.IsZero() && at.Sub(who.Resent) < resendEvery:
			return party.Change{}, refusal("The email can only be resent once every 30 minutes.")
		}
		return d.Resend(i, at), nil
	}, p.BaseURL())
	if err != nil {
		writeRefusal(w, err)
		return
	}
	party.WriteJSON(w, http.StatusOK, struct{}{})
	p.report(r, d, calls)
}

// postCorrect serves POST /recipient/{id}/correct. It puts a new recipient in the place of the one, who is removed at once.
func (p pleasesign) postCorrect(w http.ResponseWriter, r *http.Request) {
	var to struct {
		FirstName    string `json:"first_name"`
		LastName     string `json:"last_name"`
		Email        string `json:"email"`
		Mobile       string `json:"mobile"`
		SMSCode      string `json:"sms_mfa"`
		Redirect     string `json:"redirect"`
		RedirectVoid string `json:"redirect_void"`
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil || json.Unmarshal(body, &to) != nil {
		writeError(w, http.StatusBadRequest)
		return
	}
	at := 0
	d, calls, err := p.provider.Update(r.PathValue("id"), func(d *party.Document, i int, now time.Time) (party.Change, error) {
		old := d.Recipients[i]
		switch {
		case d.Status != party.StatusOpen && d.Status != party.StatusDraft, !slices.Contains([]string{"pending", "sent", "failed"}, recipientStatus[old.Stage]):
			return party.Change{}, refusal("The recipient can no longer be corrected.")
		case to.FirstName == "":
			return party.Change{}, refusal("First name is required.")
		case to.LastName == "":
			return party.Change{}, refusal("Last name is required.")
		case to.Email == "":
			return party.Change{}, refusal("Email is required.")
		case to.Mobile != "" && to.SMSCode != "" && to.Mobile != to.SMSCode:
			return party.Change{}, refusal("Mobile and sms_mfa must match.")
		}
		at = i
		return d.Replace(i, party.Signer{
			First: to.FirstName, Last: to.LastName, Email: to.Email, Mobile: to.Mobile, SMSCode: to.SMSCode, Redirect: to.Redirect, RedirectVoid: to.RedirectVoid,
			Mailed: old.Mailed, // and the routing and the tabs are those of the place
		}, p.provider.RecipientID(), now), nil
	}, p.BaseURL())
	if err != nil {
		writeRefusal(w, err)
		return
	}
	made := writtenRecipient(d, at)
	made.Nominee = new(any) // null
	party.WriteJSON(w, http.StatusOK, made)
	p.report(r, d, calls)
}

// refusal is PleaseSign's message why a recipient is not changed.
type refusal string

func (r refusal) Error() string { return string(r) }

// writeRefusal writes why a recipient is not changed.
func writeRefusal(w http.ResponseWriter, err error) {
	if errors.Is(err, party.ErrUnknown) {
		writeError(w, http.StatusNotFound)
		return
	}
	party.WriteJSON(w, http.StatusBadRequest, problem{err.Error()})
}

// report sends the callbacks that follow from a request, at the same time as its response.
func (p pleasesign) report(r *http.Request, d party.Document, calls []party.Callback) {
	source := d.Source
	if source.Provider == "" { // the documentation's examples belong to no source
		own, _ := p.source(r)
		if i := slices.IndexFunc(p.Config.Sources, func(s config.Source) bool { return s.Provider == name && s.Name == own }); i >= 0 {
			source = p.Config.Sources[i]
		}
	}
	p.later.do(func(ctx context.Context) {
		for _, c := range calls {
			if _, err := p.Callbacks.Send(ctx, source, c); err != nil && ctx.Err() == nil {
				p.Log.Warn("a callback was not accepted", "event", c.Event, "error", err)
			}
		}
	})
}

// later runs work in the background until the sandbox stops.
type later struct {
	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup
}

func newLater() *later {
	l := &later{}
	l.ctx, l.stop = context.WithCancel(context.Background())
	return l
}

func (l *later) do(work func(context.Context)) { l.work.Go(func() { work(l.ctx) }) }

// end stops the work in the background and waits for it.
func (l *later) end() {
	l.stop()
	l.work.Wait()
}
