package main

import (
	"errors"
	"flag"
	"math"
	"strconv"
	"strings"
	"time"
)

// ago is the value of a flag --since: a duration, which may begin with days.
type ago time.Duration

func sinceFlag(fs *flag.FlagSet, usage string) { fs.Var(new(ago), "since", usage) }

func (a *ago) String() string { return time.Duration(*a).String() }

// Set reads a duration such as time.ParseDuration takes, with days ("7d", "1d12h") before it.
func (a *ago) Set(text string) error {
	sign, rest := "", text
	if strings.HasPrefix(text, "-") {
		sign, rest = "-", text[1:]
	}
	var whole time.Duration
	if days, behind, ok := strings.Cut(rest, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > mostDays || strings.HasPrefix(behind, "-") || strings.HasPrefix(behind, "+") {
			return errNoDuration
		}
		if whole = time.Duration(n) * 24 * time.Hour; behind == "" {
			behind = "0"
		}
		rest = behind
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

// mostDays is the longest time that a time.Duration holds, 292 years.
const mostDays = uint64(math.MaxInt64 / (24 * time.Hour))

var errNoDuration = errors.New("want a duration such as 90s, 15m, 24h or 7d")

// since is the beginning that --since names; the zero time where it names none. Who writes -5m means the same as who writes 5m.
func (c *call) since() (time.Time, error) {
	back, err := time.ParseDuration(c.flag("since"))
	switch {
	case err != nil:
		return time.Time{}, usageError{err.Error()}
	case back == 0:
		return time.Time{}, nil
	default:
		return time.Now().Add(-back.Abs()), nil
	}
}
