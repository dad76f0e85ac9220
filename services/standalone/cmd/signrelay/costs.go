package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/templates"
	"github.com/signrelay/signrelay/services/shortener"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

// printCosts prints the number of SMS parts of each message kind: one line for each language and sender name of the sources that send SMS.
func printCosts(w io.Writer, cfg config.Config) error {
	texts, err := templates.Open(cfg.Templates.Dir)
	if err != nil {
		return err
	}
	link := shortener.Sample(shortenersettings.Section.Of(cfg))
	vonage := smssettings.VonageSection.Of(cfg)
	sender := templates.TextSender{NoReplies: vonage.From != "" && !vonage.Replies(), Contact: smssettings.OptOutSection.Of(cfg).Contact}
	printed := map[[2]string]bool{}
	for _, s := range cfg.Sources {
		locale := cmp.Or(s.Locale, "en")
		if printed[[2]string{locale, s.SenderName}] || len(s.Notify.Channels) > 0 && !slices.Contains(s.Notify.Channels, "sms") {
			continue
		}
		printed[[2]string{locale, s.SenderName}] = true
		costs, err := texts.Costs(locale, s.SenderName, link, sender)
		if err != nil {
			return err
		}
		var kinds []string
		for _, c := range costs {
			kind := fmt.Sprintf("%s %d", c.Kind, c.Parts)
			if c.Outside != "" {
				kind += fmt.Sprintf(" (GSM-7 lacks %q)", c.Outside)
			}
			kinds = append(kinds, kind)
		}
		from := ""
		if s.SenderName != "" {
			from = fmt.Sprintf(" from %q", s.SenderName)
		}
		fmt.Fprintf(w, "SMS parts in %s%s, for a title of 20 characters: %s\n", locale, from, strings.Join(kinds, ", "))
	}
	return nil
}
