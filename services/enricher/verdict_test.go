package enricher

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/stage"
)

func TestVerdicts(t *testing.T) {
	t.Parallel()
	const last = 151 // the policy's last attempt
	for _, test := range []struct {
		name    string
		err     error
		attempt int
		want    stage.Decision // its spread is not looked at
	}{
		{"away", &pack.CallError{Op: "GET"}, 1, stage.Decision{Kind: "retry", Reason: "failed", Delay: 750 * time.Millisecond}},
		{"not ready yet", &pack.CallError{Op: "GET", Status: http.StatusNotFound}, 2, stage.Decision{Kind: "retry", Reason: "failed", Delay: 1500 * time.Millisecond}},
		{"throttled", &pack.CallError{Op: "GET", Status: http.StatusTooManyRequests, RetryAfter: 7 * time.Second}, 1, stage.Decision{Kind: "retry", Reason: "named", Delay: 7 * time.Second}},
		{"refused", &pack.CallError{Op: "GET", Status: http.StatusBadRequest, Then: pack.GiveUp}, 1, stage.Decision{Kind: "give-up", Reason: "permanent"}},
		{"not let in", &pack.CallError{Op: "GET", Status: http.StatusUnauthorized, Then: pack.Stop}, 1, stage.Decision{Kind: "retry", Reason: "named", Delay: 15 * time.Minute}},
		{"not let in, for an hour", &pack.CallError{Op: "GET", RetryAfter: time.Hour, Then: pack.Stop}, 1, stage.Decision{Kind: "retry", Reason: "named", Delay: time.Hour}},
		{"for too long", &pack.CallError{Op: "GET"}, last, stage.Decision{Kind: "give-up", Reason: "attempts-exhausted"}},
		{"our own limit", &pack.CallError{Op: "GET", Err: fmt.Errorf("call: %w", &limit.LaterError{After: 3 * time.Second})}, last, stage.Decision{Kind: "retry", Reason: "rate-limit", Delay: 3 * time.Second}},
		{"another group", fmt.Errorf("look: %w", pack.ErrNotOurs), 1, stage.Decision{Kind: "skip", Reason: "other-group"}},
		{"anything else", errors.New("no"), 1, stage.Decision{Kind: "retry", Reason: "failed", Delay: 750 * time.Millisecond}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := stage.Decide(verdict(test.err), test.attempt, flow.StageNamed(flow.Enricher).Policy)
			got.Spread = 0
			if got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}
