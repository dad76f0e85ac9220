package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/telemetry"
	"github.com/signrelay/signrelay/libs/templates"
)

func (e *examination) settings(context.Context) []Finding {
	all := eachMistake("settings", service.Check(e.cfg), "correct the setting that is named", fmt.Sprintf("%d sources, no mistakes", len(e.cfg.Sources)))
	for _, w := range config.Warnings(e.cfg) {
		all = append(all, Finding{w.Key, Warn, w.Found, w.Fix})
	}
	return all
}

func (e *examination) templates(context.Context) []Finding {
	err := templates.Check(e.cfg)
	found := "the built-in templates"
	if e.cfg.Templates.Dir != "" {
		found = "the built-in templates, and your own templates that replace some of them"
	}
	return eachMistake("templates", err, "correct the file that is named; docs/templates.md describes the format", found)
}

// eachMistake returns a finding for each mistake, or one finding if there are none.
func eachMistake(check string, mistakes error, fix, found string) []Finding {
	if mistakes == nil {
		return []Finding{passed(check, "%s", found)}
	}
	var all []Finding
	for line := range strings.SplitSeq(mistakes.Error(), "\n") {
		all = append(all, Finding{Check: check, Status: Fail, Found: telemetry.Mask(line), Fix: fix})
	}
	return all
}

// secrets checks, for each source, that forged callbacks can be detected.
func (e *examination) secrets(context.Context) []Finding {
	var all []Finding
	for _, s := range e.cfg.Sources {
		p, known := providers.ByName(s.Provider)
		if !known {
			continue // the check "settings" reports it
		}
		f := passed("secrets "+nameOf(s), "%s", authentication(s))
		if _, err := p.Webhook(s); err != nil {
			f.Status, f.Found, f.Fix = Fail, masked(err), "set the key that is named, in the settings file or with its …_FILE variable"
		} else if key := unverified(p, s); key != "" {
			f.Status, f.Found, f.Fix = Warn, key+": callbacks that cannot be verified are accepted", "set a token or a certificate, and remove "+key[strings.LastIndexByte(key, '.')+1:]
		}
		all = append(all, f)
	}
	return all
}

func nameOf(s config.Source) string { return s.Provider + "/" + s.Name }

func unverified(p pack.Pack, s config.Source) string {
	if p.Unverified == nil {
		return ""
	}
	return p.Unverified(s)
}

// authentication lists the means by which a source's callbacks are verified: its secrets, and then its certificates.
func authentication(s config.Source) string {
	var secrets, files []string
	for _, is := range s.Settings() {
		name, ofWebhook := strings.CutPrefix(is.Key, "webhook.")
		switch {
		case !ofWebhook || !is.File || len(is.Values) == 0:
		case is.List:
			secrets = append(secrets, count(len(is.Values), strings.TrimSuffix(name, "s")))
		case is.Secret:
			secrets = append(secrets, "a "+name)
		default:
			files = append(files, "a "+name)
		}
	}
	return strings.Join(append(secrets, files...), " and ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
