package service

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

type readyz struct {
	code   int
	body   string
	Status string
	Checks map[string]struct {
		OK       bool
		Degrades bool
		TookMS   *int64 `json:"took_ms"`
		Error    string
	}
}

func ask(t *testing.T, h *Health, target string) readyz {
	t.Helper()
	w := httptest.NewRecorder()
	h.ready(w, httptest.NewRequest(http.MethodGet, target, nil))
	a := readyz{code: w.Code, body: w.Body.String()}
	if strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Fatalf("%v: %s", err, w.Body)
		}
	}
	return a
}

func passes(context.Context) error { return nil }

func TestReadyOnlyBetweenUpAndDraining(t *testing.T) {
	t.Parallel()
	h := new(Health)
	h.Add("nats", passes)
	for _, step := range []struct {
		do   func()
		code int
		text string
	}{
		{func() {}, 503, "starting\n"},
		{h.setUp, 200, "ready\n"},
		{h.drain, 503, "draining\n"},
	} {
		step.do()
		if got := ask(t, h, "/readyz"); got.code != step.code || got.body != step.text {
			t.Errorf("%d %q, want %d %q", got.code, got.body, step.code, step.text)
		}
	}
	if got := ask(t, h, "/readyz?verbose"); got.Status != "draining" || !got.Checks["nats"].OK {
		t.Errorf("%+v", got)
	}
}

func TestVerboseShowsEachCheck(t *testing.T) {
	t.Parallel()
	h := new(Health)
	h.setUp()
	if got := ask(t, h, "/readyz?verbose"); got.code != 200 || got.body != `{"status":"ready","checks":{}}`+"\n" {
		t.Errorf("without checks: %d %s", got.code, got.body)
	}
	h.Add("nats", passes)
	h.AddSoft("redis", func(context.Context) error { return errors.New("dial redis://app:hunter2@10.0.0.1:6379: refused") })
	got := ask(t, h, "/readyz?verbose")
	if got.code != 200 || got.Status != "ready" || !got.Checks["nats"].OK || got.Checks["nats"].TookMS == nil {
		t.Errorf("a soft check failed: %+v", got)
	}
	if redis := got.Checks["redis"]; redis.OK || !redis.Degrades || redis.Error != "dial redis://10.0.0.1:6379: refused" {
		t.Errorf("%+v", redis)
	}

	h.Add("smtp", func(context.Context) error { return errors.New("away") })
	got = ask(t, h, "/readyz?verbose")
	if got.code != 503 || got.Status != "failing" || got.Checks["smtp"].Error != "away" || got.Checks["smtp"].Degrades {
		t.Errorf("a check failed: %+v", got)
	}
}

func TestProbesShareARoundOfChecks(t *testing.T) {
	t.Parallel()
	h := new(Health)
	h.setUp()
	var ran atomic.Int32
	h.Add("nats", func(context.Context) error {
		ran.Add(1)
		return nil
	})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { ask(t, h, "/readyz") })
	}
	wg.Wait()
	if n := ran.Load(); n != 1 {
		t.Errorf("50 probes at once ran the check %d times", n)
	}
}

func TestResultsStayValidForASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := new(Health)
		h.setUp()
		err := errors.New("away")
		h.Add("nats", func(context.Context) error { return err })
		if got := ask(t, h, "/readyz"); got.code != 503 {
			t.Errorf("%+v", got)
		}
		err = nil
		time.Sleep(checkEvery - time.Millisecond)
		if got := ask(t, h, "/readyz"); got.code != 503 {
			t.Errorf("the last round was not kept: %+v", got)
		}
		time.Sleep(time.Millisecond)
		if got := ask(t, h, "/readyz"); got.code != 200 {
			t.Errorf("the last round was kept too long: %+v", got)
		}
	})
}

func TestACheckThatHangsIsBoundedAndStartedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := new(Health)
		h.setUp()
		release := make(chan struct{})
		var started atomic.Int32
		h.Add("hangs", func(context.Context) error {
			started.Add(1)
			<-release
			return nil
		})
		h.Add("nats", passes)

		begin := time.Now()
		got := ask(t, h, "/readyz?verbose")
		if took := time.Since(begin); took != checkBound {
			t.Errorf("the probe waited %s", took)
		}
		if got.code != 503 || got.Checks["hangs"].Error != "no result within 2s" || !got.Checks["nats"].OK {
			t.Errorf("%+v", got)
		}

		time.Sleep(checkEvery)
		begin = time.Now()
		got = ask(t, h, "/readyz?verbose")
		if time.Since(begin) != 0 || got.Checks["hangs"].Error != "an earlier run of this check still hangs" || started.Load() != 1 {
			t.Errorf("the check was started %d times, %+v", started.Load(), got)
		}

		close(release)
		time.Sleep(checkEvery)
		if got := ask(t, h, "/readyz"); got.code != 200 {
			t.Errorf("not ready after the check returned: %+v", got)
		}
	})
}

func TestTwoChecksWithOneNamePanic(t *testing.T) {
	t.Parallel()
	h := new(Health)
	h.Add("nats", passes)
	defer func() {
		if recover() == nil {
			t.Error("the second check was accepted")
		}
	}()
	h.AddSoft("nats", passes)
}
