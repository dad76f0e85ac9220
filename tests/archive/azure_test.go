package archive

import (
	"bufio"
	"context"
	"encoding/base64"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"gocloud.dev/blob"

	"github.com/signrelay/signrelay/libs/archive"
	"github.com/signrelay/signrelay/libs/archive/archivetest"
	"github.com/signrelay/signrelay/libs/realtest"
)

// account is the account of the server, and key is its key.
const account = "archive"

var key = base64.StdEncoding.EncodeToString([]byte("a key of this test only"))

// It is not parallel: the library reads the account and its key from the environment.
func TestAzureBlobStorage(t *testing.T) {
	address := azurite(t)
	query := url.Values{"protocol": {"http"}, "domain": {address}, "localemu": {"true"}}.Encode()
	var containers atomic.Int64
	archivetest.Run(t, func(t *testing.T) string {
		name := "archive-" + strconv.FormatInt(containers.Add(1), 10)
		at := "azblob://" + name + "?" + query
		create(t, at)
		return at
	})
	// An error of the store names the cause, and no key and no address.
	t.Run("an error is short", func(t *testing.T) {
		_, err := archivetest.Open(t, "azblob://missing?"+query).Of(t.Context(), archive.Document{Source: "acme", Provider: "pleasesign", ID: "secret-document"})
		if err == nil || !strings.Contains(err.Error(), "NotFound") || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("a container that does not exist: %v", err)
		}
	})
}

// azurite starts Azurite, Microsoft's server for tests, and returns its address. Its objects are in its memory. It ends with the test.
func azurite(t *testing.T) string {
	t.Helper()
	realtest.Server(t, "a server of Azure Blob Storage")
	folder := realtest.NodePackages(t, "azurite")
	for name, value := range map[string]string{"AZURE_STORAGE_ACCOUNT": account, "AZURE_STORAGE_KEY": key} {
		if err := os.Setenv(name, value); err != nil { //nolint:usetesting // t.Setenv forbids the parallel tests of the suite
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "node", filepath.Join(folder, "node_modules", "azurite", "dist", "src", "blob", "main.js"),
		"--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort", "0")
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "AZURITE_ACCOUNTS="+account+":"+key)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, address, listens := strings.Cut(lines.Text(), "successfully listens on http://"); listens {
			return address
		}
	}
	t.Fatal("the server of Azure Blob Storage ended before it listened")
	return ""
}

// create creates the container of an address.
func create(t *testing.T, address string) {
	t.Helper()
	bucket, err := blob.OpenBucket(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bucket.Close() }()
	var client *container.Client
	if !bucket.As(&client) {
		t.Fatal("the bucket is not one of Azure")
	}
	if _, err := client.Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}
