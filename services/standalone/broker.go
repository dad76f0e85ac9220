package standalone

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/signrelay/signrelay/libs/config"
)

// largestMessage is what the broker takes in one message: a callback of 1 MiB, its attributes' names, and headers.
const largestMessage = 8 << 20

// startBroker starts the embedded NATS server with its streams under the data directory. sync_interval is "always": a
// message is on disk before it is acknowledged, so a provider's 2xx survives a power cut.
func startBroker(cfg config.Config, log *slog.Logger) (*server.Server, error) {
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
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
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
		return nil, errors.New("embedded NATS was not ready within " + readyWithin.String() +
			": is " + cfg.NATS.Addr + " taken, or the data directory in use by another process?")
	}
	return s, nil
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
