package smssettings_test

import (
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

func TestMeaningOfReplies(t *testing.T) {
	t.Parallel()
	o := smssettings.OptOutSection.Default
	for reply, want := range map[string]smssettings.Meaning{
		"STOP": smssettings.Stop, "stop": smssettings.Stop, " Stop. ": smssettings.Stop, "“STOP”!": smssettings.Stop, "ＳＴＯＰ": smssettings.Stop,
		"stop all": smssettings.Stop, "Opt-Out": smssettings.Stop, "OPT OUT": smssettings.Stop, "optout": smssettings.Stop, "Unsubscribe\n": smssettings.Stop,
		"cancel": smssettings.Stop, "End": smssettings.Stop, "quit": smssettings.Stop, "REVOKE": smssettings.Stop, "Stopp!": smssettings.Stop,
		"STOP 🛑": smssettings.Stop, "🛑️STOP": smssettings.Stop, "abmelden": smssettings.Stop,
		"START": smssettings.Start, "unstop": smssettings.Start, "Help?": smssettings.Help, "hilfe": smssettings.Help,
		// Other texts may mean anything, so a person reads them.
		"": smssettings.Other, "...": smssettings.Other, "please stop calling my office": smssettings.Other, "When does it end?": smssettings.Other,
		"Don't stop": smssettings.Other, "STO P 1": smssettings.Other, "unstoppable": smssettings.Other,
	} {
		if got, word := o.Meaning(reply); got != want || (word == "") != (want == smssettings.Other) {
			t.Errorf("%q means %d (%q), want %d", reply, got, word, want)
		}
	}
	o.Words.Others = []string{"ARRÊT"}
	for _, reply := range []string{"arrêt", "ARRE\u0302T"} { // composed or not
		if got, _ := o.Meaning(reply); got != smssettings.Stop {
			t.Errorf("%q means %d", reply, got)
		}
	}
}

func TestCheckOfOptOuts(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		change func(*smssettings.OptOut)
		want   string
	}{
		"the default":    {func(*smssettings.OptOut) {}, ""},
		"a scope":        {func(o *smssettings.OptOut) { o.Scope = "number" }, "opt_out.scope"},
		"without STOP":   {func(o *smssettings.OptOut) { o.Words.En = []string{"CANCEL"} }, "opt_out.words.en: want STOP among the words"},
		"no letter":      {func(o *smssettings.OptOut) { o.Words.Others = []string{"!!"} }, `opt_out.words.others: want words of 1 to 40 characters with at least one letter or digit, not "!!"`},
		"a long word":    {func(o *smssettings.OptOut) { o.HelpWords = []string{strings.Repeat("x", 41)} }, "opt_out.help_words: want words of 1 to 40"},
		"two meanings":   {func(o *smssettings.OptOut) { o.StartWords = []string{"start", "Stop!"} }, `opt_out.start_words: "Stop!" is in opt_out.words.en too`},
		"two languages":  {func(o *smssettings.OptOut) { o.Words.De = []string{"stop"} }, ""},
		"no start":       {func(o *smssettings.OptOut) { o.StartWords = nil }, "opt_out.start_words: want at least one word"},
		"no help":        {func(o *smssettings.OptOut) { o.HelpWords = nil }, "opt_out.help_words: want at least one word"},
		"a contact":      {func(o *smssettings.OptOut) { o.Contact = "stop@acme.example" }, ""},
		"a long contact": {func(o *smssettings.OptOut) { o.Contact = strings.Repeat("x", 61) }, "opt_out.contact: want one line of at most 60 characters"},
		"two lines":      {func(o *smssettings.OptOut) { o.Contact = "a\nb" }, "opt_out.contact: want one line"},
		"too many":       {func(o *smssettings.OptOut) { o.Words.Others = make([]string, 101) }, "opt_out.words.others: want at most 100 words"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config.Default(smssettings.OptOutSection)
			row.change(smssettings.OptOutSection.In(&c))
			err := config.Check(c, nil, nil)
			switch {
			case row.want == "" && err != nil && strings.Contains(err.Error(), "opt_out"):
				t.Error(err)
			case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)):
				t.Errorf("%v, want %q", err, row.want)
			}
		})
	}
}
