package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// story is a story and all its messages: recipient, channel, text. L is a link, which must lead to a page; an e-mail is its subject and its
// number of links. No other message may arrive.
type story struct {
	provider, name string
	messages       []string
	lost, withheld int // messages that are sent and do not arrive, and messages that cannot be made or are not wanted
	refused        int // messages that the other side does not take
	others         int // messages that the provider itself sends
}

var stories = []story{
	// The guide's three flows, with its three texts unchanged. Eric Smith and Sam Lee want texts and e-mails, Jane Roe only e-mails.
	// The last signature causes no progress message.
	{provider: "clickwrap", name: "seed", messages: []string{
		`sms 13175551234: You've been sent "PS Employment Agreement" by PactSafe. Please review & sign: L`,
		`email eric.smith@example.com: Please review & sign "PS Employment Agreement" [1 link]`,
		`email jane.roe@example.com: Please review & sign "PS Employment Agreement" [1 link]`,
		`email jane.roe@example.com: Eric Smith has signed "PS Employment Agreement" [0 links]`,
		`sms 13175551234: "PS Employment Agreement" has been accepted by all parties. Download your document here: L`,
		`email eric.smith@example.com: "PS Employment Agreement" has been accepted by all parties [1 link]`,
		`email jane.roe@example.com: "PS Employment Agreement" has been accepted by all parties [1 link]`,

		`sms 13175551234: You've been sent "Employment Agreement" by PactSafe. Please review & sign: L`,
		`email eric.smith@example.com: Please review & sign "Employment Agreement" [1 link]`,
		`sms 13175550187: You've been sent "Employment Agreement" by PactSafe. Please review & sign: L`,
		`email sam.lee@example.com: Please review & sign "Employment Agreement" [1 link]`,
		`sms 13175550187: Eric Smith has signed "Employment Agreement". One more signature is needed to complete the document.`,
		`email sam.lee@example.com: Eric Smith has signed "Employment Agreement" [0 links]`,
	}},
	// The completion arrives before the signature: there is no progress message, in either order.
	{provider: "clickwrap", name: "one-signer", messages: []string{
		`sms 13175551234: You've been sent "Mutual NDA" by PactSafe. Please review & sign: L`,
		`email eric.smith@example.com: Please review & sign "Mutual NDA" [1 link]`,
		`sms 13175551234: "Mutual NDA" has been accepted by all parties. Download your document here: L`,
		`email eric.smith@example.com: "Mutual NDA" has been accepted by all parties [1 link]`,
	}},
	{provider: "clickwrap", name: "two-signers", messages: []string{
		`sms 13175551234: You've been sent "E-Waiver Form" by PactSafe. Please review & sign: L`,
		`email eric.smith@example.com: Please review & sign "E-Waiver Form" [1 link]`,
		`sms 13175550187: You've been sent "E-Waiver Form" by PactSafe. Please review & sign: L`,
		`email sam.lee@example.com: Please review & sign "E-Waiver Form" [1 link]`,
		`sms 13175550187: Eric Smith has signed "E-Waiver Form". One more signature is needed to complete the document.`,
		`email sam.lee@example.com: Eric Smith has signed "E-Waiver Form" [0 links]`,
		`sms 13175551234: "E-Waiver Form" has been accepted by all parties. Download your document here: L`,
		`email eric.smith@example.com: "E-Waiver Form" has been accepted by all parties [1 link]`,
		`sms 13175550187: "E-Waiver Form" has been accepted by all parties. Download your document here: L`,
		`email sam.lee@example.com: "E-Waiver Form" has been accepted by all parties [1 link]`,
	}},
	// The document is sent a second time on purpose, so both signers are invited again.
	{provider: "clickwrap", name: "resend", messages: []string{
		`sms 13175551234: You've been sent "Consulting Agreement" by PactSafe. Please review & sign: L`,
		`email eric.smith@example.com: Please review & sign "Consulting Agreement" [1 link]`,
		`email jane.roe@example.com: Please review & sign "Consulting Agreement" [1 link]`,
		`sms 13175551234: You've been sent "Consulting Agreement" by PactSafe. Please review & sign: L`,
		`email eric.smith@example.com: Please review & sign "Consulting Agreement" [1 link]`,
		`email jane.roe@example.com: Please review & sign "Consulting Agreement" [1 link]`,
	}},
	{provider: "clickwrap", name: "declined", messages: []string{
		`sms 13175551234: You've been sent "Non-Compete Agreement" by PactSafe. Please review & sign: L`,
		`email eric.smith@example.com: Please review & sign "Non-Compete Agreement" [1 link]`,
		`sms 13175550187: You've been sent "Non-Compete Agreement" by PactSafe. Please review & sign: L`,
		`email sam.lee@example.com: Please review & sign "Non-Compete Agreement" [1 link]`,
		`sms 13175550187: Eric Smith has declined to sign "Non-Compete Agreement". Nothing more is needed from you.`,
		`email sam.lee@example.com: Eric Smith has declined to sign "Non-Compete Agreement" [0 links]`,
		`email sender@signrelay.example: Eric Smith has declined to sign "Non-Compete Agreement" [0 links]`,
	}},
	// She wants only a text, which does not arrive.
	{provider: "clickwrap", name: "lost-text", lost: 1, messages: []string{
		`email rita.moss@example.com: Please review & sign "Volunteer Agreement" [1 link]`,
	}},
	// After STOP the progress message is only an e-mail: its text is made and not sent.
	{provider: "clickwrap", name: "stop", withheld: 1, messages: []string{
		`sms 13175551234: You've been sent "Photo Release" by PactSafe. Please review & sign: L`,
		`email eric.smith@example.com: Please review & sign "Photo Release" [1 link]`,
		`sms 13175550187: You've been sent "Photo Release" by PactSafe. Please review & sign: L`,
		`email sam.lee@example.com: Please review & sign "Photo Release" [1 link]`,
		`sms 13175551234: You will get no more texts from PactSafe. Reply START to get them again.`,
		`email eric.smith@example.com: Sam Lee has signed "Photo Release" [0 links]`,
		`sms 13175551234: PactSafe sends you documents to sign. Reply STOP to get no more texts.`,
		`sms 13175551234: You will get texts from PactSafe again. Reply STOP to end them, or HELP for help.`,
	}},

	{provider: "pleasesign", name: "one-signer", messages: []string{
		`sms 61491570006: You've been sent "Residential Tenancy Agreement" by PleaseSign. Please review & sign: L`,
		`email olivia.nguyen@example.com: Please review & sign "Residential Tenancy Agreement" [1 link]`,
		`sms 61491570006: "Residential Tenancy Agreement" has been accepted by all parties. Download your document here: L`,
		`email olivia.nguyen@example.com: "Residential Tenancy Agreement" has been accepted by all parties [1 link]`,
	}},
	{provider: "pleasesign", name: "two-signers", messages: []string{
		`sms 61491570006: You've been sent "Contract of Sale" by PleaseSign. Please review & sign: L`,
		`email olivia.nguyen@example.com: Please review & sign "Contract of Sale" [1 link]`,
		`sms 61491570156: You've been sent "Contract of Sale" by PleaseSign. Please review & sign: L`,
		`email jack.wilson@example.com: Please review & sign "Contract of Sale" [1 link]`,
		`sms 61491570156: Olivia Nguyen has signed "Contract of Sale". One more signature is needed to complete the document.`,
		`email jack.wilson@example.com: Olivia Nguyen has signed "Contract of Sale" [0 links]`,
		`sms 61491570006: "Contract of Sale" has been accepted by all parties. Download your document here: L`,
		`email olivia.nguyen@example.com: "Contract of Sale" has been accepted by all parties [1 link]`,
		`sms 61491570156: "Contract of Sale" has been accepted by all parties. Download your document here: L`,
		`email jack.wilson@example.com: "Contract of Sale" has been accepted by all parties [1 link]`,
	}},
	// The second signer gets an invitation when it is that signer's turn, and only once.
	{provider: "pleasesign", name: "ordered-signing", messages: []string{
		`sms 61491570006: You've been sent "Building Contract" by PleaseSign. Please review & sign: L`,
		`email olivia.nguyen@example.com: Please review & sign "Building Contract" [1 link]`,
		`sms 61491570156: You've been sent "Building Contract" by PleaseSign. Please review & sign: L`,
		`email jack.wilson@example.com: Please review & sign "Building Contract" [1 link]`,
		`sms 61491570006: "Building Contract" has been accepted by all parties. Download your document here: L`,
		`email olivia.nguyen@example.com: "Building Contract" has been accepted by all parties [1 link]`,
		`sms 61491570156: "Building Contract" has been accepted by all parties. Download your document here: L`,
		`email jack.wilson@example.com: "Building Contract" has been accepted by all parties [1 link]`,
	}},
	// One callback, two facts, one message to each person.
	{provider: "pleasesign", name: "declined", messages: []string{
		`sms 61491570006: You've been sent "Partnership Agreement" by PleaseSign. Please review & sign: L`,
		`email olivia.nguyen@example.com: Please review & sign "Partnership Agreement" [1 link]`,
		`sms 61491570156: You've been sent "Partnership Agreement" by PleaseSign. Please review & sign: L`,
		`email jack.wilson@example.com: Please review & sign "Partnership Agreement" [1 link]`,
		`sms 61491570156: Olivia Nguyen has declined to sign "Partnership Agreement". Nothing more is needed from you.`,
		`email jack.wilson@example.com: Olivia Nguyen has declined to sign "Partnership Agreement" [0 links]`,
		`email sender@signrelay.example: Olivia Nguyen has declined to sign "Partnership Agreement" [0 links]`,
	}},
	// Mia Kelly gets her link from PleaseSign itself, whose e-mail bounces. She has no number for a text.
	{provider: "pleasesign", name: "bounced", withheld: 1, messages: []string{
		`sms 61491570006: You've been sent "Service Agreement" by PleaseSign. Please review & sign: L`,
		`email olivia.nguyen@example.com: Please review & sign "Service Agreement" [1 link]`,
		`email sender@signrelay.example: Mia Kelly could not be reached about "Service Agreement" [1 link]`,
	}},
	// PleaseSign writes to the corrected address.
	{provider: "pleasesign", name: "corrected", withheld: 1, others: 1, messages: []string{
		`email sender@signrelay.example: Ava Martin could not be reached about "Retainer Agreement" [1 link]`,
		`email ava.martin@example.com: Please sign "Retainer Agreement" [1 link]`,
		`email ava.martin@example.com: "Retainer Agreement" has been accepted by all parties [1 link]`,
	}},
	// Signrelay writes to the corrected person. The first text is lost, and the first e-mail bounces.
	{provider: "pleasesign", name: "corrected-silent", lost: 1, refused: 1, messages: []string{
		`email sender@signrelay.example: Noah Tailor could not be reached about "Franchise Agreement" [1 link]`,
		`sms 61491570157: You've been sent "Franchise Agreement" by PleaseSign. Please review & sign: L`,
		`email noah.taylor@example.com: Please review & sign "Franchise Agreement" [1 link]`,
		`sms 61491570157: "Franchise Agreement" has been accepted by all parties. Download your document here: L`,
		`email noah.taylor@example.com: "Franchise Agreement" has been accepted by all parties [1 link]`,
	}},
	{provider: "pleasesign", name: "mixed", others: 1, messages: []string{
		`email mia.kelly@example.com: Please sign "Loan Agreement" [1 link]`,
		`sms 61491570006: You've been sent "Loan Agreement" by PleaseSign. Please review & sign: L`,
		`email olivia.nguyen@example.com: Please review & sign "Loan Agreement" [1 link]`,
		`sms 61491570006: Mia Kelly has signed "Loan Agreement". One more signature is needed to complete the document.`,
		`email olivia.nguyen@example.com: Mia Kelly has signed "Loan Agreement" [0 links]`,
		`sms 61491570006: "Loan Agreement" has been accepted by all parties. Download your document here: L`,
		`email olivia.nguyen@example.com: "Loan Agreement" has been accepted by all parties [1 link]`,
		`email mia.kelly@example.com: "Loan Agreement" has been accepted by all parties [1 link]`,
	}},

	// Both callbacks report the completion; she is notified once.
	{provider: "esign-v1", name: "one-signer", messages: []string{
		`sms 447700900123: You've been sent "Statement of Work" by Legalesign. Please review & sign: L`,
		`email amelia.clarke@example.com: Please review & sign "Statement of Work" [1 link]`,
		`sms 447700900123: "Statement of Work" has been accepted by all parties. Download your document here: L`,
		`email amelia.clarke@example.com: "Statement of Work" has been accepted by all parties [1 link]`,
	}},
	{provider: "esign-v1", name: "two-signers", messages: []string{
		`sms 447700900123: You've been sent "Shareholder Agreement" by Legalesign. Please review & sign: L`,
		`email amelia.clarke@example.com: Please review & sign "Shareholder Agreement" [1 link]`,
		`sms 447700900456: You've been sent "Shareholder Agreement" by Legalesign. Please review & sign: L`,
		`email oliver.hughes@example.com: Please review & sign "Shareholder Agreement" [1 link]`,
		`sms 447700900123: "Shareholder Agreement" has been accepted by all parties. Download your document here: L`,
		`email amelia.clarke@example.com: "Shareholder Agreement" has been accepted by all parties [1 link]`,
		`sms 447700900456: "Shareholder Agreement" has been accepted by all parties. Download your document here: L`,
		`email oliver.hughes@example.com: "Shareholder Agreement" has been accepted by all parties [1 link]`,
	}},
	// A person who signed before our first event about that person gets no invitation. An archived document has no page yet: see pages below.
	{provider: "esign-v1", name: "long-night", messages: []string{
		`sms 447700900123: "Supply Agreement" has been accepted by all parties. Download your document here: L`,
		`email amelia.clarke@example.com: "Supply Agreement" has been accepted by all parties [1 link]`,
		`sms 447700900456: "Supply Agreement" has been accepted by all parties. Download your document here: L`,
		`email oliver.hughes@example.com: "Supply Agreement" has been accepted by all parties [1 link]`,
		`email isla.morgan@example.com: Please review & sign "Data Processing Addendum" [1 link]`,
	}},
	{provider: "esign-v1", name: "declined", messages: []string{
		`sms 447700900123: You've been sent "Lease Renewal" by Legalesign. Please review & sign: L`,
		`email amelia.clarke@example.com: Please review & sign "Lease Renewal" [1 link]`,
		`sms 447700900456: You've been sent "Lease Renewal" by Legalesign. Please review & sign: L`,
		`email oliver.hughes@example.com: Please review & sign "Lease Renewal" [1 link]`,
		`sms 447700900456: Amelia Clarke has declined to sign "Lease Renewal". Nothing more is needed from you.`,
		`email oliver.hughes@example.com: Amelia Clarke has declined to sign "Lease Renewal" [0 links]`,
		`email sender@signrelay.example: Amelia Clarke has declined to sign "Lease Renewal" [0 links]`,
	}},
	// The provider's API cannot change a signer: the correction is for our messages only.
	{provider: "esign-v1", name: "corrected", withheld: 1, refused: 1, messages: []string{
		`email sender@signrelay.example: Grace Evans could not be reached about "Catering Contract" [1 link]`,
		`email grace.evans@example.com: Please review & sign "Catering Contract" [1 link]`,
		`email grace.evans@example.com: "Catering Contract" has been accepted by all parties [1 link]`,
	}},
}

// pages has the status of the page behind a finished document's links, if it is not 200: the page explains why there is nothing to sign or to download.
var pages = map[string]int{
	"Supply Agreement":      http.StatusServiceUnavailable, // the archive delivers it within four hours
	"Partnership Agreement": http.StatusGone,
	"Lease Renewal":         http.StatusGone,
}

func TestStories(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *testenv.Env{
		"in one process":             func(t testing.TB) *testenv.Env { return testenv.Standalone(t) },
		"with a process a service":   testenv.Separate,
		"with two processes a stage": testenv.Replicated,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t)
			for _, s := range stories {
				h.ClearMessages(t)
				h.Play(t, s.provider, s.name)
				s.check(t, h)
			}
			h.WaitIdle(t)
			everyMessageIsInTheLog(t, h)
			everyCompletedDocumentIsArchived(t, h)
			everyDocumentIsExplained(t, h)
			if shared := h.Replicas("enricher"); len(shared) > 1 {
				everyReplicaWorked(t, h)
			}
		})
	}
}

// check waits for the story's messages, compares them, and follows their links.
func (s story) check(t *testing.T, h *testenv.Env) {
	t.Helper()
	for link, status := range s.awaitMessages(t, h) {
		followLink(t, link, status)
	}
}

// awaitMessages waits for the story's messages, compares them, and returns their links with the status of each page.
func (s story) awaitMessages(t *testing.T, h *testenv.Env) map[string]int {
	t.Helper()
	all := map[string]int{}
	h.Until(t, fmt.Sprintf("the messages of %s/%s have arrived", s.provider, s.name), func() bool { return len(h.Messages(t)) >= len(s.messages) })
	h.WaitIdle(t)
	var got []string
	for _, m := range h.Messages(t) {
		text, links := withoutLinks(m.Text)
		if m.Channel == "email" {
			text = fmt.Sprintf("%s [%d link%s]", m.Subject, len(links), strings.Repeat("s", 1-min(len(links), 1)))
		}
		got = append(got, m.Channel+" "+m.To+": "+text)
		for _, link := range links {
			all[link] = statusOf(m)
		}
	}
	slices.Sort(got)
	want := slices.Sorted(slices.Values(s.messages))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s/%s: messages (-want +got):\n%s", s.provider, s.name, diff)
	}
	return all
}

func statusOf(m testenv.Message) int {
	for title, status := range pages {
		if strings.Contains(m.Text, title) {
			return status
		}
	}
	return http.StatusOK
}

var link = regexp.MustCompile(`https?://\S+`)

func withoutLinks(text string) (string, []string) {
	links := link.FindAllString(text, -1)
	return strings.TrimSpace(link.ReplaceAllString(text, "L")), links
}

// phone is the User-Agent of a signer's browser.
const phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"

// followLink follows a link as a signer does, presses the button if the page has one, and requires this status.
func followLink(t *testing.T, link string, want int) {
	t.Helper()
	status, page := follow(t, http.MethodGet, link)
	if strings.Contains(page, `<form method="post">`) && status == http.StatusOK {
		status, page = follow(t, http.MethodPost, link)
	}
	if status != want || page == "" {
		t.Errorf("the page of a link has status %d, want %d; %d bytes", status, want, len(page))
	}
}

func follow(t *testing.T, method, link string) (status int, page string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, link, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", phone)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("a link does not open: %v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// everyMessageIsInTheLog requires every step of each message in the log: requested once, sent once, and for a text delivered once. It also
// requires events of opened links.
func everyMessageIsInTheLog(t *testing.T, h *testenv.Env) {
	t.Helper()
	steps := map[string]map[string]int{} // by notification
	var withheld []string                // the notifications that were suppressed
	texts, opened, duplicates := 0, 0, 0
	collect := func() {
		steps, withheld, texts, opened, duplicates = map[string]map[string]int{}, nil, 0, 0, 0
		log := event.Log{JS: h.JetStream(t), Stream: flow.Signing}
		for m, err := range log.Messages(t.Context(), "signing.v1.>", allOfIt) {
			if err != nil {
				t.Fatal(err)
			}
			e, err := event.Decode(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			if e.GetNotice().GetPossibleDuplicate() {
				duplicates++
			}
			switch id := e.GetNotice().GetNotificationId(); {
			case e.GetType() == "link.opened":
				opened++
			case e.GetType() == "notification.suppressed":
				withheld = append(withheld, id)
			case id != "":
				if steps[id] == nil {
					steps[id] = map[string]int{}
				}
				steps[id][e.GetType()]++
				if e.GetType() == "notification.delivered" {
					texts++
				}
			}
		}
	}
	due, sms, impossible, refused := 0, 0, 0, 0
	for _, s := range stories {
		due, impossible, refused = due+len(s.messages)-s.others+s.lost+s.refused, impossible+s.withheld, refused+s.refused
		for _, m := range s.messages {
			if strings.HasPrefix(m, "sms ") {
				sms++
			}
		}
	}
	h.Until(t, "every text's delivery receipt has arrived", func() bool { collect(); return texts >= sms })
	if duplicates > 0 {
		t.Errorf("%d messages are marked as possible duplicates, and no part of the system failed", duplicates)
	}
	for _, id := range withheld { // a message that a person does not want was requested, and nothing else
		if steps[id]["notification.requested"] == 1 && len(steps[id]) == 1 {
			delete(steps, id)
		}
	}
	if len(steps) != due || opened == 0 {
		t.Errorf("the log has %d messages and %d opened links, want %d and at least one", len(steps), opened, due)
	}
	if len(withheld) != impossible {
		t.Errorf("%d messages were suppressed, want %d", len(withheld), impossible)
	}
	for id, happened := range steps {
		if happened["notification.failed"] == 1 && happened["notification.sent"] == 0 && happened["notification.requested"] == 1 {
			refused--
			continue
		}
		if happened["notification.requested"] != 1 || happened["notification.sent"] != 1 || happened["notification.delivered"] > 1 {
			t.Errorf("notification %s: %v", id, happened)
		}
	}
	if refused != 0 {
		t.Errorf("%d more messages than in the stories must be refused", refused)
	}
}

var allOfIt time.Time // the log from its beginning

// attempted matches the metric of a stage that has completed an input.
var attempted = regexp.MustCompile(`(?m)^signrelay_stage_attempts_total\{.*outcome="(done|skip)",.*\} [1-9]`)

// everyReplicaWorked requires that each replica of each stage had work: otherwise the test does not prove that replicas share it.
func everyReplicaWorked(t *testing.T, h *testenv.Env) {
	t.Helper()
	for _, service := range testenv.Services[2:] {
		if !slices.ContainsFunc(flow.Stages, func(s flow.Stage) bool { return s.Program() == service && !s.Ordered }) {
			continue // it has no input stream, or one replica does all the work
		}
		for _, p := range h.Replicas(service) {
			response, err := http.Get(p.AdminURL() + "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			metrics, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || !attempted.Match(metrics) {
				t.Errorf("%s had no work (%v)", p.Name, err)
			}
		}
	}
}

// make demo checks its own result; here it must succeed.
func TestDemo(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), testenv.Program(t, "demo")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "All 17 messages arrived") {
		t.Errorf("the demo: %v\n%s", err, out)
	}
}
