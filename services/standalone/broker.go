package standalone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/signrelay/signrelay/libs/config"
)

// largestMessage is what the broker takes in one message: a callback of 1 MiB, its attributes' names, and headers.
const largestMessage = 8 << 20

// broker is the embedded NATS server and its hold on the data directory.
type broker struct {
	*server.Server
	lock *flock.Flock
}

func (b *broker) stop() {
	b.Shutdown()
	b.WaitForShutdown()
	_ = b.lock.Unlock() // the process's end unlocks it too
}

// hold takes the data directory for this process alone. The server takes no lock of its own, and two that write the same
// streams lose what both had acknowledged.
func hold(dataDir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	lock := flock.New(filepath.Join(dataDir, "lock"))
	held, err := lock.TryLock()
	switch {
	case err != nil:
		return nil, fmt.Errorf("lock the data directory: %w", err)
	case !held:
		return nil, fmt.Errorf("the data directory %s is in use by another signrelay: stop it, or set SIGNRELAY_DATA_DIR", dataDir)
	default:
		return lock, nil
	}
}

// startBroker starts the embedded NATS server with its streams under the data directory. sync_interval is "always": a
// message is on disk before it is acknowledged, so a provider's 2xx survives a power cut.
func startBroker(ctx context.Context, cfg config.Config, log *slog.Logger) (_ *broker, err error) {
	host, port, err := net.SplitHostPort(cfg.NATS.Addr)
	if err != nil {
		return nil, fmt.Errorf("nats.addr: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("nats.addr: port %q is not a number", port)
	}
	if number == 0 {
		number = server.RANDOM_PORT
	}
	// The server itself would say so to its log alone, and be waited for.
	probe, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.NATS.Addr)
	if err != nil {
		return nil, fmt.Errorf("nats.addr: %w; set SIGNRELAY_NATS_ADDR to a free address", err)
	}
	if err := probe.Close(); err != nil {
		return nil, fmt.Errorf("nats.addr: %w", err)
	}
	lock, err := hold(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Unlock())
		}
	}()
	s, err := server.NewServer(&server.Options{
		ServerName:         "signrelay",
		Host:               host,
		Port:               number,
		JetStream:          true,
		StoreDir:           filepath.Join(cfg.DataDir, "nats"),
		JetStreamMaxMemory: 64 << 20,
		JetStreamMaxStore:  1 << 40, // the disk is the limit; without a figure the server reserves what is free at its start
		SyncAlways:         true,
		MaxPayload:         largestMessage,
		NoSigs:             true,
	})
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	s.SetLogger(brokerLog{log}, false, false)
	s.Start()
	if !s.ReadyForConnections(readyWithin) {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, errors.New("embedded NATS was not ready within " + readyWithin.String() + "; the log says why")
	}
	return &broker{s, lock}, nil
}

// readyWithin bounds the start; recovering a full log of a million messages takes a second or two.
const readyWithin = 30 * time.Second

// brokerLog passes on what the embedded server says, from warnings up.
type brokerLog struct{ log *slog.Logger }

func (l brokerLog) Noticef(string, ...any) {}
func (l brokerLog) Debugf(string, ...any)  {}
func (l brokerLog) Tracef(string, ...any)  {}
func (l brokerLog) Warnf(format string, v ...any) {
	l.log.Warn("nats", "text", fmt.Sprintf(format, v...))
}

func (l brokerLog) Errorf(format string, v ...any) {
	l.log.Error("nats", "text", fmt.Sprintf(format, v...))
}

func (l brokerLog) Fatalf(format string, v ...any) {
	l.log.Error("nats: fatal", "text", fmt.Sprintf(format, v...))
}
