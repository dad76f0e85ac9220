package archiver

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/providers/pack"
	archivesettings "github.com/signrelay/signrelay/services/archiver/settings"
)

// The address of a file comes from a provider. It must not reach the operator's own network, unless the provider's API is there itself.
func TestNoFileComesFromAPrivateNetwork(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(file(pdf("of our own network")))
	t.Cleanup(server.Close)
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	f := newFetcher(archivesettings.Archive{MaxMegabytes: 1, TempDir: t.TempDir()})
	get := func(address, apiURL string) error {
		temporary, err := f.temporary()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = temporary.Close() }()
		_, err = f.to(t.Context(), temporary, &pack.Target{URL: address}, apiURL)
		return err
	}
	for _, host := range []string{"127.0.0.1" + port, "localhost" + port, "[::ffff:127.0.0.1]" + port, "10.0.0.1", "169.254.169.254", "100.64.0.1", "[fd00::1]", "0.0.0.0" + port} {
		for _, apiURL := range []string{"", "https://8.8.8.8/v1"} {
			if err := get("http://"+host+"/file", apiURL); err == nil || read(err).reason != forbidden {
				t.Errorf("%s with the API %q: %v", host, apiURL, err)
			}
		}
	}
	for _, apiURL := range []string{server.URL, "http://localhost" + port + "/v1"} {
		if err := get(server.URL+"/file", apiURL); err != nil {
			t.Errorf("with the API %s: %v", apiURL, err)
		}
	}
	if err := get("ftp://8.8.8.8/file", ""); err == nil || read(err).reason != forbidden {
		t.Errorf("another scheme: %v", err)
	}
}
