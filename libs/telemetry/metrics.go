package telemetry

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Register registers c and sets into to it, or to the collector that another part of the program registered before. It fails if another
// kind of collector has c's name.
func Register[C prometheus.Collector](r prometheus.Registerer, into *C, c C) error {
	*into = c
	err := r.Register(c)
	if before := (prometheus.AlreadyRegisteredError{}); errors.As(err, &before) {
		if existing, ok := before.ExistingCollector.(C); ok {
			*into = existing
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("register metric: %w", err)
	}
	return nil
}
