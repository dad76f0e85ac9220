// Package metrics has the registry of KEDA's webhooks.
package metrics

import "github.com/prometheus/client_golang/prometheus"

// Registry is not served.
var Registry prometheus.Registerer = prometheus.NewRegistry()
