package bench

import "strings"

// cost is what a million callbacks use: CPU in seconds, memory and disk in MB. For one callback the same numbers are
// microseconds and bytes.
type cost map[string]float64

const (
	cpuSuffix   = ", CPU seconds"
	diskSuffix  = ", MB on disk, each replica"
	ingestCPU   = "ingest" + cpuSuffix
	redisMemory = "redis, MB of memory"
)

// add adds a share of another cost.
func (c cost) add(other cost, share float64) {
	for what, used := range other {
		c[what] += used * share
	}
}

// processors is the CPU of all processes.
func (c cost) processors() (seconds float64) {
	for name, used := range c {
		if strings.HasSuffix(name, cpuSuffix) {
			seconds += used
		}
	}
	return seconds
}
