// Command shortener runs the shortener alone.
package main

import (
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/shortener"
)

func main() { service.Main("shortener", shortener.Run) }
