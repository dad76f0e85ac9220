package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/telemetry"
	"github.com/signrelay/signrelay/libs/templates"
)

func (e *examination) settings(context.Context) []Finding {
	all := eachMistake("settings", service.Check(e.cfg), "mend the setting that is named", fmt.Sprintf("%d sources, no mistakes", len(e.cfg.Sources)))
	for _, w := range config.Warnings(e.cfg) {
		all = append(all, Finding{w.Key, Warn, w.Found, w.Mend})
	}
	return all
}

func (e *examination) templates(context.Context) []Finding {
	err := templates.Check(e.cfg)
	found := "the built-in texts"
	if e.cfg.Templates.Dir != "" {
		found = "the built-in texts, and your own in their places"
	}
	return eachMistake("templates", err, "mend the file that is named; docs/templates.md says how they are written", found)
}

// eachMistake is a line for each mistake, or one that says that there is none.
func eachMistake(check string, mistakes error, mend, found string) []Finding {
	if mistakes == nil {
		return []Finding{fine(check, "%s", found)}
	}
	var all []Finding
	for line := range strings.SplitSeq(mistakes.Error(), "\n") {
		all = append(all, Finding{Check: check, Status: Fail, Found: telemetry.Mask(line), Mend: mend})
	}
	return all
}

// secrets tells of each source whether its callbacks can be told from forged ones.
func (e *examination) secrets(context.Context) []Finding {
	var all []Finding
	for _, s := range e.cfg.Sources {
		p, known := providers.ByName(s.Provider)
		if !known {
			continue // settings says so
		}
		f := fine("secrets "+nameOf(s), "%s", authentication(s.Webhook))
		if _, err := p.Webhook(s); err != nil {
			f.Status, f.Found, f.Mend = Fail, told(err), "set the key that is named, here or in its …_FILE variable"
		} else if s.Webhook.AllowUnverified {
			f.Status, f.Found, f.Mend = Warn, "webhook.allow_unverified lets callbacks in that nothing vouches for", "set a token or a certificate, and remove it"
		}
		all = append(all, f)
	}
	return all
}

func nameOf(s config.Source) string { return s.Provider + "/" + s.Name }

// authentication is what the settings say of a source's callbacks, in words.
func authentication(w config.Webhook) string {
	var parts []string
	if n := len(w.Secrets); n > 0 {
		parts = append(parts, count(n, "secret"))
	}
	if w.Token != "" {
		parts = append(parts, "a token")
	}
	if w.Certificate != "" {
		parts = append(parts, "a certificate")
	}
	return strings.Join(parts, " and ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
