package standalone

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

// Without Redis, ingest's claims are in a bucket that is not synced to the disk at each write: three synced writes for each callback would take
// three times as long. If a run does not end in an orderly way, the last claims may be lost. So a file exists during a run. If a start finds it, the
// time since the start of the earlier run becomes a gap of the dedupe store: for 4 days the log is asked for ids that the bucket lacks.

// provisionCallbacks creates the bucket for ingest's claims, and records what an earlier run may have lost. The file exists before the first claim.
func provisionCallbacks(ctx context.Context, cfg config.Config, log *slog.Logger, f *folder) error {
	lost, err := f.earlierRun()
	if err != nil {
		return err
	}
	err = provision(ctx, cfg, log, func(ctx context.Context, js jetstream.JetStream, _ int) error {
		if err := flow.ProvisionCallbacks(ctx, js); err != nil {
			return err
		}
		for _, name := range []string{flow.Memory, flow.Callbacks} {
			if err := beginEpoch(ctx, js, name); err != nil {
				return err
			}
		}
		if lost.IsZero() {
			return nil
		}
		state, err := js.KeyValue(ctx, flow.State)
		if err != nil {
			return err
		}
		log.Warn("the last run did not end in an orderly way: for 4 days the log is searched for each new callback, in case that run stored it", "began", lost)
		return dedupe.MarkLost(ctx, state, lost)
	})
	if err != nil {
		return err
	}
	if err := errors.Join(f.write(runningFile, []byte(time.Now().UTC().Format(time.RFC3339)+"\n")), f.sync(".")); err != nil {
		return fmt.Errorf("record the start of the run: %w", err)
	}
	return nil
}

// beginEpoch starts the epoch of a bucket. Both buckets begin before the first callback, because the senders use theirs only after it.
func beginEpoch(ctx context.Context, js jetstream.JetStream, name string) error {
	bucket, err := js.KeyValue(ctx, name)
	if err == nil {
		err = dedupe.BeginEpoch(ctx, bucket, event.Log{JS: js, Stream: flow.Signing})
	}
	if err != nil {
		return fmt.Errorf("begin the epoch of bucket %s: %w", name, err)
	}
	return nil
}

// earlierRun returns the start of an earlier run whose end is not recorded; zero if there is none.
func (f *folder) earlierRun() (time.Time, error) {
	data, err := f.read(runningFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, fmt.Errorf("read the start of the last run: %w", err)
	}
	began, err := time.Parse(time.RFC3339, strings.TrimSpace(string(data)))
	if err != nil {
		began = time.Unix(0, 0) // unreadable: as early as possible
	}
	return began, nil
}

// endRun records the orderly end of a run: it syncs the bucket, which the stopped broker has written, and removes the file.
func (f *folder) endRun(log *slog.Logger) {
	bucket := path.Join(brokerFolder, "jetstream", "$G", "streams", "KV_"+flow.Callbacks)
	err := fs.WalkDir(f.root.FS(), bucket, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return f.sync(name)
	})
	if err == nil {
		err = f.root.Remove(runningFile)
	}
	if err != nil {
		log.Warn("the end of this run is not recorded: after the next start, the log is searched for each new callback for 4 days", "error", err)
	}
}

// sync writes a file or a folder to the disk.
func (f *folder) sync(name string) error {
	file, err := f.root.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
