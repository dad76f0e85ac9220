// Package archive runs the conformance suite of the archive's stores with servers of Google Cloud Storage and of Azure. The library of the first
// needs about 60 modules, so it is not in the module of the programs. The second is an npm package, which the test itself fetches: it takes half a
// minute once, while the other packages of `make test` run.
package archive

import (
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/fsouza/fake-gcs-server/fakestorage"

	"github.com/signrelay/signrelay/libs/archive/archivetest"
	_ "github.com/signrelay/signrelay/libs/archive/drivers"
	"github.com/signrelay/signrelay/libs/realtest"
)

// It is not parallel: the library reads the address of the server from the environment.
func TestGoogleCloudStorage(t *testing.T) {
	realtest.Server(t, "a server of Google Cloud Storage")
	server, err := fakestorage.NewServerWithOptions(fakestorage.Options{Scheme: "http", Host: "127.0.0.1", Port: 0, PublicHost: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Setenv("STORAGE_EMULATOR_HOST", u.Host); err != nil { //nolint:usetesting // t.Setenv forbids the parallel tests of the suite
		t.Fatal(err)
	}
	var buckets atomic.Int64
	archivetest.Run(t, func(*testing.T) string {
		name := "archive-" + strconv.FormatInt(buckets.Add(1), 10)
		server.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: name})
		return "gs://" + name
	})
}
