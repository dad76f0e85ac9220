package standalone

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/service"
	emailsender "github.com/signrelay/signrelay/services/email-sender"
	"github.com/signrelay/signrelay/services/enricher"
	"github.com/signrelay/signrelay/services/ingest"
	kafkabridge "github.com/signrelay/signrelay/services/kafka-bridge"
	"github.com/signrelay/signrelay/services/sandbox"
	"github.com/signrelay/signrelay/services/shortener"
	smssender "github.com/signrelay/signrelay/services/sms-sender"
)

// Check says what of the settings would stop the start of Run.
func Check(cfg config.Config) error {
	demo := len(cfg.Sources) == 0
	cfg, err := WithDemo(cfg)
	if err != nil {
		return err
	}
	return check(cfg, demo)
}

// Warnings are those of the settings with which Run runs. It makes a master key in a new data directory.
func Warnings(cfg config.Config) []config.Warning {
	if cfg.NATS.URL == "" && cfg.MasterKey == "" {
		f, err := readDataDir(cfg.DataDir)
		if errors.Is(err, fs.ErrNotExist) || err == nil && (f.has(masterFile) || !f.has(brokerFolder)) {
			cfg.MasterKey = "made by the start"
		}
		if err == nil {
			_ = f.close()
		}
	}
	return config.Warnings(cfg)
}

// check is Check of settings that WithDemo has filled in.
func check(cfg config.Config, demo bool) error {
	errs := []error{service.Check(cfg)}
	for _, s := range services(cfg, demo) {
		if s.Check != nil {
			errs = append(errs, s.Check(cfg))
		}
	}
	listeners := []service.Address{{Key: "ingest.addr", Addr: cfg.Ingest.Addr}, {Key: "admin.addr", Addr: cfg.Admin.Addr}}
	if cfg.NATS.URL == "" {
		listeners = append(listeners, service.Address{Key: "nats.addr", Addr: cfg.NATS.Addr})
	}
	if demo {
		listeners = append(listeners, service.Address{Key: "sandbox.addr", Addr: cfg.Sandbox.Addr}, service.Address{Key: "sandbox.smtp_addr", Addr: cfg.Sandbox.SMTPAddr})
	}
	errs = append(errs, service.Apart(listeners...))
	errs = append(errs, checkDataDir(cfg.DataDir), checkBroker(cfg.NATS))
	return Once(errors.Join(errs...))
}

// CheckAlone returns the mistakes that would stop the named services from starting alone. Its own error is a name that no
// service has.
func CheckAlone(cfg config.Config, names []string) (mistakes, err error) {
	mistakes = service.Check(cfg)
	for _, name := range names {
		i := slices.IndexFunc(alone, func(s service.Service) bool { return s.Name == name })
		if i < 0 {
			known := make([]string, len(alone))
			for i, s := range alone {
				known[i] = s.Name
			}
			return nil, fmt.Errorf("no service %q; there are %s", name, strings.Join(known, ", "))
		}
		mistakes = errors.Join(mistakes, service.CheckAlone(alone[i], cfg))
	}
	return mistakes, nil
}

// alone are the services that have programs of their own.
var alone = []service.Service{
	ingest.Service, enricher.Service, shortener.Service, smssender.Service, emailsender.Service, kafkabridge.Service, sandbox.Service,
}

// Once has each mistake once: two services may refuse the same.
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
