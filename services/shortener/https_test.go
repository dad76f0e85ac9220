package shortener

import "testing"

func TestStrictTransportSecurity(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"https://sign.acme.example": true, "https://acme.example/sign": true, "HTTPS://sign.acme.example": true, "https://sign.acme.example:8443": true,
		"http://sign.acme.example": false, "http://127.0.0.1:8083": false, "https://localhost:8443": false, "https://links.localhost": false, "": false, "://": false,
	} {
		if got := byHTTPSOnly(address); got != want {
			t.Errorf("%s: %t", address, got)
		}
	}
}
