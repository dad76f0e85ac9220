package bench

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
)

// The assumptions of docs/scale.md.
const (
	peak       = 10          // the rate of the busiest minute, as a multiple of the year's mean
	logDays    = 90          // for which SIGNING keeps events
	notifyDays = 14          // for which NOTIFY keeps messages
	claimDays  = 4           // for which Redis keeps a callback's id
	sentDays   = 15          // and a sent message's
	used       = 0.6         // the part of a core that a process may use at the peak
	mostWait   = time.Second // 99% of the inputs may wait for a free worker for this long at the peak
	mostDisk   = 1e12        // bytes of a stream in one server that can still be copied and backed up in a night
	mostRedis  = 25e9        // bytes of a Redis whose copy to a new replica takes minutes
)

// party is the outside party for which a stage waits: the median and the 99th percentile of its response time.
type party struct {
	stage       string
	median, p99 time.Duration
}

var parties = []party{
	{flow.Enricher, 200 * time.Millisecond, 2 * time.Second},
	{flow.SMSSender, 300 * time.Millisecond, 3 * time.Second},
	{flow.EmailSender, 500 * time.Millisecond, 5 * time.Second},
}

// year is a year of an installation.
type year struct {
	callbacks float64
	share     float64 // of the callbacks, those after which one person gets a text and an e-mail
}

// need is what a year needs.
type need struct {
	mean, peak     float64 // callbacks/s
	services, nats float64 // cores at the peak
	redis          float64 // cores at the peak
	signing        float64 // bytes of a copy
	notify, memory float64 // bytes
	replicas       map[string]int
	writes         float64 // messages/s that NATS stores at the peak
}

const secondsAYear = 365 * 24 * 3600

// messagesEach is the number of messages that NATS stores after a callback that notifies one person on two channels: events and entries of NOTIFY,
// and the link, the pending receipt and its update.
const messagesEach = 5 + 4 + 4

// needs computes the needs of a year from measured costs.
func (y year) needs(b baseline) need {
	n := need{mean: y.callbacks / secondsAYear, replicas: map[string]int{}}
	n.peak = n.mean * peak
	each := func(key string) float64 { // of a callback: CPU seconds, or MB, for a million
		return (b.Callback[key]*(1-y.share) + b.Notification[key]*y.share) / 1e6
	}
	for key := range b.Notification {
		name, isCPU := strings.CutSuffix(key, cpuSuffix)
		switch {
		case !isCPU:
		case name == "nats":
			n.nats = each(key) * n.peak / used
		case name == "redis":
			n.redis = each(key) * n.peak / used
		default:
			n.services += each(key) * n.peak / used
		}
	}
	day := y.callbacks / 365
	n.signing = each(flow.Signing+diskSuffix) * 1e6 * day * logDays
	n.notify = each(flow.Notify+diskSuffix) * 1e6 * day * notifyDays
	sent := b.Notification[redisMemory] - b.Callback[redisMemory]
	n.memory = day * (b.Callback[redisMemory]*claimDays + sent*y.share*sentDays)
	n.writes = n.peak * (1 + y.share*messagesEach)
	for _, p := range parties {
		n.replicas[p.stage] = p.replicas(n.peak * y.share)
	}
	return n
}

// limits names what limits the next step, in the order in which an operator meets it.
func (n need) limits(b baseline) string {
	var all []string
	if cores := n.services + n.nats + n.redis; cores > 2 {
		all = append(all, fmt.Sprintf("CPU: %.0f cores", math.Ceil(cores)))
	}
	if n.signing > mostDisk {
		all = append(all, fmt.Sprintf("disk: %d stacks by source", int(math.Ceil(n.signing/mostDisk))))
	}
	if n.memory > mostRedis {
		all = append(all, fmt.Sprintf("Redis: a cluster of %d primaries", int(math.Ceil(n.memory/mostRedis))))
	}
	if durable := b.Figures["fsync-64"]; n.writes > durable {
		all = append(all, fmt.Sprintf("synced writes: %.0f/s of %.0f/s", n.writes, durable))
	}
	if len(all) == 0 {
		return "nothing: one machine"
	}
	return strings.Join(all, "; ")
}

// replicas returns the smallest number with which 99% of the inputs wait less than mostWait for a worker. It simulates an hour at most.
func (p party) replicas(perSecond float64) int {
	for n := 1; ; n++ {
		if p.wait(perSecond, n*flow.StageNamed(p.stage).Workers) < mostWait {
			return n
		}
	}
}

// wait simulates random arrivals at a number of workers, with log-normal response times, and returns the 99th percentile of the time until
// a worker is free.
func (p party) wait(perSecond float64, workers int) time.Duration {
	const arrivals = 50_000
	random := rand.New(rand.NewPCG(1, 2))
	mu := math.Log(p.median.Seconds())
	sigma := (math.Log(p.p99.Seconds()) - mu) / 2.326 // the 99th percentile of the normal distribution
	free := make(times, workers)
	var now float64
	waits := make([]float64, arrivals)
	for i := range waits {
		now += random.ExpFloat64() / perSecond
		begin := max(now, free[0])
		waits[i] = begin - now
		free[0] = begin + math.Exp(mu+sigma*random.NormFloat64())
		heap.Fix(&free, 0)
	}
	slices.Sort(waits)
	return time.Duration(waits[arrivals*99/100] * float64(time.Second))
}

// times is a heap of the times at which workers are free.
type times []float64

func (t times) Len() int           { return len(t) }
func (t times) Less(i, j int) bool { return t[i] < t[j] }
func (t times) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *times) Push(x any)        { *t = append(*t, x.(float64)) } //nolint:forcetypeassert // heap.Interface; unused
func (t *times) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}

// scaleTable prints the needs of years of growing size as a table in Markdown.
func scaleTable(b baseline) string {
	var out strings.Builder
	out.WriteString("| callbacks a year | notify | mean, peak a second | cores at the peak: services, NATS, Redis | `SIGNING`, `NOTIFY` a copy | Redis memory | replicas: enricher, sms-sender, email-sender | texts/s at the peak | what limits |\n")
	out.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for _, callbacks := range []float64{1e6, 1e7, 1e8, 1e9} {
		for _, share := range []float64{0.25, 1} {
			n := year{callbacks, share}.needs(b)
			fmt.Fprintf(&out, "| 10%s | %.0f%% | %s, %s | %.1f, %.1f, %.1f | %s, %s | %s | %d, %d, %d | %s | %s |\n",
				superscript(int(math.Round(math.Log10(callbacks)))), share*100, rate(n.mean), rate(n.peak), n.services, n.nats, n.redis, bytes(n.signing), bytes(n.notify), bytes(n.memory),
				n.replicas[flow.Enricher], n.replicas[flow.SMSSender], n.replicas[flow.EmailSender], rate(n.peak*share), n.limits(b))
		}
	}
	return out.String()
}

func superscript(digit int) string { return string([]rune("⁰¹²³⁴⁵⁶⁷⁸⁹")[digit]) }

func rate(perSecond float64) string {
	if perSecond < 10 {
		return fmt.Sprintf("%.2g", perSecond)
	}
	return fmt.Sprintf("%.0f", perSecond)
}

func bytes(n float64) string {
	switch {
	case n >= 1e12:
		return fmt.Sprintf("%.1f TB", n/1e12)
	case n >= 1e10:
		return fmt.Sprintf("%.0f GB", n/1e9)
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", n/1e9)
	default:
		return fmt.Sprintf("%.0f MB", n/1e6)
	}
}
