package ingest

import (
	"context"

	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
)

// RunWith works like Run, with other packs.
func RunWith(packs []pack.Pack) func(context.Context, service.Env) error {
	return func(ctx context.Context, env service.Env) error { return run(ctx, env, packs) }
}
