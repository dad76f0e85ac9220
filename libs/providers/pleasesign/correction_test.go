package pleasesign_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// sent is a document with two people: Jane, with everything that a correction must keep, and Bob.
const sent = `{"status":"sent","recipients":[
  {"id":"jane","first_name":"Jane","last_name":"Doe","email":"jane@wrong.com","mobile":"61491570313","status":%q,"silent":%t,"routing":2,
   "sms_mfa":"61491570313","redirect":"https://acme.example/done","redirect_void":"https://acme.example/no"},
  {"id":"bob","first_name":"Bob","last_name":"Ray","email":"bob@example.com","mobile":null,"status":"sent","silent":true,"routing":1}]}`

var jane = pack.Details{FirstName: "Jane", LastName: "Doe", Email: "jane@example.com", Mobile: "+61491570006"}

func TestCorrectARecipient(t *testing.T) {
	t.Parallel()
	replaced := `{"status":"sent","recipients":[{"id":"jane-2","first_name":"Jane","last_name":"Doe","email":"jane@example.com","mobile":"61491570006","status":"sent"}]}`
	for name, row := range map[string]struct {
		document string
		to       pack.Details
		status   int
		response string
		want     string // the id after it
		body     map[string]string
		reason   pack.NotCorrectable
		message  string // the provider's
	}{
		"a new recipient, who keeps the rest": {
			document: fmt.Sprintf(sent, "failed", false), to: jane, response: `{"id":"jane-2","status":"sent"}`, want: "jane-2",
			body: map[string]string{
				"first_name": "Jane", "last_name": "Doe", "email": "jane@example.com", "mobile": "61491570006", "sms_mfa": "61491570006",
				"redirect": "https://acme.example/done", "redirect_void": "https://acme.example/no",
			},
		},
		"without a number, the number for codes stays": {
			document: fmt.Sprintf(sent, "sent", true), to: pack.Details{FirstName: "Jane", LastName: "Doe", Email: "jane@example.com"}, response: `{"id":"jane"}`, want: "jane",
			body: map[string]string{
				"first_name": "Jane", "last_name": "Doe", "email": "jane@example.com", "sms_mfa": "61491570313",
				"redirect": "https://acme.example/done", "redirect_void": "https://acme.example/no",
			},
		},
		"done by an earlier attempt":                {document: replaced, to: jane, want: "jane-2"},
		"the details are there already":             {document: fmt.Sprintf(sent, "sent", false), to: pack.Details{FirstName: "Jane", LastName: "Doe", Email: "jane@wrong.com", Mobile: "+61491570313"}, want: "jane"},
		"a response that cannot be read":            {document: fmt.Sprintf(sent, "sent", false), to: jane, response: `[]`},
		"signed":                                    {document: fmt.Sprintf(sent, "complete", false), to: jane, reason: pack.HasSigned},
		"declined":                                  {document: fmt.Sprintf(sent, "void", false), to: jane, reason: pack.HasEnded},
		"not on the document":                       {document: `{"status":"sent","recipients":[{"id":"bob","status":"sent"}]}`, to: jane, reason: pack.NotListed},
		"two people with the details, and no id":    {document: `{"status":"sent","recipients":[` + one + `,` + one + `]}`, to: jane, reason: pack.NotListed},
		"the document is complete":                  {document: `{"status":"complete","recipients":[{"id":"jane","status":"complete"}]}`, to: jane, reason: pack.HasEnded},
		"refused by the provider, with its message": {document: fmt.Sprintf(sent, "sent", false), to: jane, status: http.StatusBadRequest, response: `{"message":"Email is blocked."}`, message: "Email is blocked."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var changes atomic.Int32
			got := map[string]string{}
			a := apiOf(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					fmt.Fprint(w, row.document)
					return
				}
				if changes.Add(1); r.URL.Path != "/recipient/jane/correct" || r.Method != http.MethodPost {
					t.Errorf("%s %s", r.Method, r.URL)
				}
				body, _ := io.ReadAll(r.Body)
				if err := json.Unmarshal(body, &got); err != nil {
					t.Error(err)
				}
				if row.status != 0 {
					w.WriteHeader(row.status)
				}
				fmt.Fprint(w, row.response)
			})
			id, err := a.(pack.Corrector).Correct(t.Context(), documentID, "jane", row.to)
			state, call := new(pack.NotCorrectableError), new(pack.CallError)
			switch {
			case row.reason != "":
				if !errors.As(err, &state) || state.Reason != row.reason || changes.Load() != 0 {
					t.Errorf("%q, %v after %d changes, want %s", id, err, changes.Load(), row.reason)
				}
			case row.message != "":
				if !errors.As(err, &call) || call.Message != row.message || outcome.Of(err).Kind() != outcome.GaveUp {
					t.Errorf("%q, %v (%v), want %s", id, err, call, row.message)
				}
			case row.want == "":
				if !errors.As(err, &call) || outcome.Of(err).Kind() != outcome.Failed {
					t.Errorf("%q, %v", id, err)
				}
			case err != nil || id != row.want || (changes.Load() == 1) != (row.body != nil):
				t.Errorf("%q, %v after %d changes, want %q", id, err, changes.Load(), row.want)
			}
			if row.body != nil {
				if diff := cmp.Diff(row.body, got); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

const one = `{"id":"x","first_name":"Jane","last_name":"Doe","email":"jane@example.com","mobile":"61491570006","status":"sent"}`

func TestResendToARecipient(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		document string
		reason   pack.NotCorrectable
		status   int
	}{
		"sent":               {document: fmt.Sprintf(sent, "failed", false), status: http.StatusOK},
		"too soon":           {document: fmt.Sprintf(sent, "sent", false), status: http.StatusBadRequest},
		"a silent recipient": {document: fmt.Sprintf(sent, "sent", true), reason: pack.WritesNothing},
		"signed":             {document: fmt.Sprintf(sent, "complete", false), reason: pack.HasSigned},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var resent atomic.Int32
			a := apiOf(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					fmt.Fprint(w, row.document)
					return
				}
				resent.Add(1)
				w.WriteHeader(row.status)
				fmt.Fprint(w, `{"message":"Wait 30 minutes."}`)
			})
			err := a.(pack.Resender).Resend(t.Context(), documentID, "jane")
			state, call := new(pack.NotCorrectableError), new(pack.CallError)
			switch {
			case row.reason != "":
				if !errors.As(err, &state) || state.Reason != row.reason || resent.Load() != 0 {
					t.Errorf("%v, want %s", err, row.reason)
				}
			case row.status == http.StatusOK:
				if err != nil || resent.Load() != 1 {
					t.Errorf("%v after %d calls", err, resent.Load())
				}
			case !errors.As(err, &call) || call.Message != "Wait 30 minutes.":
				t.Error(err)
			}
		})
	}
}
