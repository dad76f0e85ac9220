package shortener

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/event"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// A link is one entry for a person, and each channel's messages show it with a suffix of their own: so an opening tells by
// which message the person came. Codes without one are from before there were suffixes, and open as well.

// channels are the names of the channels, by their suffixes.
var channels = channelsBySuffix()

func channelsBySuffix() map[string]string {
	channels := map[string]string{}
	for _, c := range event.Channels {
		channels[c.Suffix] = c.Name
	}
	return channels
}

// suffixOf is what a code ends in, in the messages of a channel.
func suffixOf(channel notifyv1.Channel) string { return event.ChannelOf(channel).Suffix }

// codes is a code, its suffix, and what phones and mail programs take for a part of an address though it is the sentence's:
// "/l/….", "/l/…)", "/l/…%20", "/l/…&gt;", "/l/…/". Nothing else behind a code is left out, and no letter or digit.
var codes = regexp.MustCompile(`^([a-z2-7]{14})([` + strings.Join(slices.Sorted(maps.Keys(channels)), "") + `]?)(?:%[0-9A-Fa-f]{2}|&[a-z]{2,4};|[\s\pP\pS\pZ\p{Cf}]){0,16}$`)

// readCode returns the code in a visitor's path after "/l/", and the channel of the message that has it, which may be empty. It
// rejects text that cannot be a code, which saves a lookup in the bucket; some such text is no legal key either.
func readCode(brought string) (code, channel string, ok bool) {
	if len(brought) > longestBrought {
		return "", "", false
	}
	found := codes.FindStringSubmatch(brought)
	if found == nil {
		return "", "", false
	}
	return found[1], channels[found[2]], true
}

// longestBrought is longer than any code with 16 characters behind it, in bytes.
const longestBrought = 128
