package shortener

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/service"
)

// RunWith works like Run, with the sources of a test.
func RunWith(ctx context.Context, env service.Env, sources providers.Sources) error {
	return run(ctx, env, func() providers.Sources { return sources })
}

// Stored returns the stored link of a code, decrypted, without a master key.
func Stored(ctx context.Context, js jetstream.JetStream, code string) (string, error) {
	b, err := openStore(ctx, js, keyring.New(nil), 1, slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	e, err := b.read(ctx, code)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(e.link)
	return string(text), err
}
