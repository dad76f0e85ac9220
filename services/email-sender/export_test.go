package emailsender

import (
	"context"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
)

// RunSoon works like Run, with the retries of servicetest.RetrySoon.
func RunSoon(ctx context.Context, env service.Env) error {
	return run(ctx, env, servicetest.RetrySoon(flow.EmailSender))
}
