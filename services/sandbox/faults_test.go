package sandbox_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

const requestPath = "/v1.1/requests/5a0000000000000000000000"

var bearer = http.Header{"Authorization": {"Bearer rest-token"}}

func TestRefusedCallsHaveNoEffect(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	for _, target := range []string{"vonage", "clickwrap", "smtp"} {
		w.Fault(`{"target":"` + target + `","mode":"refuse","count":2}`)
	}
	client := sandboxtest.DialSMTP(t, w)
	for range 2 {
		sandboxtest.WantStatus(t, w.PostForm(sandboxtest.SMSForm()), 500)
		sandboxtest.WantStatus(t, w.Do("GET", requestPath, "", bearer), 500)
		sandboxtest.WantReply(t, sandboxtest.SendMail(client, sandboxtest.Alternative, "j@example.com"), 451)
	}
	if got := w.Received(""); len(got) != 0 {
		t.Errorf("%d messages were accepted", len(got))
	}
	sandboxtest.WantGoodAgain(t, w)
}

func TestThrottledCallsAreRefusedInEachPartysFormat(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	for _, target := range []string{"vonage", "clickwrap", "smtp"} {
		w.Fault(`{"target":"` + target + `","mode":"throttle"}`)
	}
	if got := w.SMS(sandboxtest.SMSForm()); got.Messages[0].Status != "1" {
		t.Errorf("Vonage responded %+v", got)
	}
	a := w.Do("GET", requestPath, "", bearer)
	sandboxtest.WantStatus(t, a, 429)
	if a.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
	}
	sandboxtest.WantReply(t, sandboxtest.SendMail(sandboxtest.DialSMTP(t, w), sandboxtest.Alternative, "j@example.com"), 421)
	if got := w.Received(""); len(got) != 0 {
		t.Errorf("%d messages were accepted", len(got))
	}
	sandboxtest.WantGoodAgain(t, w)
}

func TestDroppedCallsTakeEffectWithoutAResponse(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	for _, target := range []string{"vonage", "clickwrap", "smtp"} {
		w.Fault(`{"target":"` + target + `","mode":"drop"}`)
	}
	if a, err := w.Try(t.Context(), "POST", "/sms/json", sandboxtest.SMSForm().Encode(), sandboxtest.FormHeader); !errors.Is(err, io.EOF) {
		t.Errorf("Vonage responded %d, %v; want a closed connection", a.Status, err)
	}
	if a, err := w.Try(t.Context(), "GET", requestPath, "", bearer); !errors.Is(err, io.EOF) {
		t.Errorf("Clickwrap responded %d, %v; want a closed connection", a.Status, err)
	}
	if err := sandboxtest.SendMail(sandboxtest.DialSMTP(t, w), sandboxtest.Alternative, "j@example.com"); !errors.Is(err, io.EOF) {
		t.Errorf("the mail server replied %v, want a closed connection", err)
	}
	if got := w.Received(""); len(got) != 2 || got[0].Channel != "sms" || got[1].Channel != "email" {
		t.Errorf("received %+v, want the SMS and the e-mail", got)
	}
	sandboxtest.WantGoodAgain(t, w)
}

func TestSlowCallsTakeEffectWithALateResponse(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	w.Fault(`{"target":"vonage","mode":"slow","delay_ms":40}`)
	w.Fault(`{"target":"smtp","mode":"slow","delay_ms":40}`)
	begun := time.Now()
	if got := w.SMS(sandboxtest.SMSForm()); got.Messages[0].Status != "0" || time.Since(begun) < 40*time.Millisecond {
		t.Errorf("Vonage responded %+v after %v", got, time.Since(begun))
	}
	begun = time.Now()
	if err := sandboxtest.SendMail(sandboxtest.DialSMTP(t, w), sandboxtest.Alternative, "j@example.com"); err != nil || time.Since(begun) < 40*time.Millisecond {
		t.Errorf("the mail server replied %v after %v", err, time.Since(begun))
	}
}

func TestASlowCallTakesEffectEvenIfTheClientDisconnects(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "") // the shutdown must not wait for that minute either
	w.Fault(`{"target":"vonage","mode":"slow","delay_ms":60000}`)
	ctx, hangUp := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := w.Try(ctx, "POST", "/sms/json", sandboxtest.SMSForm().Encode(), sandboxtest.FormHeader)
		ended <- err
	}()
	for len(w.Received("")) == 0 { // limited by the test's deadline
		select {
		case err := <-ended:
			t.Fatalf("responded immediately: %v", err)
		default:
		}
	}
	hangUp()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestFaultsQueueAndCanBeRemoved(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	w.Fault(`{"target":"vonage","mode":"throttle"}`)
	w.Fault(`{"target":"vonage","mode":"refuse","count":100}`)
	sandboxtest.WantStatus(t, w.PostForm(sandboxtest.SMSForm()), 200)
	sandboxtest.WantStatus(t, w.PostForm(sandboxtest.SMSForm()), 500)
	sandboxtest.WantStatus(t, w.Do("DELETE", "/api/faults", "", nil), 204)
	sandboxtest.WantGoodAgain(t, w)
}

func TestInvalidFaultsAreRefused(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	for body, detail := range map[string]string{
		`{"target":"unknown","mode":"slow"}`:                 "target is one of",
		`{"target":"smtp","mode":"explode"}`:                 "mode is one of",
		`{"target":"smtp","mode":"garbage"}`:                 "mode is one of",
		`{"target":"smtp","mode":"250"}`:                     "400 to 599",
		`{"target":"clickwrap","mode":"200"}`:                "201 to 599",
		`{"target":"clickwrap","mode":"fail"}`:               "mode is one of",
		`{"target":"receipts","mode":"500"}`:                 "1 to 99",
		`{"target":"smtp","mode":"slow","count":-1}`:         "count",
		`{"target":"smtp","mode":"slow","delay_ms":60001}`:   "delay_ms",
		`{"target":"smtp","mode":"slow","delay_ms":-1}`:      "delay_ms",
		`{"target":"smtp","mode":"slow","delay_seconds":1}`:  "the body",
		`{"target":"smtp","mode":"slow","count":"a string"}`: "the body",
	} {
		sandboxtest.WantProblem(t, w.Post("/api/faults", body), 400, detail)
	}
	sandboxtest.WantGoodAgain(t, w)
}

func TestQueuedFaultsAreListed(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	w.Fault(`{"target":"smtp","mode":"550"}`)
	w.Fault(`{"target":"vonage","mode":"throttle","count":2}`)
	w.Fault(`{"target":"vonage","mode":"slow","delay_ms":5}`)
	w.SMS(sandboxtest.SMSForm())
	const want = `[{"target":"vonage","mode":"throttle","count":1,"delay_ms":1000},` +
		`{"target":"vonage","mode":"slow","count":1,"delay_ms":5},{"target":"smtp","mode":"550","count":1,"delay_ms":1000}]` + "\n"
	if got := w.Get("/api/faults"); got.Body != want {
		t.Errorf("the list is %s", got.Body)
	}
	if page := w.Get("/").Body; !strings.Contains(page, "<li>vonage: throttle, 1 call</li>") {
		t.Error("the page does not list them")
	}
	sandboxtest.WantStatus(t, w.Do("DELETE", "/api/faults", "", nil), 204)
	if got := w.Get("/api/faults"); got.Body != "[]\n" {
		t.Errorf("after the removal, the list is %s", got.Body)
	}
}
