// Command accounts writes the files of the NATS server that say who may do what.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/signrelay/signrelay/libs/flow"
)

func main() {
	dir := flag.String("write", "deployments/nats", "the folder to write into")
	flag.Parse()
	for name, text := range flow.AccountFiles() {
		if err := os.WriteFile(filepath.Join(*dir, name), []byte(text), 0o600); err != nil {
			fmt.Fprintln(os.Stderr, "accounts:", err)
			os.Exit(1)
		}
	}
}
