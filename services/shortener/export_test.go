package shortener

import (
	"context"

	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/service"
)

// RunWith is Run with sources whose APIs a test made.
func RunWith(ctx context.Context, env service.Env, sources providers.Sources) error {
	return run(ctx, env, func() providers.Sources { return sources })
}
