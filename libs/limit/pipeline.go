package limit

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/signrelay/signrelay/libs/batching"
)

// scriptCall is one caller's script call.
type scriptCall struct {
	script *redis.Script
	keys   []string
	args   []any

	reply *redis.Cmd
}

const (
	mostCalls = 64              // in one pipeline: about a millisecond of Redis's time
	callsFor  = 3 * time.Second // limits one pipeline, including the client's own retries
)

// newCalls returns the queue that sends the script calls of concurrent callers to Redis together: one write and one read for all calls that arrived
// while the previous ones were on their way. It returns nil for a client without pipelines.
func newCalls(client redis.Scripter) *batching.Queue[*scriptCall] {
	c, ok := client.(interface{ Pipeline() redis.Pipeliner })
	if !ok {
		return nil
	}
	return &batching.Queue[*scriptCall]{
		Send:   func(ctx context.Context, calls []*scriptCall) { sendCalls(ctx, client, c.Pipeline, calls) },
		Within: callsFor, Size: func(*scriptCall) (count, bytes int) { return 1, 0 }, MaxCount: mostCalls,
	}
}

// run calls a script. If ctx ends first, the script may still be executed.
func (r *Redis) run(ctx context.Context, script *redis.Script, keys []string, args ...any) *redis.Cmd {
	if r.calls == nil {
		return script.Run(ctx, r.client, keys, args...)
	}
	c := &scriptCall{script: script, keys: keys, args: args}
	if _, err := r.calls.Do(ctx, c); err != nil {
		failed := redis.NewCmd(ctx)
		failed.SetErr(err)
		return failed
	}
	return c.reply
}

func sendCalls(ctx context.Context, client redis.Scripter, pipe func() redis.Pipeliner, calls []*scriptCall) {
	if len(calls) == 1 {
		calls[0].reply = calls[0].script.Run(ctx, client, calls[0].keys, calls[0].args...)
		return
	}
	p := pipe()
	for _, c := range calls {
		c.reply = c.script.EvalSha(ctx, p, c.keys, c.args...)
	}
	_, _ = p.Exec(ctx) // each call has its own error
	for _, c := range calls {
		if redis.HasErrorPrefix(c.reply.Err(), "NOSCRIPT") {
			c.reply = c.script.Eval(ctx, client, c.keys, c.args...)
		}
	}
}
