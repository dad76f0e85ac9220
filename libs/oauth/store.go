// Package oauth keeps the OAuth 2.0 tokens with which Signrelay calls a provider's API for a source. All replicas of all services share the tokens of
// a source: they are encrypted in one entry of the bucket STATE, and one replica renews them for all.
package oauth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/oauth2"

	"github.com/signrelay/signrelay/libs/crash"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
)

// Application is an operator's registration at a provider, with which a person lets Signrelay use an account.
type Application struct {
	ClientID, ClientSecret string   // the secret is empty for an application without one
	AuthorizeURL, TokenURL string   // of the provider
	Scopes                 []string // for example "business"
}

// config returns the application for the library. redirect is the address to which the provider sends the person back.
func (a Application) config(redirect string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: a.ClientID, ClientSecret: a.ClientSecret, RedirectURL: redirect, Scopes: a.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: a.AuthorizeURL, TokenURL: a.TokenURL, AuthStyle: oauth2.AuthStyleInParams},
	}
}

// Status is what a source's entry says, without the tokens.
type Status struct {
	SignedIn bool      `json:"signed_in"`
	At       time.Time `json:"at,omitzero"`      // of the sign-in, or of the last renewal
	Expires  time.Time `json:"expires,omitzero"` // of the access token; it is renewed before
	Refused  string    `json:"refused,omitempty"`
}

// entry is the content of a source's entry. It is encrypted.
type entry struct {
	Access  string    `json:"access"`
	Refresh string    `json:"refresh"`
	At      time.Time `json:"at"`
	Expires time.Time `json:"expires,omitzero"` // zero if the provider does not say
	// Renewing is the end of a lease: until then one replica renews the tokens, and the others wait.
	Renewing time.Time `json:"renewing,omitzero"`
	// Useless is the time of the last renewal after a refused call. If its token is refused too, a further one does not help.
	Useless time.Time `json:"useless,omitzero"`
	// Refused is the provider's reason for refusing a renewal; then a person must sign in again.
	Refused string `json:"refused,omitempty"`
}

// Times of a renewal.
const (
	early  = 5 * time.Minute        // before the access token expires; at most a fifth of its life
	lease  = 30 * time.Second       // longer than a renewal takes
	within = 15 * time.Second       // one call of the provider
	look   = 100 * time.Millisecond // while another replica renews
	again  = time.Minute            // between two renewals after a refused call
)

// SignInError means that the provider accepts no call for a source until a person signs in.
type SignInError struct {
	Provider, Source string
	Reason           string // the provider's word, such as "invalid_grant"; empty if nobody has signed in yet
}

func (e *SignInError) Error() string {
	why := "nobody has signed in"
	if e.Reason != "" {
		why = "the provider refuses to renew the access (" + e.Reason + ")"
	}
	return fmt.Sprintf("%s: run `signrelay source sign-in %s/%s`", why, e.Provider, e.Source)
}

// Store has the tokens of all sources.
type Store struct {
	js   jetstream.JetStream
	keys keyring.Keys
	http *http.Client
	now  func() time.Time
	// changed is called when a source's access ends or works again; reason is empty if it works.
	changed func(provider, source, reason string)

	mu      sync.Mutex
	sources map[string]*Source
}

// NewStore returns the store in this JetStream. ring encrypts the tokens. changed is called when a person must sign in for a source, with the reason,
// and with an empty reason when the access works again; nil for no call.
func NewStore(js jetstream.JetStream, ring keyring.Ring, changed func(provider, source, reason string)) *Store {
	if changed == nil {
		changed = func(string, string, string) {}
	}
	return &Store{js: js, keys: ring.For("oauth"), http: &http.Client{Timeout: within}, now: time.Now, changed: changed, sources: map[string]*Source{}}
}

// Source returns the tokens of one source.
func (s *Store) Source(provider, name string, app Application) *Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := flow.OAuth(provider, name)
	known := s.sources[key]
	if known == nil || known.app.ClientID != app.ClientID || known.app.ClientSecret != app.ClientSecret || known.app.TokenURL != app.TokenURL {
		known = &Source{store: s, key: key, provider: provider, name: name, app: app}
		s.sources[key] = known
	}
	return known
}

// Source has the tokens of one source. It may be used concurrently.
type Source struct {
	store               *Store
	key, provider, name string
	app                 Application

	mu     sync.Mutex // held during a renewal, so that a process renews once
	have   entry
	reason string // of the last call of changed
}

// Token returns an access token. It renews the tokens if they expire soon. The error is a *SignInError if a person must sign in.
func (s *Source) Token(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.have.fresh(s.store.now()) {
		return s.have.Access, nil
	}
	return s.renew(ctx, "")
}

// Renewed returns another access token than the one that the provider has just refused.
func (s *Source) Renewed(ctx context.Context, refused string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renew(ctx, refused)
}

// fresh reports whether the access token works for a while.
func (e entry) fresh(now time.Time) bool {
	if e.Access == "" || e.Refused != "" {
		return false
	}
	return e.Expires.IsZero() || now.Before(e.Expires.Add(-min(early, e.Expires.Sub(e.At)/5)))
}

// works reports whether the access token has not expired.
func (e entry) works(now time.Time, refused string) bool {
	return e.Access != "" && e.Access != refused && (e.Expires.IsZero() || now.Before(e.Expires))
}

// renew works like renewOnce, and reports a change.
func (s *Source) renew(ctx context.Context, refused string) (string, error) {
	token, err := s.renewOnce(ctx, refused)
	reason := ""
	var signIn *SignInError
	if errors.As(err, &signIn) {
		reason = cmp.Or(signIn.Reason, "not signed in")
	} else if err != nil {
		return "", err
	}
	if reason != s.reason {
		s.reason = reason
		s.store.changed(s.provider, s.name, reason)
	}
	return token, err
}

// renewOnce returns the token of the shared entry, after a renewal if it is due. One replica takes the lease and calls the provider; the others use the
// old token until it expires, and then wait.
func (s *Source) renewOnce(ctx context.Context, refused string) (string, error) {
	for {
		now := s.store.now()
		found, revision, err := s.load(ctx)
		if err != nil {
			return "", err
		}
		s.have = found
		switch {
		case revision == 0 || found.Refresh == "" && found.Access == "":
			return "", &SignInError{s.provider, s.name, ""}
		case found.Refused != "":
			return "", &SignInError{s.provider, s.name, found.Refused}
		case found.fresh(now) && found.Access != refused:
			return found.Access, nil
		case found.Access == refused && now.Sub(found.Useless) < again:
			return found.Access, nil // a new token does not help: the account lacks a right
		case now.Before(found.Renewing):
			if found.works(now, refused) {
				return found.Access, nil
			}
			if err := wait(ctx, look); err != nil {
				return "", err
			}
			continue
		}
		taken := found
		taken.Renewing = now.Add(lease)
		revision, err = s.save(ctx, taken, revision)
		if flow.Raced(err) {
			continue // another replica took the lease
		}
		if err != nil {
			return "", err
		}
		return s.call(ctx, taken, revision, refused)
	}
}

// call asks the provider for new tokens, and stores them. The lease is this replica's.
func (s *Source) call(ctx context.Context, old entry, revision uint64, refused string) (string, error) {
	// A caller that leaves must not interrupt the exchange: the provider may have replaced the tokens already.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	fresh, err := s.app.config("").TokenSource(context.WithValue(ctx, oauth2.HTTPClient, s.store.http), &oauth2.Token{RefreshToken: old.Refresh}).Token()
	crash.Point("oauth renewed")
	next := old
	next.Renewing = time.Time{}
	final, reason := refusal(err)
	switch {
	case err == nil:
		next = s.entryOf(fresh)
		if next.Refresh == "" {
			next.Refresh = old.Refresh
		}
		if refused != "" {
			next.Useless = next.At
		}
	case final:
		next.Refused = reason
	}
	if stored := s.keep(ctx, next, revision); stored != nil && err == nil {
		err = stored // the tokens are in this process only
	}
	s.have = next
	switch {
	case err == nil:
		return next.Access, nil
	case final:
		return "", &SignInError{s.provider, s.name, reason}
	case next.works(s.store.now(), refused):
		return next.Access, nil // the next call tries again
	default:
		return "", fmt.Errorf("renew the access: %w", err)
	}
}

// keep stores an entry under the lease of this replica.
func (s *Source) keep(ctx context.Context, next entry, revision uint64) error {
	for {
		_, err := s.save(ctx, next, revision)
		if err == nil || flow.Raced(err) || ctx.Err() != nil { // raced: a person has signed in meanwhile
			return err
		}
		if wait(ctx, look) != nil {
			return err
		}
	}
}

func (s *Source) entryOf(t *oauth2.Token) entry {
	e := entry{Access: t.AccessToken, Refresh: t.RefreshToken, At: s.store.now().UTC()}
	if !t.Expiry.IsZero() {
		e.Expires = e.At.Add(time.Until(t.Expiry)) // the library has a clock of its own
	}
	return e
}

// refusal reports whether the provider refused a renewal for good, and its reason. Its text may contain tokens, so only the code is used.
func refusal(err error) (final bool, reason string) {
	var refused *oauth2.RetrieveError
	if err == nil || !errors.As(err, &refused) {
		return false, ""
	}
	switch code := refused.Response.StatusCode; {
	case refused.ErrorCode == "temporarily_unavailable" || refused.ErrorCode == "slow_down":
		return false, ""
	case code == http.StatusBadRequest || code == http.StatusUnauthorized || code == http.StatusForbidden:
		if word(refused.ErrorCode) {
			return true, refused.ErrorCode
		}
		return true, fmt.Sprintf("status %d", code)
	default:
		return false, ""
	}
}

// word reports whether a text is a code of RFC 6749, such as invalid_grant.
func word(text string) bool {
	for _, r := range text {
		if (r < 'a' || r > 'z') && r != '_' {
			return false
		}
	}
	return text != "" && len(text) <= 40
}

// Status returns what the entry says about the tokens.
func (s *Source) Status(ctx context.Context) (Status, error) {
	e, _, err := s.load(ctx)
	if err != nil {
		return Status{}, err
	}
	return Status{SignedIn: e.Access != "" && e.Refused == "", At: e.At, Expires: e.Expires, Refused: e.Refused}, nil
}

// SignOut removes the tokens.
func (s *Source) SignOut(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.have = entry{}
	state, err := s.store.js.KeyValue(ctx, flow.State)
	if err == nil {
		err = state.Delete(ctx, s.key) // the bucket keeps no earlier value
	}
	if err != nil {
		return fmt.Errorf("remove the tokens: %w", err)
	}
	return nil
}

func (s *Source) load(ctx context.Context) (e entry, revision uint64, err error) {
	state, err := s.store.js.KeyValue(ctx, flow.State)
	if err != nil {
		return e, 0, fmt.Errorf("open bucket %s: %w", flow.State, err)
	}
	stored, err := state.Get(ctx, s.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return e, 0, nil
	}
	var plain []byte
	if err == nil {
		plain, err = s.store.keys.Open(stored.Value(), []byte(s.key))
	}
	if err == nil {
		err = json.Unmarshal(plain, &e)
	}
	if err != nil {
		return entry{}, 0, fmt.Errorf("read the tokens of %s/%s: %w", s.provider, s.name, err)
	}
	return e, stored.Revision(), nil
}

// save replaces the revision of the entry. 0 creates or replaces it.
func (s *Source) save(ctx context.Context, e entry, revision uint64) (uint64, error) {
	plain, err := json.Marshal(e)
	if err != nil {
		return 0, fmt.Errorf("encode the tokens: %w", err)
	}
	state, err := s.store.js.KeyValue(ctx, flow.State)
	if err != nil {
		return 0, fmt.Errorf("open bucket %s: %w", flow.State, err)
	}
	sealed := s.store.keys.Seal(plain, []byte(s.key))
	if revision == 0 {
		revision, err = state.Put(ctx, s.key, sealed)
	} else {
		revision, err = state.Update(ctx, s.key, sealed, revision)
	}
	if err != nil {
		return 0, fmt.Errorf("store the tokens: %w", err)
	}
	return revision, nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
