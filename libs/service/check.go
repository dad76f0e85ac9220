package service

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers"
)

// Check validates the settings as every program does when it starts: their meaning, each source with its provider's pack, and
// the settings that the clients of NATS and Redis refuse.
func Check(cfg config.Config) error {
	names := make([]string, len(providers.All))
	for i, p := range providers.All {
		names[i] = p.Name
	}
	err := config.Check(cfg, names, func(s config.Source) error {
		p, _ := providers.ByName(s.Provider)
		_, err := p.Webhook(s)
		// A source without any key does not use its API, so its API settings are not checked.
		if s.UsesAPI() {
			_, errAPI := p.API(s, http.DefaultClient)
			err = errors.Join(err, errAPI)
		}
		return err
	})
	if cfg.Redis.URL != "" && (err == nil || !strings.Contains(err.Error(), "redis.url: ")) {
		_, _, errRedis := parseRedis(cfg.Redis)
		err = errors.Join(err, errRedis)
	}
	for i, s := range cfg.Sources {
		// In one process, the data directory has a master key, or else nobody but its owner reads the bucket.
		if _, used := providers.OAuth(s); used && cfg.NATS.URL != "" && len(cfg.MasterKeys()) == 0 {
			err = errors.Join(err, fmt.Errorf("master_key: sources[%d].api.oauth needs it, because it encrypts the tokens of %s/%s: openssl rand -base64 32 makes one", i, s.Provider, s.Name))
		}
	}
	if cfg.NATS.Creds != "" {
		err = errors.Join(err, checkCreds(cfg.NATS.Creds))
	}
	return err
}

// checkCreds requires a file with NATS credentials: a user's JWT and the seed of the user's key.
func checkCreds(path string) error {
	text, err := os.ReadFile(path)
	switch {
	case err != nil:
		return fmt.Errorf("nats.creds: %w", err)
	case !strings.Contains(string(text), "BEGIN NATS USER JWT") || !strings.Contains(string(text), "BEGIN USER NKEY SEED"):
		return errors.New("nats.creds: the file contains no credentials: want a file that `nsc generate creds` wrote")
	default:
		return nil
	}
}

// CheckAlone returns the other errors that stop the start of a service that runs alone.
func CheckAlone(s Service, cfg config.Config) error {
	var errs []error
	if s.calls(NATS) && cfg.NATS.URL == "" {
		errs = append(errs, fmt.Errorf("nats.url: %s runs alone and needs a NATS server: set SIGNRELAY_NATS_URL", s.Name))
	}
	if s.calls(Redis) && cfg.Redis.URL == "" {
		errs = append(errs, fmt.Errorf("redis.url: %s runs alone and shares claims and rate limits with its replicas: set SIGNRELAY_REDIS_URL", s.Name))
	}
	if s.Check != nil {
		errs = append(errs, s.Check(cfg))
	}
	addresses := []Address{{"admin.addr", cfg.Admin.Addr}}
	for _, l := range s.Listeners {
		addresses = append(addresses, Address{l.Key, cfg.Text(l.Key)})
	}
	if _, public := s.Public(); public && cfg.TLS.RedirectAddr != "" {
		addresses = append(addresses, Address{"tls.redirect_addr", cfg.TLS.RedirectAddr})
	}
	errs = append(errs, Apart(addresses...))
	return errors.Join(errs...)
}

// Address is an address at which a program listens, and its setting.
type Address struct{ Key, Addr string }

// Apart returns an error unless each listener of a process has a different address.
func Apart(all ...Address) error {
	var errs []error
	for i, a := range all {
		for _, b := range all[:i] {
			if same(a.Addr, b.Addr) {
				errs = append(errs, fmt.Errorf("%s: %s listens at %s too: give it another port", a.Key, b.Key, b.Addr))
			}
		}
	}
	return errors.Join(errs...)
}

// same reports whether one process cannot listen at both addresses. Port 0 is any free port.
func same(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	all := func(host string) bool { return host == "" || net.ParseIP(host).IsUnspecified() }
	return errA == nil && errB == nil && portA == portB && portA != "0" && (hostA == hostB || all(hostA) || all(hostB))
}
