package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/services/standalone"
)

// starts is --start: where a stage's consumers begin that are missing.
type starts map[string]flow.Start

func startFlags(fs *flag.FlagSet) {
	fs.Var(starts{}, "start", "`<stage>=<where>`: where the consumers of a stage begin that are missing, when nothing tells where the stage stopped: "+
		"new, all, or a time such as 2026-01-31T18:00:00Z; once for each stage")
}

func (c *call) starts() starts {
	given, _ := c.flags.Lookup("start").Value.(starts)
	return given
}

func (s starts) String() string { return strings.Join(slices.Sorted(maps.Keys(s)), ", ") }

// Set implements flag.Value.
func (s starts) Set(text string) error {
	stage, where, _ := strings.Cut(text, "=")
	if !slices.ContainsFunc(flow.Stages, func(known flow.Stage) bool { return known.Name == stage }) {
		return fmt.Errorf("no stage %q; there are %s", stage, strings.Join(stageNames(), ", "))
	}
	start, err := flow.ParseStart(where)
	if err != nil {
		return err
	}
	s[stage] = start
	return nil
}

func stageNames() []string {
	names := make([]string, len(flow.Stages))
	for i, s := range flow.Stages {
		names[i] = s.Name
	}
	return names
}

// provisionWithin bounds one provisioning; a person has as long as it takes to answer.
const provisionWithin = 30 * time.Second

// provisionStreams makes the streams and consumers. Where consumers are missing and nothing tells where they begin, it asks.
func (c *call) provisionStreams(ctx context.Context) error {
	cfg, err := standalone.Reach(c.cfg)
	if err != nil {
		return err
	}
	said := c.starts()
	answers := bufio.NewReader(c.stdin)
	for {
		try, cancel := context.WithTimeout(ctx, provisionWithin)
		err := standalone.Provision(try, cfg, quiet(), said, func(consumer, start string) {
			fmt.Fprintf(c.stdout, "made      %s; it %s\n", consumer, start)
		})
		cancel()
		undecided := new(flow.StartError)
		if !errors.As(err, &undecided) || !c.attended {
			return err
		}
		for _, u := range undecided.Undecided {
			if _, decided := said[u.Stage]; decided {
				continue
			}
			fmt.Fprintf(c.stdout, "Consumer %s on %s is missing, and where it stopped is not known (%s). Where does it begin?\n"+
				"  new     only with what is stored from now on; what waited is never done\n"+
				"  all     all since %s is done again\n"+
				"  a time  such as 2026-01-31T18:00:00Z: what was stored since then\n> ",
				u.Stage, u.Stream, u.Why, u.Since.Format(time.RFC3339))
			line, failed := answers.ReadString('\n')
			if failed != nil {
				return err
			}
			if wrong := said.Set(u.Stage + "=" + strings.TrimSpace(line)); wrong != nil {
				return wrong
			}
		}
	}
}
