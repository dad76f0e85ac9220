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
	namesFlag(fs, "for", "the `services` to which the credentials belong, separated by commas; by default all")
	fs.String("ingest-url", "", "the `URL` at which providers reach ingest; with --kill, by default from ingest.addr")
	fs.String("nats-monitor", "", "the `URL` of the NATS server's monitoring, which reports how it syncs, e.g. http://nats:8222")

	fs.Bool("kill", false, "in an installation for tests: send test events while parts are killed, and count the events in the log")
	fs.Bool("yes-this-is-a-test", false, "with --kill: confirm that this installation has no real data")
	wholeFlag(fs, "callbacks", 50, math.MaxInt32, "with --kill: the `number` of callbacks to send")
	spanFlag(fs, "every", 100*time.Millisecond, 0, "with --kill: the `time` between two callbacks")
	fs.String("kill-command", "", "with --kill: a shell `command` that kills a part; without it, kill by hand")
	wholeFlag(fs, "kills", 3, math.MaxInt32, "with --kill: the `number` of runs of the command")
	spanFlag(fs, "patience", 5*time.Minute, time.Millisecond, "with --kill: the `time` for which a callback is retried")
}

func doctorCommand(ctx context.Context, c *call) error {
	if len(c.args) > 0 {
		return usageError{"takes no arguments, only flags"}
	}
	if value[bool](c, "kill") {
		return proveNoLoss(ctx, c)
	}
	o := doctor.Options{
		Embedded: c.cfg.NATS.URL == "", IngestURL: strings.TrimRight(c.flag("ingest-url"), "/"), MonitorURL: c.flag("nats-monitor"),
		For: value[[]string](c, "for"),
	}
	if err := o.Check(); err != nil {
		return usageError{err.Error()}
	}
	quiet()
	failed := 0
	var unwritten error
	report := func(f doctor.Finding) {
		if f.Status == doctor.Fail {
			failed++
		}
		unwritten = cmp.Or(unwritten, c.printFinding(f))
	}
	cfg, err := standalone.Reach(standalone.WithIndex(standalone.WithArchive(c.cfg)))
	if err != nil {
		report(doctor.Finding{Check: "data_dir", Status: doctor.Fail, Found: err.Error(), Fix: "run the doctor in the folder and as the user of `signrelay run`"})
	}
	if cfg, err = standalone.WithDemo(cfg); err != nil {
		return err
	}
	doctor.Examine(ctx, cfg, o, report)
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

// printFinding prints a finding, with its fix on a second line.
func (c *call) printFinding(f doctor.Finding) error {
	if c.json() {
		return printJSON(c.stdout, f)
	}
	line := fmt.Sprintf("%-4s  %-24s  %s", f.Status, f.Check, printable.Line(f.Found))
	if f.Fix != "" {
		line += "\n      " + strings.Repeat(" ", 26) + "fix: " + printable.Line(f.Fix)
	}
	_, err := fmt.Fprintln(c.stdout, line)
	return err
}
