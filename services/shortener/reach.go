package shortener

import (
	"context"
	"net/http"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/limit"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// Reach requests our own account from the outside shortener of the settings. The call changes nothing. The error is the reason why the
// shortener cannot be used. For kind builtin there is no call.
func Reach(ctx context.Context, s shortenersettings.Shortener, limits limit.Limiter) error {
	switch s.Kind {
	case "bitly":
		return newBitly(config.Fixed(s), limits).account(ctx)
	case "rebrandly":
		return newRebrandly(config.Fixed(s), limits).account(ctx)
	default:
		return nil
	}
}

func (b *bitly) account(ctx context.Context) error {
	r, err := b.call(ctx, http.MethodGet, "/v4/user", nil)
	if err == nil && r.status != http.StatusOK {
		err = bitlyRefusal(r)
	}
	return err
}

func (b *rebrandly) account(ctx context.Context) error {
	r, err := b.call(ctx, http.MethodGet, "/v1/account", nil)
	if err == nil && r.status != http.StatusOK {
		err, _ = rebrandlyRefusal(r)
	}
	return err
}
