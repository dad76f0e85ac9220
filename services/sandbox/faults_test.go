package sandbox_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"
)

const requestPath = "/v1.1/requests/5a0000000000000000000000"

func TestRefusedCallsAreNotDone(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	for _, target := range []string{"vonage", "clickwrap", "smtp"} {
		w.fault(`{"target":"` + target + `","mode":"refuse","count":2}`)
	}
	client := dial(t, w)
	for range 2 {
		wantStatus(t, w.postForm(smsForm()), 500)
		wantStatus(t, w.do("GET", requestPath, "", bearer), 500)
		wantReply(t, send(client, alternative, "j@example.com"), 451)
	}
	if got := w.received(""); len(got) != 0 {
		t.Errorf("%d messages were taken", len(got))
	}
	wantGoodAgain(t, w)
}

func TestThrottledCallsAreTurnedAwayInEachOnesWords(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	for _, target := range []string{"vonage", "clickwrap", "smtp"} {
		w.fault(`{"target":"` + target + `","mode":"throttle"}`)
	}
	if got := w.sms(smsForm()); got.Messages[0].Status != "1" {
		t.Errorf("Vonage answered %+v", got)
	}
	a := w.do("GET", requestPath, "", bearer)
	wantStatus(t, a, 429)
	if a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
	}
	wantReply(t, send(dial(t, w), alternative, "j@example.com"), 421)
	if got := w.received(""); len(got) != 0 {
		t.Errorf("%d messages were taken", len(got))
	}
	wantGoodAgain(t, w)
}

func TestDroppedCallsAreDoneAndNeverAnswered(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	for _, target := range []string{"vonage", "clickwrap", "smtp"} {
		w.fault(`{"target":"` + target + `","mode":"drop"}`)
	}
	if a, err := w.try(t.Context(), "POST", "/sms/json", smsForm().Encode(), formHeader); !errors.Is(err, io.EOF) {
		t.Errorf("Vonage answered %d, %v; want a closed connection", a.status, err)
	}
	if a, err := w.try(t.Context(), "GET", requestPath, "", bearer); !errors.Is(err, io.EOF) {
		t.Errorf("Clickwrap answered %d, %v; want a closed connection", a.status, err)
	}
	if err := send(dial(t, w), alternative, "j@example.com"); !errors.Is(err, io.EOF) {
		t.Errorf("the mail server said %v, want a closed connection", err)
	}
	if got := w.received(""); len(got) != 2 || got[0].Channel != "sms" || got[1].Channel != "email" {
		t.Errorf("received %+v, want the text and the letter", got)
	}
	wantGoodAgain(t, w)
}

func TestSlowCallsAreDoneAndAnsweredLate(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	w.fault(`{"target":"vonage","mode":"slow","delay_ms":40}`)
	w.fault(`{"target":"smtp","mode":"slow","delay_ms":40}`)
	begun := time.Now()
	if got := w.sms(smsForm()); got.Messages[0].Status != "0" || time.Since(begun) < 40*time.Millisecond {
		t.Errorf("Vonage answered %+v after %v", got, time.Since(begun))
	}
	begun = time.Now()
	if err := send(dial(t, w), alternative, "j@example.com"); err != nil || time.Since(begun) < 40*time.Millisecond {
		t.Errorf("the mail server said %v after %v", err, time.Since(begun))
	}
}

func TestWhoDoesNotWaitForASlowAnswerHasSentNevertheless(t *testing.T) {
	t.Parallel()
	w := open(t, "") // its end must not wait for the minute, either
	w.fault(`{"target":"vonage","mode":"slow","delay_ms":60000}`)
	ctx, hangUp := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := w.try(ctx, "POST", "/sms/json", smsForm().Encode(), formHeader)
		ended <- err
	}()
	for len(w.received("")) == 0 { // bounded by the test's deadline
		select {
		case err := <-ended:
			t.Fatalf("answered at once: %v", err)
		default:
		}
	}
	hangUp()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestFaultsQueueUpAndCanBeCalledOff(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	w.fault(`{"target":"vonage","mode":"throttle"}`)
	w.fault(`{"target":"vonage","mode":"refuse","count":100}`)
	wantStatus(t, w.postForm(smsForm()), 200)
	wantStatus(t, w.postForm(smsForm()), 500)
	wantStatus(t, w.do("DELETE", "/api/faults", "", nil), 204)
	wantGoodAgain(t, w)
}

func TestAFaultThatMakesNoSenseIsRefused(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	for body, detail := range map[string]string{
		`{"target":"nobody","mode":"slow"}`:                  "target is one of",
		`{"target":"smtp","mode":"explode"}`:                 "mode is one of",
		`{"target":"smtp","mode":"slow","count":-1}`:         "count",
		`{"target":"smtp","mode":"slow","delay_ms":60001}`:   "delay_ms",
		`{"target":"smtp","mode":"slow","delay_ms":-1}`:      "delay_ms",
		`{"target":"smtp","mode":"slow","delay_seconds":1}`:  "the body",
		`{"target":"smtp","mode":"slow","count":"a string"}`: "the body",
	} {
		wantProblem(t, w.post("/api/faults", body), 400, detail)
	}
	wantGoodAgain(t, w)
}

// wantGoodAgain is the control: with no fault left, everything works.
func wantGoodAgain(t *testing.T, w world) {
	t.Helper()
	before := len(w.received(""))
	if got := w.sms(smsForm()); got.Messages[0].Status != "0" {
		t.Errorf("Vonage still answers %+v", got)
	}
	wantStatus(t, w.do("GET", requestPath, "", bearer), 404)
	post(t, w, alternative, "j@example.com")
	if got := w.received(""); len(got) != before+2 {
		t.Errorf("%d messages were received since, want 2", len(got)-before)
	}
}
