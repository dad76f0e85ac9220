// Command sandbox runs the sandbox alone.
package main

import (
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sandbox"
)

func main() {
	service.Main(service.Service{Name: "sandbox", Run: sandbox.Run, NoParts: true})
}
