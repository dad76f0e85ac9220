package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os/user"

	"github.com/signrelay/signrelay/libs/telemetry"
	"github.com/signrelay/signrelay/services/console"
	"github.com/signrelay/signrelay/services/standalone"
)

func mcpFlags(fs *flag.FlagSet) {
	fs.Bool("private", false, "also give the client names, addresses, numbers, titles and texts; each look at a document is stored as an event")
	fs.Bool("write", false, "also let the client plan and start replays, removals and releases")
	fs.String("by", "", "the user in the events of what the client does; without it, the `name` of the user of this machine")
}

// mcpCommand serves an MCP client that started this command. Stdout has the protocol only, and the log goes to stderr.
func mcpCommand(ctx context.Context, c *call) error {
	roles := []string{"look"}
	for _, f := range []struct{ flag, role string }{{"write", "operate"}, {"private", "private"}} {
		if value[bool](c, f.flag) {
			roles = append(roles, f.role)
		}
	}
	env, done, err := open(ctx, standalone.WithIndex(c.cfg))
	if err != nil {
		return err
	}
	defer done()
	env.Log = telemetry.Logger(c.stderr, c.cfg.Log.Level, connectionName)
	if c.terminal {
		fmt.Fprintln(c.stderr, "An MCP client starts this command and talks to it by stdin and stdout (docs/mcp.md). This is a terminal: Ctrl-D ends it.")
	}
	return console.ServeMCP(ctx, env, c.by(), roles, io.NopCloser(c.stdin), closer{c.raw})
}

// by returns the user in the events of what a command does.
func (c *call) by() string {
	if by := c.flags.Lookup("by"); by != nil && by.Value.String() != "" {
		return by.Value.String()
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

// closer is a stream that stays open after its user.
type closer struct{ io.Writer }

func (closer) Close() error { return nil }
