// Command signrelay runs all services in one process. It is also the operator's command line for a running installation.
//
// Exit status: 0 success, 1 failure, 2 wrong use.
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

	_ "github.com/signrelay/signrelay/libs/archive/drivers"
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

// command is one command of the program.
type command struct {
	name  string // "quarantine list": one space separates its parts
	args  string
	usage string
	flags func(*flag.FlagSet) // its own flags, in addition to those of the settings; nil for none
	run   func(context.Context, *call) error
}

// call is one invocation of a command.
type call struct {
	cfg      config.Config
	mistakes error    // mistakes in single settings, for config check; other commands do not run with mistakes
	args     []string // the arguments after the flags
	flags    *flag.FlagSet
	stdin    io.Reader
	terminal bool      // stdin is a terminal
	stdout   io.Writer // escapes control characters, as stderr does
	stderr   io.Writer
	packs    []pack.Pack
	raw      io.Writer // prints bodies byte for byte; on a terminal it is stdout
}

func (c *call) flag(name string) string { return c.flags.Lookup(name).Value.String() }
func (c *call) json() bool              { return value[bool](c, "json") }

// aDocument is the argument of the commands about one document.
const aDocument = "<document>"

// commands in the order in which a new user needs them.
var commands = []command{
	{"run", "", "run everything in one process, with an embedded NATS server", startFlags, run},
	{"provision", "", "create the streams, buckets and consumers, or update them", provisionFlags, provision},
	{configCheckName, "", "report all mistakes in the settings", configCheckFlags, configCheck},
	{"config print", "", "print the settings in use, with secrets masked", nil, configPrint},
	{"doctor", "", "check an installation, and report each fault and its fix", doctorFlags, doctorCommand},
	{"send", "<provider> [<sample>]", "send a sample callback to ingest; without a sample, list them", sendFlags, send},
	{"tail", "[<subject filter>]", "show events as they are stored", tailFlags, tail},
	{"documents", "[<text>]", "find documents by a piece of a title, a name or an id, by an address, a number, and filters", documentsFlags, listDocuments},
	{"timeline", aDocument, "show everything that happened to one document", eventFlags, timeline},
	{"verify", "<event>|<document>", "check the signatures of kept callbacks again, with the keys of today", jsonFlag, verify},
	{"renormalize", "", "read kept callbacks with this version, and show or store what differs from the log", renormalizeFlags, renormalize},
	{"evidence", aDocument, "write everything about one document into a signed ZIP file, for a lawyer", evidenceFlags, makeEvidence},
	{evidenceVerifyName, "<file>", "check an evidence file; it needs no network, no settings and no account", verifyEvidenceFlags, verifyEvidence},
	{"evidence key", "[<file>]", "print the public key of evidence files; with a file, make the key first", nil, evidenceKey},
	{"dlq list", "", "list dead letters: work that failed permanently", dlqListFlags, dlqList},
	{"dlq show", "<number>", "show a dead letter without its body; with --body, only the body", dlqShowFlags, dlqShow},
	{"dlq replay", "<number>…|--stage <stage>|…|--all", "send dead letters back to the stages that gave them up", dlqReplayFlags, dlqReplay},
	{"dlq drop", "<number>…", "delete dead letters permanently", nil, dlqDrop},
	{"held list", "", "list messages that wait until you correct an account, a setting or a limit", heldFlags, heldList},
	{"held release", "", "retry held messages now", heldReleaseFlags, heldRelease},
	{"reminders list", "[<document>]", "list the scheduled reminders, the next ones first", jsonFlag, remindersList},
	{"reminders cancel", aDocument, "cancel a document's scheduled reminders, also the later ones", reminderFlags("cancel"), remindersCancel},
	{"reminders now", aDocument, "make a document's next reminders due at once", reminderFlags("make"), remindersNow},
	{"recipient correct", aDocument, "correct a person's name and addresses, invite the person again, and wait for the outcome", correctFlags, recipientCorrect},
	{"recipient resend", aDocument, "send a person's invitation once more, and wait for the outcome", resendFlags, recipientResend},
	{"reconcile", "<provider>/<source>", "ask the provider for facts that no callback brought, and store them", reconcileFlags, reconcile},
	{"source check", aSource, "compare what the provider has registered with the settings", sourceCheckFlags, sourceCheck},
	{"source connect", aSource, "register our address and secret at the provider, or say what to enter there", sourceConnectFlags, sourceConnect},
	{"source sign-in", aSource, "let the source's application use the account, in a browser", sourceSignInFlags, sourceSignIn},
	{"source sign-out", aSource, "remove the tokens of the source's application", sourceSignOutFlags, sourceSignOut},
	{"source test", aSource, "send a test callback through our public address, and wait until the log has it", publicURLFlag, sourceTest},
	{"quarantine list", "", "list callbacks that could not be read", quarantineListFlags, quarantineList},
	{"quarantine show", "<number>", "show a quarantined callback; with --body, only its body, byte for byte", quarantineShowFlags, quarantineShow},
	{"quarantine replay", "<number>…|--reason <reason>|…|--all", "process quarantined callbacks again, and store the events", quarantineReplayFlags, quarantineReplay},
	{"erase", "<document>…|--file <file>|--person <address or number>|--copy", "remove documents or a person from all places", eraseFlags, eraseCommand},
	{"hold add", aDocument, "put a document under a legal hold: it is not erased and does not expire", holdFlags, holdAdd},
	{"hold remove", aDocument, "end the legal hold of a document", holdFlags, holdRemove},
	{"hold list", "", "list the documents under a legal hold", jsonFlag, holdList},
	{"kafka refill", "", "write the log, or a part of it, to the Kafka topic again", kafkaRefillFlags, kafkaRefill},
	{"console password", "<name> <role>,…", "read a password, and print the user's line for console.users", nil, consolePassword},
	{"mcp", "", "serve an MCP client over stdin and stdout: find and explain documents, list what is stuck", mcpFlags, mcpCommand},
	{"index status", "", "show how far the search index is behind the log, and its size", indexStatusFlags, indexStatusCommand},
	{"index rebuild", "", "build the search index again from the log; it may run while everything else runs", nil, indexRebuild},
	{"sandbox certificate", "<folder>", "create the key and the certificate of a sandbox that runs as a separate program", nil, sandboxCertificate},
	{"healthcheck", "", "check whether a running `signrelay run` is ready", nil, healthcheck},
	{"version", "", "print the version", nil, version},
}

// usageError reports wrong use: exit status 2.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func dispatch(ctx context.Context, args, environ []string, stdin *os.File, stdout, stderr io.Writer) int {
	return dispatchWith(ctx, providers.All, args, environ, stdin, stdout, stderr)
}

// dispatchWith works like dispatch, with the given packs. Tests pass packs that panic.
func dispatchWith(ctx context.Context, packs []pack.Pack, args, environ []string, stdin *os.File, stdout, stderr io.Writer) int {
	raw := stdout
	stdout, stderr = printable.Writer(stdout), printable.Writer(stderr)
	if f, ok := raw.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		raw = stdout
	}
	cmd, rest, found := findCommand(args)
	if !found {
		if len(args) > 0 && (args[0] == "help" || args[0] == "-h" || args[0] == "--help") {
			help(stdout)
			return 0
		}
		help(stderr)
		switch {
		case len(args) == 0:
		case strings.HasPrefix(args[0], "-"): // the flag may contain a secret, so it is not printed
			fmt.Fprintln(stderr, "\nsignrelay: put flags after the command")
		default:
			fmt.Fprintf(stderr, "\nsignrelay: no command %q\n", commandName(args))
		}
		return 2
	}
	err := runCommand(ctx, cmd, rest, environ, &call{packs: packs, stdin: stdin, terminal: term.IsTerminal(int(stdin.Fd())), stdout: stdout, stderr: stderr, raw: raw})
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		commandHelp(stdout, cmd)
		return 0
	case errors.As(err, new(usageError)):
		fmt.Fprintf(stderr, "signrelay %s: %s\nUsage: signrelay %s %s\n", cmd.name, err, cmd.name, cmd.args)
		return 2
	default:
		fmt.Fprintf(stderr, "signrelay %s: %s\n", cmd.name, err)
		return 1
	}
}

// findCommand returns the command whose name is at the start of args. It tries a name of two parts first.
func findCommand(args []string) (command, []string, bool) {
	for parts := min(2, len(args)); parts > 0; parts-- {
		for _, c := range commands {
			if c.name == strings.Join(args[:parts], " ") {
				return c, args[parts:], true
			}
		}
	}
	return command{}, nil, false
}

// commandName returns the command name in args: two parts if names of two parts begin with the first one.
func commandName(args []string) string {
	begins := slices.ContainsFunc(commands, func(c command) bool { return strings.HasPrefix(c.name, args[0]+" ") })
	if begins && len(args) > 1 && !strings.HasPrefix(args[1], "-") {
		return args[0] + " " + args[1]
	}
	return args[0]
}

func runCommand(ctx context.Context, cmd command, args, environ []string, c *call) error {
	fs := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	if cmd.flags != nil {
		cmd.flags(fs)
	}
	declared := sections.All
	if cmd.name == evidenceVerifyName { // a lawyer has no settings, and mistakes in an operator's settings do not matter
		declared, environ = nil, nil
	}
	cfg, rest, err := config.LoadWith(fs, declared, args, environ)
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	if err != nil && (cmd.name != configCheckName || !config.Readable(err)) {
		return usageError{err.Error()}
	}
	if cmd.args == "" && len(rest) > 0 {
		// `run my.yaml` would run the demo sources, whose secrets are public, and `config check my.yaml` would report "ok".
		return usageError{fmt.Sprintf("takes no arguments, got %d; pass a settings file with --config", len(rest))}
	}
	c.cfg, c.mistakes, c.args, c.flags = cfg, err, rest, fs
	return cmd.run(ctx, c)
}

func help(w io.Writer) {
	fmt.Fprintln(w, "signrelay stores e-signature callbacks in a durable log and sends signers their messages.")
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands {
		fmt.Fprintf(table, "  signrelay %s %s\t%s\n", c.name, c.args, c.usage)
	}
	_ = table.Flush()
	fmt.Fprintln(w, "\nRun `signrelay <command> -h` for the flags of a command.")
}

func commandHelp(w io.Writer, cmd command) {
	fmt.Fprintf(w, "signrelay %s %s\n  %s\n", cmd.name, cmd.args, cmd.usage)
	if cmd.flags != nil {
		own := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
		cmd.flags(own)
		fmt.Fprintln(w, "\nFlags:")
		own.SetOutput(w)
		own.PrintDefaults()
	}
	if cmd.name == evidenceVerifyName {
		return
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

// number parses a number from a listing.
func number(text, listing string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, usageError{fmt.Sprintf("%q is not a number from `%s`", text, listing)}
	}
	return n, nil
}

// argument returns the only argument of the call.
func (c *call) argument(what string) (string, error) {
	if len(c.args) != 1 {
		return "", usageError{fmt.Sprintf("want %s, got %d arguments", what, len(c.args))}
	}
	return c.args[0], nil
}
