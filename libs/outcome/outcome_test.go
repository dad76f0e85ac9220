package outcome

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

var errPlain = errors.New("it failed")

func TestOf(t *testing.T) {
	t.Parallel()
	when := time.Unix(1, 0)
	for name, c := range map[string]struct {
		err  error
		want Outcome
	}{
		"no error":                           {nil, Outcome{}},
		"plain":                              {errPlain, Outcome{kind: Failed}},
		"a failure of the other side":        {Failure(Provider, "throttled", errPlain), Outcome{kind: Failed, cause: "throttled", fault: Provider}},
		"that is down":                       {Down(Failure(Provider, "no-answer", nil)), Outcome{kind: Failed, cause: "no-answer", fault: Provider, scope: Service}},
		"and may have had its effect":        {Down(Unknown(Failure(Provider, "no-answer", nil))), Outcome{kind: Failed, cause: "no-answer", fault: Provider, scope: Service, unknown: true, stated: true}},
		"refused":                            {Refused(Recipient, "number-barred", nil), Outcome{kind: GaveUp, cause: "number-barred", fault: Recipient, stated: true}},
		"permanent, wrapped":                 {fmt.Errorf("call: %w", Permanent(errPlain)), Outcome{kind: GaveUp, stated: true}},
		"permanent, joined":                  {errors.Join(errPlain, Permanent(errPlain)), Outcome{kind: GaveUp, stated: true}},
		"permanent with a reason":            {PermanentFor("undecodable", errPlain), Outcome{kind: GaveUp, reason: "undecodable", stated: true}},
		"the operator's":                     {NeedsOperator(Account, "bad-credentials", nil), Outcome{kind: Held, cause: "bad-credentials", fault: Operator, scope: Account, stated: true}},
		"held, as a counted failure":         {RetryAfter(time.Minute, NeedsOperator(Account, "", errPlain)), Outcome{kind: Failed, fault: Operator, scope: Account, after: time.Minute, stated: true}},
		"unknown and named":                  {Unknown(RetryAfter(time.Minute, errPlain)), Outcome{kind: Failed, after: time.Minute, unknown: true, stated: true}},
		"named twice":                        {RetryAfter(time.Second, RetryAfter(time.Minute, errPlain)), Outcome{kind: Failed, after: time.Minute, stated: true}},
		"later":                              {Later(time.Second, "rate-limit"), Outcome{kind: Waits, reason: "rate-limit", after: time.Second, quiet: true, stated: true}},
		"not tried":                          {NotTried(time.Second, "rate-limit", errPlain), Outcome{kind: Waits, reason: "rate-limit", after: time.Second, quiet: true, stated: true}},
		"later, with a reason":               {errors.Join(Later(time.Second, "operator"), NeedsOperator(Reason, "smtp-550", nil)), Outcome{kind: Waits, reason: "operator", after: time.Second, quiet: true, cause: "smtp-550", fault: Operator, scope: Reason, stated: true}},
		"postponed after an unknown outcome": {PutOff(time.Second, "circuit-open", Unknown(errPlain)), Outcome{kind: Waits, reason: "circuit-open", after: time.Second, unknown: true, stated: true}},
		"given up while postponed":           {Permanent(PutOff(time.Second, "circuit-open", errPlain)), Outcome{kind: GaveUp, reason: "circuit-open", after: time.Second, stated: true}},
		"away hides the inner kind":          {Away("dlq", Permanent(errPlain)), Outcome{kind: Waits, reason: "dlq", stated: true}},
		"since":                              {Since(when, Unknown(errPlain)), Outcome{kind: Failed, since: when, unknown: true, stated: true}},
		"skipped":                            {Skip("already-signed"), Outcome{kind: Skips, reason: "already-signed", stated: true}},
		"skipped without bounds":             {Skip("user 17 is gone"), Outcome{kind: Skips, reason: "other", stated: true}},
		"a panic":                            {Panicked(errPlain), Outcome{kind: Failed, reason: "panic", unknown: true, fault: Ours, stated: true}},
	} {
		if got := Of(c.err); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// An outcome is an error like any other: its text describes the failure, and errors.Is finds the cause in it.
func TestAnOutcomeIsAnError(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"it failed":               Permanent(Unknown(RetryAfter(time.Second, errPlain))),
		"throttled: it failed":    Since(time.Now(), Down(Failure(Provider, "throttled", errPlain))),
		"number-barred":           Refused(Recipient, "number-barred", nil),
		"rate-limit":              Later(time.Second, "rate-limit"),
		"call: it failed":         NotTried(time.Second, "rate-limit", fmt.Errorf("call: %w", errPlain)),
		"call: smtp-5: it failed": fmt.Errorf("call: %w", NeedsOperator(Account, "smtp-5", errPlain)),
		"already-signed":          Skip("already-signed"),
		"a part is unavailable":   Away("publish", errors.New("a part is unavailable")),
	} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
	if err := PutOff(time.Second, "operator", NeedsOperator(Account, "x", errPlain)); !errors.Is(err, errPlain) {
		t.Errorf("%v does not wrap its cause", err)
	}
}
