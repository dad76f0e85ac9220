package ingest

import (
	"context"

	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// CheckSignature checks the signature of the callback that reported an event, with the source's keys in the settings. See pack.CheckSignature.
func CheckSignature(ctx context.Context, env service.Env, packs []pack.Pack, e *signingv1.SigningEvent, kept *signingv1.Callback) (pack.Check, error) {
	return pack.CheckSignature(func() (pack.Webhook, error) {
		src, err := sourceOf(ctx, env, packs, e.GetProvider(), e.GetSource())
		return src.webhook, err
	}, e, kept)
}
