package oauth_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/oauth"
	"github.com/signrelay/signrelay/libs/realtest"
)

const (
	master   = "0123456789abcdef0123456789abcdef"
	redirect = "http://127.0.0.1:8089/oauth/callback"
	life     = time.Hour
)

// provider is an authorization server and an API. A refresh token works once; if lenient, also again until its successor's access token is used.
type provider struct {
	*httptest.Server

	mu        sync.Mutex
	challenge string
	access    string          // the one that works
	refresh   map[string]bool // those that work
	renewals  int
	calls     int
	down      bool
	lenient   bool
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{refresh: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth/token", p.token)
	mux.HandleFunc("GET /document", p.document)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) app() oauth.Application {
	return oauth.Application{ClientID: "app", ClientSecret: "hush", AuthorizeURL: p.URL + "/oauth/authorize", TokenURL: p.URL + "/oauth/token", Scopes: []string{"business"}}
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	refused := func(status int, word string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"error":%q}`, word)
	}
	old := r.PostFormValue("refresh_token")
	switch {
	case p.down:
		refused(http.StatusServiceUnavailable, "temporarily_unavailable")
		return
	case r.PostFormValue("client_id") != "app" || r.PostFormValue("client_secret") != "hush":
		refused(http.StatusUnauthorized, "invalid_client")
		return
	case r.PostFormValue("grant_type") == "authorization_code":
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if r.PostFormValue("code") != "good" || base64.RawURLEncoding.EncodeToString(sum[:]) != p.challenge || r.PostFormValue("redirect_uri") != redirect {
			refused(http.StatusBadRequest, "invalid_grant")
			return
		}
	case !p.refresh[old]:
		refused(http.StatusBadRequest, "invalid_grant")
		return
	default:
		p.renewals++
		if !p.lenient {
			delete(p.refresh, old)
		}
	}
	p.access = fmt.Sprintf("access-%d", p.renewals)
	next := fmt.Sprintf("refresh-%d", p.renewals)
	p.refresh[next] = true
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"access_token":%q,"refresh_token":%q,"token_type":"Bearer","expires_in":%d}`, p.access, next, int(life/time.Second))
}

func (p *provider) document(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	if p.access == "" || r.Header.Get("Authorization") != "Bearer "+p.access {
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// set changes the provider.
func (p *provider) set(change func(*provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *provider) counts() (renewals, calls int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.renewals, p.calls
}

// replica is a process with its own store.
type replica struct {
	t      *testing.T
	store  *oauth.Store
	source *oauth.Source
	client *http.Client
}

// installation is a provider, replicas and their clock.
type installation struct {
	t       *testing.T
	js      jetstream.JetStream
	p       *provider
	elapsed atomic.Int64
	mu      sync.Mutex
	changes []string
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	_, js := realtest.NATS(t).Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	return &installation{t: t, js: js, p: newProvider(t)}
}

func (i *installation) now() time.Time       { return time.Now().Add(time.Duration(i.elapsed.Load())) }
func (i *installation) pass(d time.Duration) { i.elapsed.Add(int64(d)) }

func (i *installation) replica() *replica {
	store := oauth.NewStore(i.js, keyring.New([]string{master}), func(provider, source, reason string) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.changes = append(i.changes, provider+"/"+source+": "+reason)
	})
	store.At(i.now)
	src := store.Source("pleasesign", "acme", i.p.app())
	return &replica{i.t, store, src, &http.Client{Transport: oauth.Transport{Base: http.DefaultTransport, Source: src}}}
}

// signIn signs a person in.
func (i *installation) signIn(r *replica) {
	i.t.Helper()
	in := r.source.SignIn(redirect)
	u, err := url.Parse(in.URL)
	if err != nil {
		i.t.Fatal(err)
	}
	query := u.Query()
	if query.Get("state") != in.State || len(in.State) < 20 || query.Get("code_challenge_method") != "S256" || query.Get("scope") != "business" ||
		query.Get("response_type") != "code" || query.Get("client_id") != "app" || query.Get("redirect_uri") != redirect || strings.Contains(in.URL, "hush") {
		i.t.Errorf("the address of the sign-in: %s", in.URL)
	}
	i.p.set(func(p *provider) { p.challenge = query.Get("code_challenge") })
	if err := r.source.End(i.t.Context(), in, "good"); err != nil {
		i.t.Fatal(err)
	}
}

// get calls the API, and returns the status.
func (r *replica) get() (int, error) {
	response, err := r.client.Get(r.source.Base() + "/document")
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

func (r *replica) mustGet(when string) {
	r.t.Helper()
	if status, err := r.get(); err != nil || status != http.StatusOK {
		r.t.Errorf("%s: %d %v", when, status, err)
	}
}

func (r *replica) mustSignIn(when, reason string) {
	r.t.Helper()
	var signIn *oauth.SignInError
	if status, err := r.get(); !errors.As(err, &signIn) || signIn.Reason != reason || !strings.Contains(err.Error(), "signrelay source sign-in pleasesign/acme") {
		r.t.Errorf("%s: %d %v", when, status, err)
	}
}

// Many calls of several replicas at the moment of expiry cause one renewal, and all of them succeed.
func TestReplicasRenewOnce(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	replicas := []*replica{i.replica(), i.replica(), i.replica()}
	i.signIn(replicas[0])
	for round := 1; round <= 3; round++ {
		i.pass(life) // the access token has expired
		var calls sync.WaitGroup
		for _, r := range replicas {
			for range 8 {
				calls.Go(func() { r.mustGet("after the expiry") })
			}
		}
		calls.Wait()
		if renewals, _ := i.p.counts(); renewals != round {
			t.Errorf("%d renewals after %d expiries", renewals, round)
		}
	}
}

// Tokens are renewed before they expire. While the provider's token address is down, the old access token is used until it expires; then calls fail, and
// they work again with the provider.
func TestProviderIsDownAtTheRenewal(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	r := i.replica()
	i.signIn(r)
	i.p.set(func(p *provider) { p.down = true })
	i.pass(life - time.Minute)
	r.mustGet("before the expiry")
	i.pass(2 * time.Minute)
	if status, err := r.get(); err == nil || errors.As(err, new(*oauth.SignInError)) {
		t.Errorf("after the expiry: %d %v", status, err)
	}
	i.p.set(func(p *provider) { p.down = false })
	r.mustGet("afterwards")
}

// A revoked access token is renewed at the first 401. If the new one is refused as well, the response is passed on, and it is not renewed at each call.
func TestAccessIsRevoked(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	r, other := i.replica(), i.replica()
	i.signIn(r)
	other.mustGet("before")
	i.p.set(func(p *provider) { p.access = "none" })
	r.mustGet("after the revocation")
	other.mustGet("of another replica")
	if renewals, _ := i.p.counts(); renewals != 1 {
		t.Errorf("%d renewals", renewals)
	}
	for range 5 {
		i.p.set(func(p *provider) { p.access = "none" })
		if status, err := r.get(); err != nil || status != http.StatusUnauthorized {
			t.Errorf("an account without the right: %d %v", status, err)
		}
	}
	if renewals, _ := i.p.counts(); renewals != 1 {
		t.Errorf("%d renewals within a minute", renewals)
	}
	i.pass(2 * time.Minute)
	r.mustGet("two minutes later")
}

// A refused renewal stops all calls of all replicas, is reported once, and ends with a sign-in.
func TestRenewalIsRefused(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	r, other := i.replica(), i.replica()
	r.mustSignIn("before the first sign-in", "")
	i.signIn(r)
	r.mustGet("signed in")
	i.p.set(func(p *provider) { p.refresh = map[string]bool{} })
	i.pass(life)
	r.mustSignIn("after the refusal", "invalid_grant")
	_, before := i.p.counts()
	for range 5 {
		r.mustSignIn("later", "invalid_grant")
		other.mustSignIn("of another replica", "invalid_grant")
	}
	if _, calls := i.p.counts(); calls != before {
		t.Errorf("%d calls without access", calls-before)
	}
	if is, err := r.source.Status(t.Context()); err != nil || is.SignedIn || is.Refused != "invalid_grant" {
		t.Errorf("the status: %+v %v", is, err)
	}
	i.signIn(other)
	r.mustGet("after a sign-in through another replica")
	other.mustGet("of that replica")
	i.mu.Lock()
	defer i.mu.Unlock()
	if got := strings.Join(i.changes, "; "); strings.Count(got, "acme: not signed in") != 1 || strings.Count(got, "acme: invalid_grant") != 2 || !strings.HasSuffix(got, "acme: ") {
		t.Errorf("changes: %s", got)
	}
}

// A replica is killed after the provider has renewed the tokens and before they are stored. The others wait for the end of its lease. If the provider
// accepts the old refresh token once more, they go on; otherwise a person must sign in.
func TestReplicaIsKilledDuringARenewal(t *testing.T) {
	t.Parallel()
	for name, lenient := range map[string]bool{"a lenient provider": true, "a strict provider": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newInstallation(t)
			r := i.replica()
			i.signIn(r)
			i.p.set(func(p *provider) { p.lenient = lenient })
			i.pass(life)
			killed := i.replica()
			if err := killed.source.RenewUnstored(t.Context()); err != nil {
				t.Fatal(err)
			}
			late := time.AfterFunc(300*time.Millisecond, func() { i.pass(time.Minute) }) // the lease ends
			defer late.Stop()
			if lenient {
				r.mustGet("after the kill")
				return
			}
			r.mustSignIn("after the kill", "invalid_grant")
			i.signIn(r)
			r.mustGet("after a sign-in")
		})
	}
}

// The bucket has no token in clear text, and another master key does not read it.
func TestTokensAreEncrypted(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.signIn(i.replica())
	state, err := i.js.KeyValue(t.Context(), flow.State)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := state.Get(t.Context(), flow.OAuth("pleasesign", "acme"))
	if err != nil || strings.Contains(string(stored.Value()), "access") || strings.Contains(string(stored.Value()), "refresh") {
		t.Errorf("the entry: %v %q", err, stored.Value())
	}
	other := oauth.NewStore(i.js, keyring.New([]string{strings.Repeat("x", 32)}), nil).Source("pleasesign", "acme", i.p.app())
	if _, err := other.Token(t.Context()); err == nil || !errors.Is(err, keyring.ErrNotOurs) {
		t.Errorf("with another master key: %v", err)
	}
	if err := i.replica().source.SignOut(t.Context()); err != nil {
		t.Error(err)
	}
	i.replica().mustSignIn("after a sign-out", "")
}

// A sign-in with another code, and an application with another secret, store nothing.
func TestSignInIsRefused(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	r := i.replica()
	if err := r.source.End(t.Context(), r.source.SignIn(redirect), "bad"); err == nil || !strings.Contains(err.Error(), "invalid_grant") {
		t.Errorf("a wrong code: %v", err)
	}
	wrong := i.p.app()
	wrong.ClientSecret = "other"
	src := r.store.Source("pleasesign", "acme", wrong)
	if err := src.End(t.Context(), src.SignIn(redirect), "good"); err == nil || !strings.Contains(err.Error(), "invalid_client") || strings.Contains(err.Error(), "other") {
		t.Errorf("a wrong secret: %v", err)
	}
	r.mustSignIn("afterwards", "")
}
