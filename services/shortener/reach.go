package shortener

import (
	"context"
	"net/http"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/limit"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// Reach asks the outside shortener of the settings who we are to it, which makes no link and changes nothing. Its error
// says why it could not be used; where our own links are the short ones there is nobody to ask.
func Reach(ctx context.Context, s shortenersettings.Shortener, limits limit.Limiter) error {
	switch s.Kind {
	case "bitly":
		return newBitly(config.Fixed(s), limits).known(ctx)
	case "rebrandly":
		return newRebrandly(config.Fixed(s), limits).known(ctx)
	default:
		return nil
	}
}

func (b *bitly) known(ctx context.Context) error {
	a, err := b.ask(ctx, http.MethodGet, "/v4/user", nil)
	if err == nil && a.status != http.StatusOK {
		err = bitlyRefusal(a)
	}
	return err
}

func (b *rebrandly) known(ctx context.Context) error {
	a, err := b.ask(ctx, http.MethodGet, "/v1/account", nil)
	if err == nil && a.status != http.StatusOK {
		err, _ = rebrandlyRefusal(a)
	}
	return err
}
