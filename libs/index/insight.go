package index

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Week is what happened to the people who were sent documents of a source in one ISO week.
type Week struct {
	Source, Provider string
	Start            time.Time // Monday, 00:00 UTC
	Sent             int       // people
	Delivered        int       // people with a delivery receipt
	Opened           int       // people who opened a link themselves
	Signed           int       // people
	MedianHours      float64   // from the first message to the signature
	P90Hours         float64
	Parts            int            // of texts
	Countries        map[string]int // parts of texts by the country of the number; empty is not known
	Channels         map[string]int // people who signed, by the channel of the last message before
	Kinds            map[string]int // people who signed, by the kind of the last message before
}

const week = 7 * 24 * time.Hour

// monday is 5 January 1970.
var monday = time.Date(1970, 1, 5, 0, 0, 0, 0, time.UTC)

// weekOf returns the number of the ISO week of a time in milliseconds.
func weekOf(ms int64) int64 {
	since := ms - monday.UnixMilli()
	if since < 0 {
		return -1
	}
	return since / week.Milliseconds()
}

func startOf(number int64) time.Time { return monday.Add(time.Duration(number) * week) }

// Insight returns each source's weeks in [since, until), oldest first. An empty source is all sources.
func (i *Index) Insight(ctx context.Context, source string, since, until time.Time) (all []Week, err error) {
	weeks := map[weekKey]*Week{}
	hours := map[weekKey][]float64{}
	err = i.snapshot(ctx, func(r *reader) error {
		where := " FROM " + r.g.prefix + "people WHERE week >= ? AND week <= ? AND (? = '' OR source = ?)"
		args := []any{weekOf(milliseconds(since)), weekOf(milliseconds(until.Add(-time.Millisecond))), source, source}
		if err := r.sums(ctx, weeks, where, args); err != nil {
			return err
		}
		return r.signatures(ctx, weeks, hours, where, args)
	})
	if err != nil {
		return nil, err
	}
	for k, w := range weeks {
		slices.Sort(hours[k])
		w.MedianHours, w.P90Hours = quantile(hours[k], 0.5), quantile(hours[k], 0.9)
		all = append(all, *w)
	}
	slices.SortFunc(all, func(a, b Week) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Provider, b.Provider))
	})
	return all, nil
}

type weekKey struct {
	source, provider string
	week             int64
}

func (r *reader) sums(ctx context.Context, weeks map[weekKey]*Week, where string, args []any) error {
	rows, err := r.query(ctx, `SELECT source, provider, week, SUM(CASE WHEN sent_at > 0 THEN 1 ELSE 0 END), SUM(CASE WHEN delivered_at > 0 THEN 1 ELSE 0 END), SUM(CASE WHEN opened_at > 0 THEN 1 ELSE 0 END),
		SUM(CASE WHEN signed_at > 0 THEN 1 ELSE 0 END), CAST(SUM(parts) AS BIGINT)`+where+" GROUP BY source, provider, week", args...)
	if err != nil {
		return err
	}
	err = eachRow(rows, func() error {
		var k weekKey
		w := &Week{Countries: map[string]int{}, Channels: map[string]int{}, Kinds: map[string]int{}}
		if err := rows.Scan(&k.source, &k.provider, &k.week, &w.Sent, &w.Delivered, &w.Opened, &w.Signed, &w.Parts); err != nil {
			return err
		}
		w.Source, w.Provider, w.Start = k.source, k.provider, startOf(k.week)
		weeks[k] = w
		return nil
	})
	if err != nil {
		return err
	}
	rows, err = r.query(ctx, "SELECT source, provider, week, country, CAST(SUM(parts) AS BIGINT)"+where+" AND parts > 0 GROUP BY source, provider, week, country", args...)
	if err != nil {
		return err
	}
	return eachRow(rows, func() error {
		var k weekKey
		var country string
		var parts int
		if err := rows.Scan(&k.source, &k.provider, &k.week, &country, &parts); err != nil {
			return err
		}
		weeks[k].Countries[country] = parts
		return nil
	})
}

func (r *reader) signatures(ctx context.Context, weeks map[weekKey]*Week, hours map[weekKey][]float64, where string, args []any) error {
	rows, err := r.query(ctx, "SELECT source, provider, week, sent_at, signed_at, channel, kind"+where+" AND signed_at > 0", args...)
	if err != nil {
		return err
	}
	return eachRow(rows, func() error {
		var k weekKey
		var sent, signed int64
		var channel, kind string
		if err := rows.Scan(&k.source, &k.provider, &k.week, &sent, &signed, &channel, &kind); err != nil {
			return err
		}
		w := weeks[k]
		if channel != "" {
			w.Channels[channel]++
		}
		if kind != "" {
			w.Kinds[kind]++
		}
		if sent > 0 && signed >= sent {
			hours[k] = append(hours[k], float64(signed-sent)/float64(time.Hour.Milliseconds()))
		}
		return nil
	})
}

// quantile returns the value below which a part of the sorted values is: the nearest rank. It is 0 without values.
func quantile(sorted []float64, part float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(part*float64(len(sorted))), len(sorted)-1)]
}
