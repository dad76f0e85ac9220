// Command accounts writes the permission files of the NATS server and of Redis.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/signrelay/signrelay/libs/flow"
)

func main() {
	dir := flag.String("write", "deployments", "the folder to write into")
	flag.Parse()
	for server, files := range map[string]map[string]string{"nats": flow.AccountFiles(), "redis": flow.RedisFiles()} {
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(*dir, server, name), []byte(text), 0o600); err != nil {
				fmt.Fprintln(os.Stderr, "accounts:", err)
				os.Exit(1)
			}
		}
	}
}
