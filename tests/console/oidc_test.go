package console_test

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"

	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/testenv"
)

// A user signs in at a real OpenID provider and gets the roles of the group; a user without a group gets in nowhere. The provider checks the
// client's secret, the redirect address and the PKCE verifier.
//
// It is not parallel: the provider's library has its clients in a variable.
func TestSignInAtAnOpenIDProvider(t *testing.T) {
	realtest.Server(t, "an OpenID provider")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	issuer, console := "http://localhost:"+port+"/", testenv.FreeAddress(t)
	home := "http://" + console
	storage.RegisterClients(storage.WebClient("signrelay", "of-the-client", home+"/signin/oidc/callback"))
	provider := &http.Server{Handler: exampleop.SetupServer(issuer, storage.NewStorage(storage.NewUserStore(issuer)), slog.New(slog.DiscardHandler), false)}
	go func() { _ = provider.Serve(listener) }()
	t.Cleanup(func() { _ = provider.Close() })

	testenv.Standalone(t, "SIGNRELAY_CONSOLE_ADDR="+console, "SIGNRELAY_CONSOLE_URL="+home, "SIGNRELAY_CONSOLE_OIDC_ISSUER="+issuer,
		"SIGNRELAY_CONSOLE_OIDC_CLIENT_ID=signrelay", "SIGNRELAY_CONSOLE_OIDC_CLIENT_SECRET=of-the-client",
		"SIGNRELAY_CONSOLE_OIDC_GROUPS_CLAIM=sub", "SIGNRELAY_CONSOLE_OIDC_ROLES=id1=look+private")

	for _, row := range []struct{ user, want string }{
		{"test-user@localhost", "look, private"},
		{"test-user2", "None of your groups has a role here"},
	} {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		browser := &http.Client{Jar: jar}
		read := func(response *http.Response, err error) (string, string) {
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			return string(body), response.Request.URL.String()
		}
		if page, at := read(browser.Get(home + "/me")); !strings.Contains(page, "Continue with") {
			t.Fatalf("without a session: %s at %s", page, at)
		}
		form, at := read(browser.Get(home + "/signin/oidc?next=/me"))
		id := regexp.MustCompile(`name="id" value="([^"]+)"`).FindStringSubmatch(form)
		if id == nil {
			t.Fatalf("no page of the provider at %s: %s", at, form)
		}
		page, at := read(browser.PostForm(strings.TrimSuffix(issuer, "/")+"/login/username", url.Values{"id": id[1:], "username": {row.user}, "password": {"verysecure"}}))
		if !strings.Contains(page, row.want) {
			t.Fatalf("%s: the page at %s lacks %q:\n%s", row.user, at, row.want, page)
		}
		if strings.HasPrefix(row.want, "look") {
			if page, _ := read(browser.Get(home + "/me")); !strings.Contains(page, row.want) {
				t.Errorf("the next page has no session: %s", page)
			}
		}
	}
	// A callback that was not begun in this browser is refused: else an attacker could sign a victim in as another user.
	response, err := http.Get(home + "/signin/oidc/callback?code=x&state=y")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("a callback from elsewhere: status %d", response.StatusCode)
	}
}
