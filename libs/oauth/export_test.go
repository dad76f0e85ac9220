package oauth

import (
	"context"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// At moves the store's clock.
func (s *Store) At(now func() time.Time) { s.now = now }

// Base returns the beginning of the provider's addresses.
func (s *Source) Base() string { return strings.TrimSuffix(s.app.TokenURL, "/oauth/token") }

// RenewUnstored takes the lease and renews the tokens at the provider, and then does what a killed process does: nothing.
func (s *Source) RenewUnstored(ctx context.Context) error {
	found, revision, err := s.load(ctx)
	if err != nil {
		return err
	}
	found.Renewing = s.store.now().Add(lease)
	if _, err := s.save(ctx, found, revision); err != nil {
		return err
	}
	_, err = s.app.config("").TokenSource(ctx, &oauth2.Token{RefreshToken: found.Refresh}).Token()
	return err
}
