// Package shortenersettings is the settings of the shortener.
package shortenersettings

import "github.com/signrelay/signrelay/libs/config"

// Links is the key links, the listener of GET /l/{code}: SIGNRELAY_LINKS_ADDR.
var Links = config.ListenSection("links", "127.0.0.1:8083")
