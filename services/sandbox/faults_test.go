package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
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
		wantProblem(t, w.post("/api/faults", body), 400, detail)
	}
	wantGoodAgain(t, w)
}

// outside is one HTTP party of the outside world, and a call of it that is good.
var outside = []struct {
	target string
	call   func(world) (answer, error)
	good   int // what it answers
}{
	{"clickwrap", func(w world) (answer, error) {
		return w.try(w.t.Context(), "GET", "/v1.1/requests/596f858584281715b3493d0c", "", bearer)
	}, 200},
	{"pleasesign", func(w world) (answer, error) {
		return w.try(w.t.Context(), "GET", "/document/PLSDOC19704278f8c51564ff0c707817", "", pleasesignKeys)
	}, 200},
	{"esign-v1", func(w world) (answer, error) {
		return w.try(w.t.Context(), "GET", "/api/v1/document/%5Bdoc-id%5D/", "", esignKeys)
	}, 200},
	{"bitly", func(w world) (answer, error) {
		return w.try(w.t.Context(), "POST", "/v4/shorten", `{"long_url":"`+long+`","force_new_link":true}`, bitlyKey)
	}, 201},
	{"rebrandly", func(w world) (answer, error) {
		return w.try(w.t.Context(), "POST", "/v1/links", `{"destination":"`+long+`"}`, rebrandlyKey)
	}, 200},
	{"vonage", func(w world) (answer, error) {
		return w.try(w.t.Context(), "POST", "/sms/json", smsForm().Encode(), formHeader)
	}, 200},
}

func TestEveryPartyFailsInEveryWay(t *testing.T) {
	t.Parallel()
	for _, party := range outside {
		w := open(t, "")
		for _, mode := range []string{"refuse", "throttle", "drop", "cut", "garbage", "slow", "401", "404", "500", "503"} {
			w.fault(`{"target":"` + party.target + `","mode":"` + mode + `","delay_ms":1}`)
			a, err := party.call(w)
			got := "answered"
			switch {
			case errors.Is(err, io.ErrUnexpectedEOF):
				got = "cut"
			case errors.Is(err, io.EOF):
				got = "drop"
			case err != nil:
				t.Errorf("%s, %s: %v", party.target, mode, err)
			case a.status != party.good:
				got = strconv.Itoa(a.status)
			case !json.Valid([]byte(a.body)):
				got = "garbage"
			case strings.Contains(a.body, `"status":"1"`):
				got = "throttle"
			}
			want := map[string]string{"refuse": "500", "throttle": "429", "slow": "answered"}[mode]
			switch {
			case party.target == "vonage" && mode == "throttle":
				want = mode // in its own words
			case party.target == "bitly" && mode == "garbage":
				want = "200"
			case want == "":
				want = mode
			}
			if got != want {
				t.Errorf("%s, %s: %s, want %s: %s", party.target, mode, got, want, a.body)
			}
			if mode == "throttle" && party.target != "vonage" && a.header.Get("Retry-After") != "1" {
				t.Errorf("%s: Retry-After is %q", party.target, a.header.Get("Retry-After"))
			}
		}
		if a, err := party.call(w); err != nil || a.status != party.good { // the control
			t.Errorf("%s is not good again: %d %v", party.target, a.status, err)
		}
	}
}

func TestVonageSaysItsOwnStatus(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	for _, status := range []string{"4", "9", "29"} {
		w.fault(`{"target":"vonage","mode":"` + status + `"}`)
		if got := w.sms(smsForm()); len(got.Messages) != 1 || got.Messages[0].Status != status || got.Messages[0].MessageID != "" {
			t.Errorf("%s: answered %+v", status, got)
		}
	}
	for _, mode := range []string{"cut", "garbage"} { // done, and the sender cannot know
		w.fault(`{"target":"vonage","mode":"` + mode + `"}`)
		_, _ = w.try(t.Context(), "POST", "/sms/json", smsForm("text", mode).Encode(), formHeader)
	}
	if got := w.received(""); len(got) != 2 || got[0].Text != "cut" || got[1].Text != "garbage" {
		t.Errorf("received %+v", got)
	}
	wantGoodAgain(t, w)
}

func TestAReplyCodeIsGivenForTheRecipient(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	for _, code := range []int{450, 550, 552} {
		w.fault(`{"target":"smtp","mode":"` + strconv.Itoa(code) + `"}`)
		wantReply(t, send(dial(t, w), alternative, "j@example.com"), code)
	}
	w.fault(`{"target":"smtp","mode":"cut"}`)
	if err := send(dial(t, w), alternative, "j@example.com"); err == nil {
		t.Error("a letter was taken and is none")
	}
	if got := w.received(""); len(got) != 0 {
		t.Errorf("%d letters arrived", len(got))
	}
	wantGoodAgain(t, w)
}

func TestOrderedFaultsAreListed(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	w.fault(`{"target":"smtp","mode":"550"}`)
	w.fault(`{"target":"vonage","mode":"throttle","count":2}`)
	w.fault(`{"target":"vonage","mode":"slow","delay_ms":5}`)
	w.sms(smsForm())
	const want = `[{"target":"vonage","mode":"throttle","count":1,"delay_ms":1000},` +
		`{"target":"vonage","mode":"slow","count":1,"delay_ms":5},{"target":"smtp","mode":"550","count":1,"delay_ms":1000}]` + "\n"
	if got := w.get("/api/faults"); got.body != want {
		t.Errorf("listed are %s", got.body)
	}
	if page := w.get("/").body; !strings.Contains(page, "<li>vonage: throttle, 1 call</li>") {
		t.Error("the page does not list them")
	}
	wantStatus(t, w.do("DELETE", "/api/faults", "", nil), 204)
	if got := w.get("/api/faults"); got.body != "[]\n" {
		t.Errorf("called off, and listed are %s", got.body)
	}
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
