package service

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/telemetry"
)

// Main is the main function of a program with one service. It ends the process with status 0 after an orderly shutdown, 1 after a failure, 2
// after wrong usage or wrong settings.
func Main(s Service, list []config.Declared) {
	os.Exit(Start(UntilSignal(context.Background()), s, list, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// Start works like Main, but does not end the process: it returns the exit status.
func Start(ctx context.Context, s Service, list []config.Declared, args, environ []string, stdout, stderr io.Writer) int {
	cfg, rest, err := config.Load(list, args, environ)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(stdout, "%[1]s runs this service alone; `%[1]s healthcheck` checks whether a running %[1]s is ready, and `%[1]s version` prints the version. Its settings:\n\n", s.Name)
		if err := config.Usage(stdout, list); err != nil {
			return 1
		}
		return 0
	}
	if len(rest) == 1 && rest[0] == "version" {
		fmt.Fprintln(stdout, About(s.Name))
		return 0
	}
	if len(rest) == 1 && rest[0] == "healthcheck" {
		// Other errors in the settings do not matter here: the running program reports them.
		if err := Healthcheck(ctx, cfg); err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		return 0
	}
	if len(rest) > 0 {
		err = errors.Join(err, fmt.Errorf("%q: want no arguments, only flags, or healthcheck or version alone", rest[0]))
	}
	if config.Readable(err) {
		err = errors.Join(err, Check(cfg), CheckAlone(s, cfg))
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}

	log := telemetry.Logger(stderr, cfg.Log.Level, s.Name)
	OneVoice(log)
	tuning := Alone
	tuning.gcPercent = cmp.Or(s.GCPercent, tuning.gcPercent)
	tuning.Apply()
	shutdown, err := telemetry.Traces(ctx, s.Name)
	if err != nil {
		log.Error("cannot start", "error", err)
		return 1
	}
	err = Run(ctx, cfg, log, s)
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := shutdown(flush); err != nil {
		log.Warn("the last traces are lost", "error", err)
	}
	if err != nil {
		log.Error("failed", "error", err)
		return 1
	}
	log.Info("ended")
	return 0
}

// Tuning sets the memory that a program uses to save CPU time.
type Tuning struct {
	// gcPercent is the garbage after which the program collects, in percent of its live heap. The variable GOGC overrides it. The live heap
	// of ingest is about 8 MB. So ingest collects at 70 MB instead of at 16 MB.
	gcPercent int
	// memory is the size, in bytes, above which the program collects more often than gcPercent says. The variable GOMEMLIMIT overrides it.
	// Without a limit, a few large callbacks at once made ingest grow to 640 MiB, of which 9 in 10 bytes were garbage.
	memory int64
}

// The tunings.
var (
	Alone    = Tuning{800, 256 << 20} // a service in a separate process
	Together = Tuning{300, 1 << 30}   // all services and the embedded broker in one process, which stays below 80 MB when idle
)

// Apply tunes the whole process, so main calls it once.
func (t Tuning) Apply() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(t.gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(t.memory)
	}
}

// OneVoice redirects the lines that libraries would write to standard error into the log. It changes the whole process, so call it once, in
// main.
func OneVoice(log *slog.Logger) {
	redis.SetLogger(redisLog{log})
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("telemetry", "error", err) }))
}

type redisLog struct{ log *slog.Logger }

func (l redisLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.DebugContext(ctx, "redis client", "text", fmt.Sprintf(format, v...))
}
