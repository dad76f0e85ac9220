package enricher

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/stage"
)

// failed, held and limited are errors as the REST clients return them.
func failed(after time.Duration, err error) error {
	return outcome.Failure(outcome.Provider, "", outcome.RetryAfter(after, err))
}

func held(err error) error { return outcome.NeedsOperator(outcome.Account, "", err) }

func limited(by *limit.LaterError) error { return by.Outcome(&pack.CallError{Op: "GET", Err: by}) }

func TestOutcomeOf(t *testing.T) {
	t.Parallel()
	const last = 151 // the policy's last attempt
	for _, test := range []struct {
		name    string
		err     error
		attempt int
		want    stage.Decision // without its spread
	}{
		{"unavailable", failed(0, &pack.CallError{Op: "GET"}), 1, stage.Decision{Kind: "retry", Reason: "failed", Delay: 750 * time.Millisecond}},
		{"not ready yet", failed(0, &pack.CallError{Op: "GET", Status: http.StatusNotFound}), 2, stage.Decision{Kind: "retry", Reason: "failed", Delay: 1500 * time.Millisecond}},
		{"throttled", failed(7*time.Second, &pack.CallError{Op: "GET", Status: http.StatusTooManyRequests}), 1, stage.Decision{Kind: "retry", Reason: "named", Delay: 7 * time.Second}},
		{"refused", outcome.Refused(outcome.Provider, "", &pack.CallError{Op: "GET", Status: http.StatusBadRequest}), 1, stage.Decision{Kind: "give-up", Reason: "permanent"}},
		{"unauthorized", held(&pack.CallError{Op: "GET", Status: http.StatusUnauthorized}), 1, stage.Decision{Kind: "retry", Reason: "named", Delay: 15 * time.Minute}},
		{"unauthorized, for an hour", held(outcome.RetryAfter(time.Hour, &pack.CallError{Op: "GET"})), 1, stage.Decision{Kind: "retry", Reason: "named", Delay: time.Hour}},
		{"unauthorized, for too long", held(&pack.CallError{Op: "GET"}), last, stage.Decision{Kind: "give-up", Reason: "attempts-exhausted"}},
		{"for too long", failed(0, &pack.CallError{Op: "GET"}), last, stage.Decision{Kind: "give-up", Reason: "attempts-exhausted"}},
		{"our own limit", limited(&limit.LaterError{After: 3 * time.Second}), last, stage.Decision{Kind: "retry", Reason: "rate-limit", Delay: 3 * time.Second}},
		{"the circuit", limited(&limit.LaterError{After: 3 * time.Second, Circuit: true}), last, stage.Decision{Kind: "retry", Reason: "circuit-open", Delay: 3 * time.Second}},
		{"another group", fmt.Errorf("look: %w", pack.ErrNotOurs), 1, stage.Decision{Kind: "skip", Reason: "other-group"}},
		{"anything else", errors.New("no"), 1, stage.Decision{Kind: "retry", Reason: "failed", Delay: 750 * time.Millisecond}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := stage.Decide(outcomeOf(test.err), test.attempt, flow.StageNamed(flow.Enricher).Policy)
			got.Spread = 0
			if got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}
