// Command signrelay is the whole house in one program: it runs everything in one process, and it is what an operator asks
// and tells a running system with.
//
// Exit status: 0 done, 1 failed, 2 wrong use.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/nats-io/nats.go"
	"golang.org/x/term"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/printable"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sections"
)

func main() {
	os.Exit(dispatch(service.UntilSignal(context.Background()), os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

// command is one word of the command line.
type command struct {
	name  string // "quarantine list": words are apart by one space
	args  string
	does  string
	flags func(*flag.FlagSet) // its own, beside the settings'; nil for none
	run   func(context.Context, *call) error
}

// call is one use of a command.
type call struct {
	cfg      config.Config
	mistakes error    // what config check finds wrong in single settings; other commands do not run with mistakes
	args     []string // behind the flags
	flags    *flag.FlagSet
	stdin    io.Reader
	attended bool      // stdin is a terminal
	stdout   io.Writer // shows control characters escaped, like stderr
	stderr   io.Writer
	packs    []pack.Pack
	raw      io.Writer // takes bodies byte for byte; on a terminal it is stdout
}

func (c *call) flag(name string) string { return c.flags.Lookup(name).Value.String() }
func (c *call) json() bool              { return c.flag("json") == "true" }

// commands in the order in which one meets them.
var commands = []command{
	{"run", "", "run everything in one process, with an embedded NATS server", startFlags, run},
	{"provision", "", "make the streams, buckets and consumers, or bring them up to date", provisionFlags, provision},
	{configCheckName, "", "say all that is wrong with the settings", configCheckFlags, configCheck},
	{"config print", "", "print the settings as they are understood, secrets masked", nil, configPrint},
	{"doctor", "", "look at a set-up, and say what is wrong and how to mend it", doctorFlags, doctorCommand},
	{"send", "<provider> [<sample>]", "send a sample callback to ingest; without a sample, list them", sendFlags, send},
	{"tail", "[<subject filter>]", "show events as they are stored", tailFlags, tail},
	{"timeline", "<document>", "show all that happened to one document", jsonFlag, timeline},
	{"dlq list", "", "list the work that was given up", dlqListFlags, dlqList},
	{"dlq show", "<number>", "show one, without its body or (--body) the body alone", dlqShowFlags, dlqShow},
	{"dlq replay", "<number>…|--stage <stage>|…|--all", "send some back to the stages that gave them up", dlqReplayFlags, dlqReplay},
	{"dlq drop", "<number>…", "remove some for good", nil, dlqDrop},
	{"held list", "", "list the messages that wait for you to mend an account or a setting", heldFlags, heldList},
	{"held release", "", "have them tried at once", heldReleaseFlags, heldRelease},
	{"quarantine list", "", "list callbacks that could not be read", quarantineListFlags, quarantineList},
	{"quarantine show", "<number>", "show one, or (--body) its body alone, byte for byte", quarantineShowFlags, quarantineShow},
	{"quarantine replay", "<number>…|--reason <reason>|…|--all", "read some again and store what can be read", quarantineReplayFlags, quarantineReplay},
	{"kafka refill", "", "write the log, or a part of it, onto the Kafka topic once more", kafkaRefillFlags, kafkaRefill},
	{"sandbox certificate", "<folder>", "make the key and certificate of a sandbox that runs beside the services", nil, sandboxCertificate},
	{"healthcheck", "", "ask a running `signrelay run` whether it is ready", nil, healthcheck},
	{"version", "", "say which version this is", nil, version},
}

// usageError is wrong use: exit status 2.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func dispatch(ctx context.Context, args, environ []string, stdin *os.File, stdout, stderr io.Writer) int {
	return dispatchWith(ctx, providers.All, args, environ, stdin, stdout, stderr)
}

// dispatchWith is dispatch with other packs, which tests give a fault.
func dispatchWith(ctx context.Context, packs []pack.Pack, args, environ []string, stdin *os.File, stdout, stderr io.Writer) int {
	raw := stdout
	stdout, stderr = printable.Writer(stdout), printable.Writer(stderr)
	if f, ok := raw.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		raw = stdout
	}
	cmd, rest, found := find(args)
	if !found {
		if len(args) > 0 && (args[0] == "help" || args[0] == "-h" || args[0] == "--help") {
			help(stdout)
			return 0
		}
		help(stderr)
		switch {
		case len(args) == 0:
		case strings.HasPrefix(args[0], "-"): // which may have a secret behind it
			fmt.Fprintln(stderr, "\nsignrelay: flags stand behind the command")
		default:
			fmt.Fprintf(stderr, "\nsignrelay: no command %q\n", called(args))
		}
		return 2
	}
	err := use(ctx, cmd, rest, environ, &call{packs: packs, stdin: stdin, attended: term.IsTerminal(int(stdin.Fd())), stdout: stdout, stderr: stderr, raw: raw})
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		commandHelp(stdout, cmd)
		return 0
	case errors.As(err, new(usageError)):
		fmt.Fprintf(stderr, "signrelay %s: %s\nUse: signrelay %s %s\n", cmd.name, err, cmd.name, cmd.args)
		return 2
	default:
		fmt.Fprintf(stderr, "signrelay %s: %s\n", cmd.name, err)
		return 1
	}
}

// find returns the command whose words begin args, the longer one first.
func find(args []string) (command, []string, bool) {
	for words := min(2, len(args)); words > 0; words-- {
		for _, c := range commands {
			if c.name == strings.Join(args[:words], " ") {
				return c, args[words:], true
			}
		}
	}
	return command{}, nil, false
}

// called is the command that the caller meant: two words where the first word begins commands of two.
func called(args []string) string {
	begins := slices.ContainsFunc(commands, func(c command) bool { return strings.HasPrefix(c.name, args[0]+" ") })
	if begins && len(args) > 1 && !strings.HasPrefix(args[1], "-") {
		return args[0] + " " + args[1]
	}
	return args[0]
}

func use(ctx context.Context, cmd command, args, environ []string, c *call) error {
	fs := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	if cmd.flags != nil {
		cmd.flags(fs)
	}
	cfg, rest, err := config.LoadWith(fs, sections.All, args, environ)
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	if err != nil && (cmd.name != configCheckName || !config.Readable(err)) {
		return usageError{err.Error()}
	}
	if cmd.args == "" && len(rest) > 0 {
		// `run my.yaml` would run the demo sources, whose secrets are public, and `config check my.yaml` would call them ok.
		return usageError{fmt.Sprintf("takes no arguments, got %d: a settings file stands behind --config", len(rest))}
	}
	c.cfg, c.mistakes, c.args, c.flags = cfg, err, rest, fs
	return cmd.run(ctx, c)
}

func help(w io.Writer) {
	fmt.Fprintln(w, "signrelay: e-signature callbacks into one durable log, and the messages that follow")
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands {
		fmt.Fprintf(table, "  signrelay %s %s\t%s\n", c.name, c.args, c.does)
	}
	_ = table.Flush()
	fmt.Fprintln(w, "\nsignrelay <command> -h lists a command's flags.")
}

func commandHelp(w io.Writer, cmd command) {
	fmt.Fprintf(w, "signrelay %s %s\n  %s\n", cmd.name, cmd.args, cmd.does)
	if cmd.flags != nil {
		own := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
		cmd.flags(own)
		fmt.Fprintln(w, "\nIts flags:")
		own.SetOutput(w)
		own.PrintDefaults()
	}
	fmt.Fprintln(w, "\nSettings, as flags and as environment variables:")
	_ = config.Usage(w, sections.All)
}

func jsonFlag(fs *flag.FlagSet) { fs.Bool("json", false, "one JSON object a line") }

func printJSON(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", printable.JSON(line))
	return err
}

func sortedNames(h nats.Header) []string { return slices.Sorted(maps.Keys(h)) }

// number reads the number of something in a listing.
func number(text, listing string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, usageError{fmt.Sprintf("%q is no number from `%s`", text, listing)}
	}
	return n, nil
}

// only returns the call's single argument.
func (c *call) only(what string) (string, error) {
	if len(c.args) != 1 {
		return "", usageError{fmt.Sprintf("wants %s, got %d arguments", what, len(c.args))}
	}
	return c.args[0], nil
}
