package telemetry

import (
	"errors"
	"net/url"
)

// WithoutURL returns the cause of a failed HTTP request without its URL, which may contain a token or personal data. net/http puts the URL
// before the cause.
func WithoutURL(err error) error {
	if request := new(url.Error); errors.As(err, &request) {
		return request.Err
	}
	return err
}
