package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/tests/testenv"
)

// orders is the number of orders in a row of corrections. The enricher dies at the second of them.
const orders = 4

// The enricher dies after it called the provider for an order about a person, or after it stored the correction. Each order has one outcome and one
// effect: one new recipient at the provider, one invitation on each channel to the person as corrected, and nothing more to the addresses before.
func TestCorrectionsSurviveACrash(t *testing.T) {
	t.Parallel()
	for _, at := range []struct {
		point, provider, story, person, typ, outcome string

		often bool // also in CI
	}{
		{"corrected at the provider", "pleasesign", "bounced", "Olivia", event.CorrectionRequested, event.RecipientCorrected, true},
		{"correction stored", "pleasesign", "bounced", "Olivia", event.CorrectionRequested, event.RecipientCorrected, false},
		{"correction stored", "clickwrap", "resend", "Jane", event.CorrectionRequested, event.RecipientCorrected, true},
		{"resent by the provider", "pleasesign", "bounced", "Mia", event.ResendRequested, event.RecipientResent, true},
	} {
		if !at.often && !all() {
			continue
		}
		t.Run(at.point+", "+at.provider, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			h := withSandbox(t, testenv.SandboxSettings, "enricher", at.point+"@2")
			r := result{Fault: fmt.Sprintf("kill -9 of enricher after %q (%s)", at.point, at.provider), Accepted: orders}
			var documents []string
			for range orders {
				documents = append(documents, h.Play(t, at.provider, at.story)[0])
			}
			h.Until(t, "the first messages arrived", func() bool { return len(h.Messages(t)) >= orders*2 })
			h.WaitIdle(t)
			before := map[string]int{}
			for _, m := range h.Messages(t) {
				before[m.To]++
			}
			was := map[string]person{}
			for i, d := range documents {
				was[d] = peopleOf(t, h, at.provider, d)[at.person]
				m, err := event.Message(t.Context(), orderOf(at.typ, at.provider, d, was[d].ID, i))
				h.Publish(t, m, err)
			}
			diesOnce(t, h, "enricher")
			h.Until(t, "each order has an outcome", func() bool {
				return h.Count(t, flow.Signing, event.TypeFilter(at.outcome))+h.Count(t, flow.Signing, event.TypeFilter(event.CorrectionRefused))+
					h.Count(t, flow.Signing, event.TypeFilter(event.ResendRefused)) >= orders
			})
			if at.typ == event.ResendRequested {
				h.Until(t, "PleaseSign has reported its e-mails", func() bool { return h.Count(t, flow.Signing, event.TypeFilter(event.RecipientSent)) >= 2*orders })
			}
			h.WaitIdle(t)
			r.Stored = h.Count(t, flow.Signing, event.TypeFilter(at.outcome))
			after := map[string]int{}
			for _, m := range h.Messages(t) {
				after[m.To]++
			}
			outcomes := outcomesOf(t, h, at.outcome)
			for i, d := range documents {
				is := peopleOf(t, h, at.provider, d)
				r.count(len(outcomes[d]))
				switch {
				case at.typ == event.ResendRequested: // PleaseSign reports each e-mail, and the first one was that of the story
					r.count(mailsOf(t, h, d) - 1)
				case at.provider == "pleasesign":
					made := is["Ida"]
					if len(is) != 2 || made.ID == was[d].ID || made.Email != emailOf(i) || len(outcomes[d]) == 1 && outcomes[d][0].GetRecipient().GetId() != made.ID {
						t.Errorf("%s: PleaseSign has %+v, the log has %v", d, is, outcomes[d])
					}
					r.count(after[emailOf(i)])
					r.count(after[mobileOf(i)])
				default:
					if is[at.person] != was[d] {
						t.Errorf("%s: the provider has %+v", d, is)
					}
					r.count(after[emailOf(i)])
				}
			}
			for to, n := range before {
				if more := after[to] - n; more > 0 && to != "sender@signrelay.example" {
					t.Errorf("%d more messages to an address from before", more)
				}
			}
			h.checkNothingElse(t, &r)
			r.Seconds = int(time.Since(began).Seconds())
			results.add(r)
		})
	}
}

// count counts the effects of an order of which there must be one.
func (r *result) count(effects int) {
	switch {
	case effects == 0:
		r.Lost++
	case effects > 1:
		r.Doubled++
	default:
		r.Sent++
	}
}

// sandboxed is an installation with the sandbox as its world.
type sandboxed struct{ *testenv.Env }

// withSandbox starts the services with the sandbox. One of them dies at a point.
func withSandbox(t *testing.T, settings func(*testenv.Env) string, dying, point string) sandboxed {
	t.Helper()
	h := sandboxed{testenv.Infrastructure(t, func(e *testenv.Env) string {
		// The message to the sender waits for the other channel.
		return strings.ReplaceAll(settings(e), "notify: {sender:", "fallback: {after: 2s}, notify: {sender:")
	})}
	h.Timeout = 100 * time.Second
	for _, name := range []string{"sandbox", "ingest", "enricher", "shortener", "sms-sender", "email-sender", "reminder"} {
		if name != dying {
			h.StartService(t, name, name)
			continue
		}
		h.Variant = crashing
		h.StartService(t, name, name, "SIGNRELAY_TEST_CRASH="+point)
		h.Variant = testenv.Variant{}
	}
	return h
}

// diesOnce waits until a service has died at its point, and starts it again as it is released.
func diesOnce(t *testing.T, h sandboxed, service string) {
	t.Helper()
	select {
	case <-h.Processes[service].Ended():
	case <-time.After(time.Minute):
		t.Fatalf("%s did not reach its point", service)
	}
	h.StartService(t, service, service)
}

// checkNothingElse requires that no work was given up, and that the row has no loss and no duplicate.
func (h sandboxed) checkNothingElse(t *testing.T, r *result) {
	t.Helper()
	for _, typ := range []string{event.CorrectionRefused, event.ResendRefused} {
		if n := h.Count(t, flow.Signing, event.TypeFilter(typ)); n > 0 {
			t.Errorf("%d events %s", n, typ)
		}
	}
	r.Given = h.Count(t, flow.DLQ, ">")
	if r.Lost != 0 || r.Doubled != 0 || r.Given != 0 || r.Stored != r.Accepted {
		t.Errorf("%+v", *r)
	}
}

func emailOf(i int) string  { return fmt.Sprintf("ida-%d@example.com", i) }
func mobileOf(i int) string { return fmt.Sprintf("6149157090%d", i) }

// orderOf returns an order about a person.
func orderOf(typ, provider, document, recipient string, i int) *signingv1.SigningEvent {
	e := &signingv1.SigningEvent{
		Id: fmt.Sprintf("order-%d", i), Source: "demo", Provider: provider, Type: typ, Document: &signingv1.Document{Id: document},
		OccurredAt: timestamppb.Now(), Verification: signingv1.Verification_VERIFICATION_INTERNAL, Recipient: &signingv1.Recipient{Id: recipient},
		Attributes: map[string]string{event.AttributeBy: "supporter", event.AttributeReason: "the address was wrong"},
	}
	if typ == event.ResendRequested {
		e.Attributes[event.AttributeChannels] = event.ByProvider
		return e
	}
	e.Recipient.FirstName, e.Recipient.LastName, e.Recipient.Email, e.Recipient.Mobile = "Ida", "Berg", emailOf(i), "+"+mobileOf(i)
	return e
}

// outcomesOf returns the outcomes of the orders, by document.
func outcomesOf(t *testing.T, h sandboxed, typ string) map[string][]*signingv1.SigningEvent {
	t.Helper()
	all := map[string][]*signingv1.SigningEvent{}
	for m, err := range (event.Log{JS: h.JetStream(t), Stream: flow.Signing}).Messages(t.Context(), event.TypeFilter(typ), time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		all[e.GetDocument().GetId()] = append(all[e.GetDocument().GetId()], e)
	}
	return all
}

// mailsOf returns the number of PleaseSign's own e-mails about a document, which it reports.
func mailsOf(t *testing.T, h sandboxed, document string) int {
	t.Helper()
	return len(outcomesOf(t, h, event.RecipientSent)[document])
}

// person is a recipient at a provider of the sandbox.
type person struct{ ID, First, Email string }

// peopleOf returns the people of a document at its provider, by first name.
func peopleOf(t *testing.T, h sandboxed, provider, document string) map[string]person {
	t.Helper()
	path, header := "/document/", http.Header{"X-Pleasesign-Key": {"demo-key"}, "X-Pleasesign-Secret": {"demo-secret"}}
	if provider == "clickwrap" {
		path, header = "/v1.1/requests/", http.Header{"Authorization": {"Bearer demo-token"}}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.SandboxURL+path+document, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var is struct {
		Recipients []struct {
			ID        string `json:"id"`
			FirstName string `json:"first_name"`
			Email     string `json:"email"`
		} `json:"recipients"`
		Signers []struct {
			ID     string `json:"signer_id"`
			Signer struct {
				Email      string `json:"email"`
				Additional struct {
					FirstName string `json:"first_name"`
				} `json:"additional_attributes"`
			} `json:"signer"`
		} `json:"signers"`
	}
	if err := json.NewDecoder(response.Body).Decode(&is); err != nil {
		t.Fatal(err)
	}
	all := map[string]person{}
	for _, p := range is.Recipients {
		all[p.FirstName] = person{p.ID, p.FirstName, p.Email}
	}
	for _, p := range is.Signers {
		first := p.Signer.Additional.FirstName
		all[first] = person{p.ID, first, p.Signer.Email}
	}
	return all
}

// The enricher dies between a renewal of its access and the storing of the new tokens. The provider has replaced the refresh token, and still takes the one
// before it, because the new access token was never used. So the access is renewed once more, and no person must sign in again.
func TestAccessSurvivesACrashDuringItsRenewal(t *testing.T) {
	t.Parallel()
	began := time.Now()
	h := withSandbox(t, func(e *testenv.Env) string {
		return strings.Replace(testenv.SandboxSettings(e), "key: demo-key, secret: demo-secret, per_minute: 6000}",
			`oauth: {client_id: app, client_secret: of-the-app, base_url: "`+e.SandboxURL+`"}, per_minute: 6000}`, 1)
	}, "enricher", "oauth renewed@1")
	h.signIn(t)
	const stories = 4
	h.InjectFault(t, `{"target":"pleasesign","mode":"401"}`) // the enricher renews its access at once
	var documents []string
	for range stories {
		documents = append(documents, h.Play(t, "pleasesign", "bounced")[0])
	}
	diesOnce(t, h, "enricher")
	h.Until(t, "each person is invited", func() bool { return invited(t, h) >= 2*stories })
	h.InjectFault(t, `{"target":"pleasesign","mode":"401"}`) // now with the refresh token that the provider has replaced
	for range stories {
		documents = append(documents, h.Play(t, "pleasesign", "bounced")[0])
	}
	h.Until(t, "each further person is invited", func() bool { return invited(t, h) >= 2*len(documents) })
	h.WaitIdle(t)
	r := result{
		Fault: `kill -9 of enricher after "oauth renewed"`, Accepted: len(documents), Sent: invited(t, h), Stored: h.Count(t, flow.Signing, event.TypeFilter(event.DocumentSent)),
	}
	r.Lost, r.Doubled = max(2*len(documents)-r.Sent, 0), max(r.Sent-2*len(documents), 0)
	if out, err := h.Command(t, "source", "check", "pleasesign/demo"); err != nil && strings.Contains(err.Error()+out, "sign-in") {
		t.Errorf("a person must sign in again: %v %s", err, out)
	}
	h.checkNothingElse(t, &r)
	r.Seconds = int(time.Since(began).Seconds())
	results.add(r)
}

// invited returns the number of invitations to Olivia Nguyen.
func invited(t *testing.T, h sandboxed) (n int) {
	t.Helper()
	for _, m := range h.Messages(t) {
		if m.To == "61491570006" || m.To == "olivia.nguyen@example.com" {
			n++
		}
	}
	return n
}

// signIn signs in at PleaseSign: it runs the command, and presses the button of the page that the command names.
func (h sandboxed) signIn(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := h.Prepared(ctx, t, "source", "sign-in", "--reason=set-up", "--redirect=http://"+testenv.FreeAddress(t)+"/oauth/callback", "pleasesign/demo")
	stdout, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if _, address, found := strings.Cut(lines.Text(), "http://"); found {
			response, err := http.PostForm("http://"+address, url.Values{"allow": {"yes"}})
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
		}
	}
	if err := command.Wait(); err != nil {
		t.Fatalf("sign in: %v", err)
	}
}
