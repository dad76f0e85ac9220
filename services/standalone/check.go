package standalone

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/service"
)

// Check returns the mistakes in the settings that would stop the start of Run.
func Check(cfg config.Config) error {
	demo := len(cfg.Sources) == 0
	cfg, err := WithDemo(WithIndex(WithArchive(cfg)))
	if err != nil {
		return err
	}
	return check(cfg, demo)
}

// Warnings returns the warnings about the settings of Run. Run creates a master key in a new data directory.
func Warnings(cfg config.Config) []config.Warning {
	if cfg.NATS.URL == "" && cfg.MasterKey == "" {
		f, err := readDataDir(cfg.DataDir)
		if errors.Is(err, fs.ErrNotExist) || err == nil && (f.has(masterFile) || !f.has(brokerFolder)) {
			cfg.MasterKey = "created at the start"
		}
		if err == nil {
			_ = f.close()
		}
	}
	return config.Warnings(cfg)
}

// check works like Check, for settings that WithDemo has completed.
func check(cfg config.Config, demo bool) error {
	errs := []error{service.Check(cfg)}
	for _, s := range services(cfg, demo) {
		if s.Check != nil {
			errs = append(errs, s.Check(cfg))
		}
	}
	if demo && cfg.TLS.Set() {
		errs = append(errs, errors.New("tls: without sources this is a demo, whose sandbox calls plain HTTP: add a source, or remove tls"))
	}
	listeners := []service.Address{{Key: "admin.addr", Addr: cfg.Admin.Addr}}
	if cfg.NATS.URL == "" {
		listeners = append(listeners, service.Address{Key: "nats.addr", Addr: cfg.NATS.Addr})
	}
	for _, s := range services(cfg, demo) {
		for _, l := range s.Listeners {
			if a := (service.Address{Key: l.Key, Addr: cfg.Text(l.Key)}); !slices.Contains(listeners, a) { // several services share a listener
				listeners = append(listeners, a)
			}
		}
	}
	if cfg.TLS.RedirectAddr != "" {
		listeners = append(listeners, service.Address{Key: "tls.redirect_addr", Addr: cfg.TLS.RedirectAddr})
	}
	errs = append(errs, service.Apart(listeners...))
	errs = append(errs, checkDataDir(cfg.DataDir), checkBroker(cfg.NATS))
	return Once(errors.Join(errs...))
}

// CheckAlone returns the mistakes that would stop the named services from starting as separate programs. err reports an unknown name.
func CheckAlone(cfg config.Config, names []string) (mistakes, err error) {
	mistakes = service.Check(cfg)
	for _, name := range names {
		i := slices.IndexFunc(Services, func(s service.Service) bool { return s.Name == name })
		if i < 0 {
			known := make([]string, len(Services))
			for i, s := range Services {
				known[i] = s.Name
			}
			return nil, fmt.Errorf("no service %q; there are %s", name, strings.Join(known, ", "))
		}
		mistakes = errors.Join(mistakes, service.CheckAlone(Services[i], cfg))
	}
	return mistakes, nil
}

// Once removes repeated mistakes, because two services may report the same one.
func Once(err error) error {
	if err == nil {
		return nil
	}
	var lines []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return errors.New(strings.Join(lines, "\n"))
}
