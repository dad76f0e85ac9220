package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/printable"
	"github.com/signrelay/signrelay/services/standalone"
	"github.com/signrelay/signrelay/services/standalone/doctor"
)

func doctorFlags(fs *flag.FlagSet) {
	jsonFlag(fs)
	fs.String("for", "", "the services that the credentials are for, separated by commas; empty for all")
	fs.String("ingest-url", "", "where providers reach ingest; with --kill, as ingest.addr says when empty")
	fs.String("nats-monitor", "", "the NATS server's monitoring address, which tells how it syncs, e.g. http://nats:8222")

	fs.Bool("kill", false, "in a set-up for tests: send test events while its parts are killed, and count what the log holds")
	fs.Bool("yes-this-is-a-test", false, "with --kill: nothing in this set-up is anybody's")
	wholeFlag(fs, "callbacks", 50, math.MaxInt32, "with --kill: how many are sent")
	spanFlag(fs, "every", 100*time.Millisecond, 0, "with --kill: the time between two of them")
	fs.String("kill-command", "", "with --kill: a command for the shell that kills a part; without one, kill by hand meanwhile")
	wholeFlag(fs, "kills", 3, math.MaxInt32, "with --kill: how often the command is run")
	spanFlag(fs, "patience", 5*time.Minute, time.Millisecond, "with --kill: how long a callback is tried again")
}

func doctorCommand(ctx context.Context, c *call) error {
	if len(c.args) > 0 {
		return usageError{"wants no arguments, only flags"}
	}
	if c.flag("kill") == "true" {
		return proveNoLoss(ctx, c)
	}
	o := doctor.Options{
		Embedded: c.cfg.NATS.URL == "", IngestURL: strings.TrimRight(c.flag("ingest-url"), "/"), MonitorURL: c.flag("nats-monitor"),
	}
	if c.flag("for") != "" {
		o.For = strings.Split(c.flag("for"), ",")
	}
	if err := o.Check(); err != nil {
		return usageError{err.Error()}
	}
	quiet()
	failed := 0
	var unwritten error
	tell := func(f doctor.Finding) {
		if f.Status == doctor.Fail {
			failed++
		}
		unwritten = cmp.Or(unwritten, c.tell(f))
	}
	cfg, err := standalone.Reach(c.cfg)
	if err != nil {
		tell(doctor.Finding{Check: "data_dir", Status: doctor.Fail, Found: err.Error(), Mend: "look from where `signrelay run` runs, as its user"})
	}
	if cfg, err = standalone.WithDemo(cfg); err != nil {
		return err
	}
	doctor.Examine(ctx, cfg, o, tell)
	switch {
	case unwritten != nil:
		return unwritten
	case failed == 1:
		return errors.New("1 check failed")
	case failed > 1:
		return fmt.Errorf("%d checks failed", failed)
	default:
		return nil
	}
}

// tell prints one line a check.
func (c *call) tell(f doctor.Finding) error {
	if c.json() {
		return printJSON(c.stdout, f)
	}
	line := fmt.Sprintf("%-4s  %-24s  %s", f.Status, f.Check, printable.Line(f.Found))
	if f.Mend != "" {
		line += "\n      " + strings.Repeat(" ", 26) + "mend: " + printable.Line(f.Mend)
	}
	_, err := fmt.Fprintln(c.stdout, line)
	return err
}
