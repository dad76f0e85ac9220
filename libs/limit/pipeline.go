package limit

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// pipeline sends the script calls of concurrent callers to Redis together: one write and one read for all calls that arrived while the
// previous ones were on their way. A single call is sent at once.
type pipeline struct {
	mu      sync.Mutex
	waiting []*scriptCall
	onWay   bool
}

// scriptCall is one caller's script call.
type scriptCall struct {
	script *redis.Script
	keys   []string
	args   []any

	reply *redis.Cmd
	done  chan struct{}
}

const (
	mostCalls = 64              // in one pipeline: about a millisecond of Redis's time
	callsFor  = 3 * time.Second // limits one pipeline, including the client's own retries
)

// run calls a script. If ctx ends first, the script may still be executed.
func (r *Redis) run(ctx context.Context, script *redis.Script, keys []string, args ...any) *redis.Cmd {
	client, ok := r.client.(interface{ Pipeline() redis.Pipeliner })
	if !ok {
		return script.Run(ctx, r.client, keys, args...)
	}
	c := &scriptCall{script: script, keys: keys, args: args, done: make(chan struct{})}
	r.calls.mu.Lock()
	r.calls.waiting = append(r.calls.waiting, c)
	if !r.calls.onWay {
		r.calls.onWay = true
		go r.sendCalls(client.Pipeline) //nolint:gosec // it serves many callers: the end of one caller's context must not end it
	}
	r.calls.mu.Unlock()
	select {
	case <-c.done:
		return c.reply
	case <-ctx.Done():
		failed := redis.NewCmd(ctx)
		failed.SetErr(ctx.Err())
		return failed
	}
}

// sendCalls sends calls until none waits.
func (r *Redis) sendCalls(pipe func() redis.Pipeliner) {
	for {
		calls := r.calls.next()
		if calls == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), callsFor)
		if len(calls) == 1 {
			calls[0].reply = calls[0].script.Run(ctx, r.client, calls[0].keys, calls[0].args...)
		} else {
			p := pipe()
			for _, c := range calls {
				c.reply = c.script.EvalSha(ctx, p, c.keys, c.args...)
			}
			_, _ = p.Exec(ctx) // each call has its own error
			for _, c := range calls {
				if redis.HasErrorPrefix(c.reply.Err(), "NOSCRIPT") {
					c.reply = c.script.Eval(ctx, r.client, c.keys, c.args...)
				}
			}
		}
		cancel()
		for _, c := range calls {
			close(c.done)
		}
	}
}

func (p *pipeline) next() []*scriptCall {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.waiting), mostCalls)
	if n == 0 {
		p.onWay, p.waiting = false, nil
		return nil
	}
	calls := p.waiting[:n:n]
	p.waiting = p.waiting[n:]
	return calls
}
