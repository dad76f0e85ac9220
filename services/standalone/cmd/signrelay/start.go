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

// starts is the flag --start: the start positions of missing consumers, by stage.
type starts map[string]flow.Start

func startFlags(fs *flag.FlagSet) {
	fs.Var(starts{}, "start", "`<stage>=<where>`: the start position of a stage's missing consumers, if the position where the stage stopped is not known: "+
		"new, all, or a time such as 2026-01-31T18:00:00Z; repeat the flag for each stage")
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

// provisionTimeout bounds one provisioning. The time for the operator's response does not count.
const provisionTimeout = 30 * time.Second

// provisionStreams creates the streams and consumers. If a consumer is missing and its start position is not known, it asks the operator.
func (c *call) provisionStreams(ctx context.Context) error {
	cfg, err := standalone.Reach(c.cfg)
	if err != nil {
		return err
	}
	given := c.starts()
	input := bufio.NewReader(c.stdin)
	for {
		try, cancel := context.WithTimeout(ctx, provisionTimeout)
		err := standalone.Provision(try, cfg, quiet(), given, func(consumer, start string) {
			fmt.Fprintf(c.stdout, "created   %s; it %s\n", consumer, start)
		})
		cancel()
		undecided := new(flow.StartError)
		if !errors.As(err, &undecided) || !c.terminal {
			return err
		}
		for _, u := range undecided.Undecided {
			if _, decided := given[u.Stage]; decided {
				continue
			}
			fmt.Fprintf(c.stdout, "Consumer %s on %s is missing, and the position where it stopped is not known (%s). Where does it start?\n"+
				"  new     with the messages from now on; earlier unprocessed messages are lost\n"+
				"  all     with the first message; everything since %s is processed again\n"+
				"  a time  such as 2026-01-31T18:00:00Z: with the messages since then\n> ",
				u.Stage, u.Stream, u.Why, u.Since.Format(time.RFC3339))
			line, failed := input.ReadString('\n')
			if failed != nil {
				return err
			}
			if wrong := given.Set(u.Stage + "=" + strings.TrimSpace(line)); wrong != nil {
				return wrong
			}
		}
	}
}
