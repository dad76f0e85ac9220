package oauth

import (
	"io"
	"net/http"
)

// Transport sends each request with the source's access token.
type Transport struct {
	Base   http.RoundTripper
	Source *Source
}

// RoundTrip implements http.RoundTripper. If the provider refuses the token with 401, it sends a request that can be sent again once more, with a new
// token.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := t.Source.Token(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // a RoundTripper closes the request's body, also when it fails
		}
		return nil, err
	}
	response, err := t.Base.RoundTrip(with(r, token))
	if err != nil || response.StatusCode != http.StatusUnauthorized || r.Body != nil && r.GetBody == nil {
		return response, err
	}
	other, renewing := t.Source.Renewed(r.Context(), token)
	if renewing != nil {
		_ = response.Body.Close()
		return nil, renewing
	}
	if other == token {
		return response, nil
	}
	again := with(r, other)
	if r.GetBody != nil {
		if again.Body, err = r.GetBody(); err != nil {
			return response, nil //nolint:nilerr // the first response stands
		}
	}
	_, _ = io.CopyN(io.Discard, response.Body, 4<<10) // so that the connection can be used again
	_ = response.Body.Close()
	return t.Base.RoundTrip(again)
}

// with returns a copy of a request with the token.
func with(r *http.Request, token string) *http.Request {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}
