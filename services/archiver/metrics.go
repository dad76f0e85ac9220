package archiver

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/telemetry"
)

// metrics count files. The kinds, outcomes and reasons are constants, and providers are those of the settings.
type metrics struct {
	files, failures *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) (metrics, error) {
	var m metrics
	if err := telemetry.Register(registry, &m.files, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "signrelay_archiver_files_total",
		Help: "Files of completed documents in the archive: written, or found because an earlier attempt wrote them.",
	}, []string{"provider", "kind", "outcome"})); err != nil {
		return m, err
	}
	err := telemetry.Register(registry, &m.failures, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "signrelay_archiver_failures_total",
		Help: "Attempts that did not archive a file, by the reason. Most are tried again.",
	}, []string{"provider", "reason"}))
	return m, err
}

// begin starts the counters at 0: Prometheus misses a counter that first appears as 1.
func (m metrics) begin(sources providers.Sources) {
	for key := range sources {
		for _, kind := range []pack.FileKind{pack.OriginalFile, pack.SignedFile, pack.CertificateFile} {
			m.files.WithLabelValues(key.Provider, string(kind), "written")
		}
		for _, reason := range allReasons {
			m.failures.WithLabelValues(key.Provider, reason)
		}
	}
}

func (m metrics) archived(provider, kind, result string) {
	m.files.WithLabelValues(provider, kind, result).Inc()
}

func (m metrics) failed(provider, reason string) { m.failures.WithLabelValues(provider, reason).Inc() }
