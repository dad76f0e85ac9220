package service

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// describe registers the metrics of the program itself: its version and its health.
func describe(r prometheus.Registerer, program string, h *Health) {
	r = prometheus.WrapRegistererWith(prometheus.Labels{"component": program}, r)
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "signrelay_build_info", Help: "1, with the program's version.",
	}, []string{"version"})
	info.WithLabelValues(Version()).Set(1)
	r.MustRegister(info, h)
}

var (
	readyDesc = prometheus.NewDesc("signrelay_ready", "1 while /readyz returns 200, else 0.", nil, nil)
	checkDesc = prometheus.NewDesc("signrelay_ready_checks",
		"1 for a check of /readyz that passes, else 0; degrades is true if the program is ready without it.", []string{"check", "degrades"}, nil)
)

// Describe implements prometheus.Collector.
func (h *Health) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- readyDesc
	descriptions <- checkDesc
}

// Collect implements prometheus.Collector: a scrape is one more probe.
func (h *Health) Collect(metrics chan<- prometheus.Metric) {
	status, results := h.status()
	metrics <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, oneIf(status == "ready"))
	for name, r := range results {
		metrics <- prometheus.MustNewConstMetric(checkDesc, prometheus.GaugeValue, oneIf(r.OK), name, strconv.FormatBool(r.Degrades))
	}
}

func oneIf(holds bool) float64 {
	if holds {
		return 1
	}
	return 0
}
