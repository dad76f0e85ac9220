package pack

import (
	"bytes"
	"context"
	"net/http"
)

// To returns the request as a provider sends it to an address, which has no query. The headers that the HTTP client sets itself are left out.
func (r Request) To(ctx context.Context, address string) (*http.Request, error) {
	if len(r.Query) > 0 {
		address += "?" + r.Query.Encode()
	}
	out, err := http.NewRequestWithContext(ctx, r.Method, address, bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	for name, values := range r.Header {
		switch name {
		case "Host", "Content-Length", "Connection", "Accept-Encoding":
		default:
			out.Header[name] = values
		}
	}
	return out, nil
}
