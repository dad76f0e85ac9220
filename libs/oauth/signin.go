package oauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"golang.org/x/oauth2"
)

// SignIn is a sign-in of a person at the provider: the authorization code flow with PKCE (S256) and a state.
type SignIn struct {
	URL      string // of the provider, for the person's browser
	State    string // the provider returns it to the redirect address
	verifier string
	redirect string
}

// SignIn begins a sign-in that ends at the redirect address.
func (s *Source) SignIn(redirect string) SignIn {
	in := SignIn{State: rand.Text(), verifier: oauth2.GenerateVerifier(), redirect: redirect}
	in.URL = s.app.config(redirect).AuthCodeURL(in.State, oauth2.S256ChallengeOption(in.verifier))
	return in
}

// End exchanges the code of a sign-in for tokens and stores them. All replicas use them from their next renewal, and at once if they have none that
// works.
func (s *Source) End(ctx context.Context, in SignIn, code string) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tokens, err := s.app.config(in.redirect).Exchange(context.WithValue(ctx, oauth2.HTTPClient, s.store.http), code, oauth2.VerifierOption(in.verifier))
	if err != nil {
		var refused *oauth2.RetrieveError // its text has the response, which may contain tokens
		if errors.As(err, &refused) {
			return fmt.Errorf("the provider refused the sign-in: status %d, %q", refused.Response.StatusCode, refused.ErrorCode)
		}
		return errors.New("the provider's token address does not respond as expected: check api.oauth.base_url")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.have = s.entryOf(tokens)
	if s.have.Refresh == "" {
		return errors.New("the provider returned no refresh token, so the access would end soon: the application needs the right to offline access")
	}
	_, err = s.save(ctx, s.have, 0)
	return err
}
