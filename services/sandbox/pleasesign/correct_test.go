package pleasesign_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

// psRecipient is the response to a correction, by its literal names.
type psRecipient struct {
	ID            string  `json:"id"`
	FirstName     string  `json:"first_name"`
	LastName      string  `json:"last_name"`
	Email         string  `json:"email"`
	Mobile        *string `json:"mobile"`
	SMSCode       *string `json:"sms_mfa"`
	Status        string  `json:"status"`
	Silent        bool    `json:"silent"`
	Redirect      *string `json:"redirect"`
	RedirectVoid  *string `json:"redirect_void"`
	Routing       int     `json:"routing"`
	Created       *int64  `json:"created_date"`
	ReminderCount *int    `json:"reminder_count"`
}

// recipients returns the recipients of a document as they are.
func recipients(w sandboxtest.World, id string) []psRecipient {
	w.T.Helper()
	a := w.Do("GET", "/document/"+id, "", pleasesignKeys)
	sandboxtest.WantStatus(w.T, a, 200)
	return sandboxtest.Read[struct {
		Recipients []psRecipient `json:"recipients"`
	}](w.T, a).Recipients
}

func change(w sandboxtest.World, recipient, what, body string) sandboxtest.Response {
	w.T.Helper()
	return w.Do("POST", "/recipient/"+recipient+"/"+what, body, pleasesignKeys)
}

// paused plays a story until its n-th callback, and calls a function then.
func paused(w sandboxtest.World, in *sandboxtest.Ingest, story string, n int, at func(document string)) {
	w.T.Helper()
	seen, met := atomic.Int64{}, false
	in.Meets = func(_ http.ResponseWriter, c sandboxtest.Call) bool {
		if int(seen.Add(1)) == n {
			met = true
			at(c.Fields["document_id"].(string))
		}
		return false
	}
	w.Play("pleasesign", story)
	in.Meets = nil
	if !met {
		w.T.Errorf("%s has no callback %d", story, n)
	}
}

const jane = `{"first_name":"Jane","last_name":"Doe","email":"jane.doe@example.com"`

// A correction makes a new recipient in the old one's place, who is gone at once.
func TestACorrectedRecipientIsANewOne(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	paused(w, in, "ordered-signing", 1, func(document string) {
		before := recipients(w, document)
		link := pageOf(w, document, 0)
		a := change(w, before[0].ID, "correct", jane+`,"mobile":"61491570313","sms_mfa":"61491570313","redirect":"https://acme.example/done","redirect_void":"https://acme.example/void"}`)
		sandboxtest.WantStatus(t, a, 200)
		var fields map[string]any
		if err := json.Unmarshal([]byte(a.Body), &fields); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{
			"id", "first_name", "last_name", "email", "mobile", "sms_mfa", "status", "silent", "redirect", "redirect_void", "routing", "nominee",
			"created_date", "complete_date", "reminder_date", "reminder_count",
		} {
			if _, ok := fields[name]; !ok || len(fields) != 16 {
				t.Errorf("the response has %d fields, and lacks %s: %s", len(fields), name, a.Body)
			}
		}
		made := sandboxtest.Read[psRecipient](t, a)
		after := recipients(w, document)
		if made.ID == before[0].ID || !recipientID.MatchString(made.ID) || len(after) != 2 || after[0].ID != made.ID || after[1].ID != before[1].ID {
			t.Errorf("the new one is %s; there were %+v, and are %+v", made.ID, before, after)
		}
		for _, is := range []psRecipient{made, after[0]} {
			if is.FirstName != "Jane" || is.Email != "jane.doe@example.com" || *is.Mobile != "61491570313" || *is.SMSCode != "61491570313" ||
				*is.Redirect != "https://acme.example/done" || *is.RedirectVoid != "https://acme.example/void" || is.Status != "sent" || !is.Silent || is.Routing != 1 {
				t.Errorf("the new one is %+v", is)
			}
		}
		sandboxtest.WantStatus(t, w.Get(link), 404)
		for _, gone := range []sandboxtest.Response{
			change(w, before[0].ID, "correct", jane+"}"), change(w, before[0].ID, "resend", "{}"), w.Do("GET", "/recipient/"+before[0].ID+"/signingurl", "", pleasesignKeys),
		} {
			wantMessage(t, gone, 404, "Not Found.")
		}
		if page := w.Get(pageOf(w, document, 0)); !strings.Contains(page.Body, "Sign as Jane Doe") {
			t.Errorf("the new link shows %s", page.Body)
		}

		// One whose turn has not come stays pending, and keeps the place.
		later := sandboxtest.Read[psRecipient](t, change(w, before[1].ID, "correct", `{"first_name":"John","last_name":"Roe","email":"john.roe@example.com"}`))
		if later.Status != "pending" || later.Routing != 2 || later.Mobile != nil || later.SMSCode != nil || later.Redirect != nil {
			t.Errorf("the second one is %+v", later)
		}
	})
	if len(in.Calls) != 4 {
		t.Errorf("%d callbacks: a silent recipient is not sent", len(in.Calls))
	}
}

func wantMessage(t *testing.T, a sandboxtest.Response, status int, message string) {
	t.Helper()
	if a.Status != status || a.Body != `{"message":"`+message+`"}`+"\n" {
		t.Errorf("response %d %s, want %d %s", a.Status, a.Body, status, message)
	}
}

// PleaseSign writes to a corrected recipient who is not silent, and reports it.
func TestACorrectedRecipientIsSentAtOnce(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	document := w.Play("pleasesign", "bounced").Documents[0]
	if mails := w.Received("?to=mia.kelly@unreachable.example"); len(mails) != 0 {
		t.Errorf("the e-mails that bounce are %+v", mails)
	}
	reported := make(chan sandboxtest.Call, 2)
	in.Meets = func(_ http.ResponseWriter, c sandboxtest.Call) bool { reported <- c; return false }
	made := sandboxtest.Read[psRecipient](t, change(w, recipients(w, document)[1].ID, "correct", jane+"}"))
	if made.Status != "sent" || made.Silent {
		t.Errorf("the new one is %+v", made)
	}
	if c := <-reported; c.Fields["event"] != "recipient.sent" || c.Fields["recipient_id"] != made.ID || c.Fields["email"] != "jane.doe@example.com" || c.Fields["method"] != "email" {
		t.Errorf("the callback is %s", c.Body)
	}
	mails := w.Received("?to=jane.doe@example.com")
	if len(mails) != 1 || !strings.Contains(mails[0].Text, w.Link("/pleasesign?e=")) || !strings.Contains(mails[0].Subject, "Service Agreement") {
		t.Fatalf("the e-mails are %+v", mails)
	}
	_, page, _ := strings.Cut(strings.TrimSpace(mails[0].Text), w.Link(""))
	if a := w.Get(page); !strings.Contains(a.Body, "Sign as Jane Doe") {
		t.Errorf("the link of the e-mail shows %d %s", a.Status, a.Body)
	}
	sandboxtest.WantStatus(t, w.Press(page, "sign"), 303)
}

func TestCorrectionsThatPleaseSignRefuses(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	document := w.Play("pleasesign", "bounced").Documents[0]
	before := recipients(w, document)
	for body, want := range map[string]string{
		`{"last_name":"Doe","email":"jane.doe@example.com"}`:      "First name is required.",
		`{"first_name":"Jane","email":"jane.doe@example.com"}`:    "Last name is required.",
		`{"first_name":"Jane","last_name":"Doe"}`:                 "Email is required.",
		jane + `,"mobile":"61491570313","sms_mfa":"61491570157"}`: "Mobile and sms_mfa must match.",
		`first_name=Jane`: "Bad Request.",
	} {
		wantMessage(t, change(w, before[1].ID, "correct", body), 400, want)
	}
	if after := recipients(w, document); after[1].ID != before[1].ID || after[1].Email != before[1].Email {
		t.Errorf("a refused correction changed %+v", after)
	}
	wantMessage(t, w.Do("POST", "/recipient/"+before[1].ID+"/correct", jane+"}", nil), 401, "Unauthorized.")
	for story, states := range map[string]int{"one-signer": 1, "declined": 2, "two-signers": 2} { // signed, and no longer sent
		all := recipients(w, w.Play("pleasesign", story).Documents[0])
		if len(all) != states {
			t.Fatalf("%s: %+v", story, all)
		}
		for _, one := range all {
			wantMessage(t, change(w, one.ID, "correct", jane+"}"), 400, "The recipient can no longer be corrected.")
		}
	}
}

func TestResends(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Clocked(t, in.URL, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	document := w.Play("pleasesign", "bounced").Documents[0]
	silent, mailed := recipients(w, document)[0].ID, recipients(w, document)[1].ID
	reported := make(chan sandboxtest.Call, 4)
	in.Meets = func(_ http.ResponseWriter, c sandboxtest.Call) bool { reported <- c; return false }

	wantMessage(t, change(w, silent, "resend", `{"id":"`+silent+`"}`), 400, "The recipient is silent.")
	sandboxtest.WantStatus(t, change(w, mailed, "resend", "{}"), 200)
	if c := <-reported; c.Fields["event"] != "recipient.sent" || c.Fields["recipient_id"] != mailed {
		t.Errorf("the callback is %s", c.Body)
	}
	if is := recipients(w, document)[1]; is.Status != "sent" || is.ID != mailed {
		t.Errorf("a resent recipient is %+v", is)
	}
	ahead.Add(int64(29 * time.Minute))
	wantMessage(t, change(w, mailed, "resend", "{}"), 400, "The email can only be resent once every 30 minutes.")
	ahead.Add(int64(2 * time.Minute))
	sandboxtest.WantStatus(t, change(w, mailed, "resend", "{}"), 200)
	<-reported

	in.Meets = nil
	done := recipients(w, w.Play("pleasesign", "mixed").Documents[0])[1]
	wantMessage(t, change(w, done.ID, "resend", "{}"), 400, "The document is not sent.")
	paused(w, in, "mixed", 4, func(document string) { // Mia Kelly has signed
		i := slices.IndexFunc(recipients(w, document), func(r psRecipient) bool { return r.Status == "complete" })
		wantMessage(t, change(w, recipients(w, document)[i].ID, "resend", "{}"), 400, "The recipient is not sent or failed.")
	})
}
