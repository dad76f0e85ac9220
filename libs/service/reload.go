package service

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
)

// rereadEvery is the poll interval for files of settings. Two polls in a row must find the same new values, so the program uses new values 10
// s after the last file was written. Polling is simpler than file notifications, because Kubernetes replaces a symlink two folders above a
// mounted secret, certbot renames files, and editors write in place.
const rereadEvery = 5 * time.Second

// reload keeps live up to date with its files until ctx ends: it polls them at the interval, and at once after SIGHUP. A program without
// such files does not handle SIGHUP, because a closing terminal sends it too.
func reload(ctx context.Context, live *config.Live, every time.Duration, metrics prometheus.Registerer, log *slog.Logger) {
	if live.Files() == 0 {
		return
	}
	looks := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "signrelay_config_reloads_total",
		Help: "Reads of the files of settings that found a new value, by result: replaced, or refused because the value cannot be used.",
	}, []string{"outcome"})
	metrics.MustRegister(looks)
	replaced, refused := looks.WithLabelValues("replaced"), looks.WithLabelValues("refused")

	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	poll := time.NewTicker(every)
	defer poll.Stop()
	reasons := &loggedReasons{}
	for {
		atOnce := false
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			atOnce = true
		case <-poll.C:
		}
		keys, err := live.Reread(Check, atOnce)
		if len(keys) > 0 {
			replaced.Inc()
			log.Info("settings replaced from their files", "settings", strings.Join(keys, ", "))
		}
		if err == nil {
			reasons.over()
			continue
		}
		refused.Inc()
		if !reasons.repeated(err.Error()) {
			log.Error("new settings in files cannot be used; the old ones stay", "error", err)
		}
	}
}
