package main

import (
	"errors"
	"flag"
	"math"
	"strconv"
	"strings"
	"time"
)

// ago is the value of the flag --since: a duration that may contain days.
type ago time.Duration

func sinceFlag(fs *flag.FlagSet, usage string) { fs.Var(new(ago), "since", usage) }

func (a *ago) String() string { return time.Duration(*a).String() }
func (a *ago) Get() any       { return time.Duration(*a) }

// Set parses a duration as time.ParseDuration does, and in addition days ("7d", "1d12h").
func (a *ago) Set(text string) error {
	sign, rest := "", text
	if strings.HasPrefix(text, "-") {
		sign, rest = "-", text[1:]
	}
	var whole time.Duration
	if days, after, ok := strings.Cut(rest, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > maxDays || strings.HasPrefix(after, "-") || strings.HasPrefix(after, "+") {
			return errNoDuration
		}
		if whole = time.Duration(n) * 24 * time.Hour; after == "" {
			after = "0"
		}
		rest = after
	}
	part, err := time.ParseDuration(sign + rest)
	if err != nil || part.Abs() > math.MaxInt64-whole {
		return errNoDuration
	}
	if *a = ago(part.Abs() + whole); sign != "" {
		*a = -*a
	}
	return nil
}

// maxDays is the longest time that a time.Duration can represent, 292 years.
const maxDays = uint64(math.MaxInt64 / (24 * time.Hour))

var errNoDuration = errors.New("want a duration such as 90s, 15m, 24h or 7d")

// since returns the start time from --since, or the zero time without the flag. -5m means the same as 5m.
func (c *call) since() time.Time {
	back := value[time.Duration](c, "since")
	if back == 0 {
		return time.Time{}
	}
	return time.Now().Add(-back.Abs())
}
