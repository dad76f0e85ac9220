package limit

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed take.lua
var takeScript string

//go:embed pause.lua
var pauseScript string

// Redis limits the calls of all replicas together. While Redis is away each process limits its own: a limit is worth less
// than the work that it would stop.
type Redis struct {
	client      redis.Scripter
	take, pause *redis.Script
	alone       *Local
}

// NewRedis makes a limiter that shares its places through Redis.
func NewRedis(client redis.Scripter) *Redis {
	return &Redis{client: client, take: redis.NewScript(takeScript), pause: redis.NewScript(pauseScript), alone: NewLocal()}
}

// The braces keep a key's two entries on one node of a cluster.
func keys(key string) (next, paused string) {
	return "signrelay:limit:{" + key + "}:next", "signrelay:limit:{" + key + "}:paused"
}

// Take implements Limiter.
func (r *Redis) Take(ctx context.Context, key string, rate Rate, patience time.Duration) (time.Duration, bool, error) {
	next, paused := keys(key)
	answer, err := r.take.Run(ctx, r.client, []string{next, paused},
		rate.interval().Microseconds(), rate.burst().Microseconds(), patience.Microseconds()).Int64Slice()
	switch {
	case ctx.Err() != nil:
		return 0, false, ctx.Err()
	case err != nil:
		return r.alone.Take(ctx, key, rate, patience)
	case len(answer) != 2:
		return 0, false, fmt.Errorf("take a place: %d numbers instead of 2", len(answer))
	}
	return time.Duration(answer[0]) * time.Microsecond, answer[1] == 1, nil
}

// Pause implements Limiter.
func (r *Redis) Pause(ctx context.Context, key string, d time.Duration) error {
	_, paused := keys(key)
	if err := r.pause.Run(ctx, r.client, []string{paused}, d.Microseconds()).Err(); err != nil {
		return r.alone.Pause(ctx, key, d)
	}
	return nil
}

// Probe takes a slot under a key of its own, as a call does, and says why Redis does not give one. Take itself goes on without Redis.
func (r *Redis) Probe(ctx context.Context) error {
	next, paused := keys("probe")
	return r.take.Run(ctx, r.client, []string{next, paused}, 1, 0, 0).Err()
}
