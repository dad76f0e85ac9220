package shortener

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/event"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// A person has one link, and the messages of each channel show it with the channel's suffix. So an opening shows the channel of the message.
// Codes of earlier versions have no suffix, and work too.

// channels maps suffixes to the names of channels.
var channels = channelsBySuffix()

func channelsBySuffix() map[string]string {
	channels := map[string]string{}
	for _, c := range event.Channels {
		channels[c.Suffix] = c.Name
	}
	return channels
}

// suffixOf returns the end of a code in the messages of a channel.
func suffixOf(channel notifyv1.Channel) string { return event.ChannelOf(channel).Suffix }

// codes matches a code, its suffix, and text after the link that phones and mail programs include in the address: "/l/….", "/l/…)",
// "/l/…%20", "/l/…&gt;", "/l/…/". No other text after a code is accepted, and no letter or digit.
var codes = regexp.MustCompile(`^([a-z2-7]{14})([` + strings.Join(slices.Sorted(maps.Keys(channels)), "") + `]?)(?:%[0-9A-Fa-f]{2}|&[a-z]{2,4};|[\s\pP\pS\pZ\p{Cf}]){0,16}$`)

// readCode returns the code in a request's path after "/l/", and the channel of its message, which may be empty. It rejects text that cannot
// be a code. This saves a lookup in the bucket, and some such text is not a legal key.
func readCode(path string) (code, channel string, ok bool) {
	if len(path) > longestPath {
		return "", "", false
	}
	found := codes.FindStringSubmatch(path)
	if found == nil {
		return "", "", false
	}
	return found[1], channels[found[2]], true
}

// longestPath is longer than any code with 16 characters after it, in bytes.
const longestPath = 128
