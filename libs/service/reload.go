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

// rereadEvery is how often the files that settings came from are looked into. A new value, and all that stands beside it, must
// be there at two looks, so they are in use 10 s after the last of them was written. Looking is simpler than being told:
// Kubernetes swaps a link two folders above a mounted secret, certbot renames, editors write in place.
const rereadEvery = 5 * time.Second

// reload keeps live up to date with its files until ctx ends, with a look every so often. SIGHUP has it look at once. A program without such files
// leaves SIGHUP alone: it is what a terminal says when it closes.
func reload(ctx context.Context, live *config.Live, every time.Duration, metrics prometheus.Registerer, log *slog.Logger) {
	if live.Files() == 0 {
		return
	}
	looks := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "signrelay_config_reloads_total",
		Help: "Looks into the files of settings that found a new value, by whether it is in use (replaced) or cannot be used (refused).",
	}, []string{"outcome"})
	metrics.MustRegister(looks)
	replaced, refused := looks.WithLabelValues("replaced"), looks.WithLabelValues("refused")

	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGHUP)
	defer signal.Stop(asked)
	look := time.NewTicker(every)
	defer look.Stop()
	told := &lastWords{}
	for {
		atOnce := false
		select {
		case <-ctx.Done():
			return
		case <-asked:
			atOnce = true
		case <-look.C:
		}
		keys, err := live.Reread(Check, atOnce)
		if len(keys) > 0 {
			replaced.Inc()
			log.Info("settings replaced from their files", "settings", strings.Join(keys, ", "))
		}
		if err == nil {
			told.over()
			continue
		}
		refused.Inc()
		if !told.repeated(err.Error()) {
			log.Error("new settings in files cannot be used; the old ones stay", "error", err)
		}
	}
}
