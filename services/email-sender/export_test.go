package emailsender

import (
	"context"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/service"
)

// RunSoon is Run with retries after 20 ms, 40 ms, … instead of 1 s, 2 s, …
func RunSoon(ctx context.Context, env service.Env) error {
	place := flow.StageNamed(flow.EmailSender)
	place.Policy.FirstDelay /= 50
	place.Policy.MaxDelay = 50 * place.Policy.FirstDelay
	return run(ctx, env, place)
}
