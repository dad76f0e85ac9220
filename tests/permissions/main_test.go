package permissions_test

import (
	"os"
	"testing"

	"github.com/signrelay/signrelay/tests/house"
)

func TestMain(m *testing.M) {
	status := m.Run()
	house.Cleanup()
	os.Exit(status)
}
