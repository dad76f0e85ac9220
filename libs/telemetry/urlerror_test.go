package telemetry_test

import (
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/signrelay/signrelay/libs/telemetry"
)

func TestWithoutURL(t *testing.T) {
	t.Parallel()
	refused := errors.New("connection refused")
	failed := &url.Error{Op: "Get", URL: "https://api.example/?token=hunter2", Err: refused}
	for _, err := range []error{refused, failed, fmt.Errorf("call the API: %w", failed)} {
		if got := telemetry.WithoutURL(err); got.Error() != refused.Error() {
			t.Errorf("%v becomes %v", err, got)
		}
	}
}
