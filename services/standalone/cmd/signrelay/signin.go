package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/oauth"
	"github.com/signrelay/signrelay/libs/providers"
)

func sourceSignInFlags(fs *flag.FlagSet) {
	fs.String("redirect", "http://127.0.0.1:8089/oauth/callback", "the `URL` on this machine to which the provider sends the browser back; it is registered with the application")
	fs.Duration("within", 10*time.Minute, "the `time` for the sign-in")
	orderFlags(fs)
}

func sourceSignOutFlags(fs *flag.FlagSet) {
	orderFlags(fs)
	fs.Bool("yes", false, "do not ask for confirmation")
}

// signedInSource finds the source that the arguments name, and its tokens.
func (c *call) signedInSource(ctx context.Context) (s *source, tokens *oauth.Source, err error) {
	name, err := c.argument("a source, such as pleasesign/acme")
	if err != nil {
		return nil, nil, err
	}
	order, err := c.order()
	if err != nil {
		return nil, nil, err
	}
	key, err := sourceKey(name)
	if err != nil {
		return nil, nil, err
	}
	env, done, err := open(ctx, c.cfg)
	if err != nil {
		return nil, nil, err
	}
	i, err := placeOf(env.Config, key)
	if err != nil {
		done()
		return nil, nil, err
	}
	app, used := providers.OAuth(env.Config.Sources[i])
	if !used {
		done()
		return nil, nil, usageError{name + " needs no sign-in: its settings have no api.oauth.client_id"}
	}
	s = &source{c: c, env: env, done: done, order: order}
	s.Settings = env.Config.Sources[i]
	return s, oauth.NewStore(env.JS, keyring.New(env.Config.MasterKeys()), nil).Source(key.Provider, key.Name, app), nil
}

// sourceSignIn waits on a loopback address for the browser that comes back from the provider.
func sourceSignIn(ctx context.Context, c *call) error {
	redirect := c.flag("redirect")
	address, err := url.Parse(redirect)
	if err != nil || address.Scheme != "http" || address.Port() == "" || !loopback(address.Hostname()) {
		return usageError{"--redirect: want an http URL with a port on a loopback address, such as http://127.0.0.1:8089/oauth/callback"}
	}
	s, tokens, err := c.signedInSource(ctx)
	if err != nil {
		return err
	}
	defer s.done()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address.Host)
	if err != nil {
		return fmt.Errorf("--redirect: its port cannot be used: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, value[time.Duration](c, "within"))
	defer cancel()
	in := tokens.SignIn(redirect)
	if err := c.say("Open this address in a browser, and sign in as the owner of the account:\n  %s", in.URL); err != nil {
		return err
	}
	code, err := receive(ctx, listener, address.EscapedPath(), in.State)
	if err != nil {
		return err
	}
	if err := tokens.End(ctx, in, code); err != nil {
		return err
	}
	if err := s.acted(ctx, "sign-in", 1); err != nil {
		return err
	}
	return c.say("Signed in. All services use the access at their next call.")
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// receive serves the redirect address until a browser brings the code of this sign-in. A request with another state is not ours, and is refused.
func receive(ctx context.Context, listener net.Listener, path, state string) (string, error) {
	type result struct {
		code string
		err  error
	}
	results := make(chan result, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.EscapedPath() != path {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Referrer-Policy", "no-referrer") // the address has the code
		query := r.URL.Query()
		if query.Get("state") != state {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintln(w, "This sign-in was not begun by the command that waits here.")
			return
		}
		found := result{code: query.Get("code")}
		switch {
		case query.Get("error") != "":
			found.err = errors.New("the provider did not give access: the person refused, or the application is not approved")
		case found.code == "":
			found.err = errors.New("the provider sent no code")
		}
		fmt.Fprintln(w, "You can close this page. The command line shows the result.")
		select {
		case results <- found:
		default:
		}
	})
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with the server
	defer func() { _ = server.Shutdown(context.WithoutCancel(ctx)) }()
	select {
	case found := <-results:
		return found.code, found.err
	case <-ctx.Done():
		return "", errors.New("nobody signed in")
	}
}

// sourceSignOut removes the tokens.
func sourceSignOut(ctx context.Context, c *call) error {
	s, tokens, err := c.signedInSource(ctx)
	if err != nil {
		return err
	}
	defer s.done()
	if err := c.say("To remove: the tokens of %s/%s. When the access that services have has ended, its API cannot be called until a person signs in again; messages wait.", s.Settings.Provider, s.Settings.Name); err != nil {
		return err
	}
	if err := c.confirm(ctx); err != nil {
		return err
	}
	if err := tokens.SignOut(ctx); err != nil {
		return err
	}
	return s.acted(ctx, "sign-out", 1)
}
