package doctor

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/service"
)

// oldestRedis is the first version with which package dedupe works.
const oldestRedis = "6.0"

// redis runs all checks of Redis. It reads the settings with INFO, because many hosted servers refuse CONFIG.
func (e *examination) redis(ctx context.Context) []Finding {
	if e.cfg.Redis.URL == "" {
		if e.Embedded {
			return []Finding{passed("redis", "none: the dedupe store is a bucket of the embedded broker")}
		}
		return []Finding{{"redis", Warn, "redis.url is empty: services that run as separate programs do not start", "set redis.url, unless all services run in one process"}}
	}
	client, err := service.ConnectRedis(e.cfg.Redis)
	if err != nil {
		return []Finding{{"redis", Fail, masked(err), "correct redis.url"}}
	}
	defer func() { _ = client.Close() }()

	asked := time.Now()
	now, err := client.Time(ctx).Result()
	came := time.Now()
	if err != nil {
		return []Finding{{"redis", Fail, masked(service.ExplainRedis(err)), "check that the server runs, that redis.url is its address, and that the password is right"}}
	}
	claim := e.claim(ctx, client)
	info, err := primaryInfo(ctx, client)
	if err != nil {
		return []Finding{passed("redis", "reached"), claim, clock("redis clock", now, asked, came),
			{"redis settings", Warn, "cannot be read: " + masked(err), "allow INFO, or check yourself that appendonly is yes and maxmemory-policy is noeviction"}}
	}
	all := []Finding{passed("redis", "reached"), claim}
	for _, is := range info {
		all = append(all, redisVersion(is), role(is), appendOnly(is), eviction(is))
		if e.cfg.Redis.Failover() {
			all = append(all, e.redisReplicas(is))
		}
	}
	return append(all, e.epoch(ctx, client), clock("redis clock", now, asked, came))
}

// primaryInfo returns the fields of INFO of each primary. In a cluster, "address" is the primary's.
func primaryInfo(ctx context.Context, client redis.UniversalClient) ([]map[string]string, error) {
	nodes, ok := client.(*redis.ClusterClient)
	if !ok {
		info, err := client.Info(ctx).Result()
		return []map[string]string{fields(info)}, err
	}
	var mu sync.Mutex
	var all []map[string]string
	err := nodes.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		info, err := node.Info(ctx).Result()
		if err != nil {
			return err
		}
		is := fields(info)
		is["address"] = node.Options().Addr
		mu.Lock()
		defer mu.Unlock()
		all = append(all, is)
		return nil
	})
	slices.SortFunc(all, func(a, b map[string]string) int { return strings.Compare(a["address"], b["address"]) })
	return all, err
}

// inStep is how many bytes a replica may lack and count as in step: less than a second of claims.
const inStep = 1 << 20

// redisReplicas shows the mode, the primary and its replicas, and warns of a primary that accepts writes without a replica: a failover then
// loses them.
func (e *examination) redisReplicas(is map[string]string) Finding {
	const check = "redis replicas"
	mode, primary := "Sentinel", is["address"]
	if e.cfg.Redis.Cluster {
		mode = "Cluster"
	} else {
		primary = e.cfg.Redis.Sentinel.Master
	}
	offset, _ := strconv.ParseInt(is["master_repl_offset"], 10, 64)
	connected, current := 0, 0
	for i := range 16 { // slave0:ip=…,port=…,state=online,offset=…,lag=0
		replica, found := is["slave"+strconv.Itoa(i)]
		if !found {
			break
		}
		connected++
		_, at, _ := strings.Cut(replica, ",offset=")
		at, _, _ = strings.Cut(at, ",")
		if sequence, err := strconv.ParseInt(at, 10, 64); err == nil && offset-sequence < inStep && strings.Contains(replica, "state=online") {
			current++
		}
	}
	state := fmt.Sprintf("%s, primary %s, %d of %d replicas in step", mode, primary, current, connected)
	switch _, limited := is["min_slaves_good_slaves"]; {
	case current == 0:
		return Finding{check, Warn, state + ": without one there is no failover, and one that comes too late lacks entries", "start a replica, or look at its log"}
	case !limited:
		return Finding{check, Warn, state + "; the primary accepts writes without a replica, so after a split network they are lost",
			"set min-replicas-to-write 1 and min-replicas-max-lag 10 on each server"}
	default:
		return passed(check, "%s", state)
	}
}

// claim runs the services' commands in Redis, on its own keys.
func (e *examination) claim(ctx context.Context, client redis.UniversalClient) Finding {
	const check = "redis claim"
	fail := func(user string, err error) Finding {
		return Finding{check, Fail, user + ": " + masked(service.NameRefusal(ctx, client, err)), "see docs/operate.md, \"A Redis user\"; if the user belongs to some services only, name these services with --for"}
	}
	if err := limit.NewRedis(client, e.ring()).Probe(ctx); err != nil {
		return fail("rate limits", err)
	}
	for _, u := range flow.Users() {
		if len(e.services()) > 0 && !slices.Contains(e.services(), u.Name) {
			continue
		}
		for _, namespace := range flow.NamespacesOf(u.Name) {
			if err := dedupe.NewRedis(client, dedupe.Options{Namespace: namespace}).Probe(ctx); err != nil {
				return fail(u.Name, err)
			}
		}
	}
	return passed(check, "claims can be made and released")
}

// fields parses the lines of INFO, "name:value".
func fields(info string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(info) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			all[name] = value
		}
	}
	return all
}

func redisVersion(is map[string]string) Finding {
	version := is["redis_version"]
	if atLeast(version, oldestRedis) {
		return passed("redis version", "%s", version)
	}
	return Finding{"redis version", Fail, version, "update it to " + oldestRedis + " or newer"}
}

func role(is map[string]string) Finding {
	if is["role"] == "slave" {
		return Finding{"redis role", Fail, "a replica, which accepts no claims", "set redis.url to the address of the primary"}
	}
	return passed("redis role", "%s", is["role"])
}

func appendOnly(is map[string]string) Finding {
	if is["aof_enabled"] == "1" {
		return passed("redis appendonly", "yes")
	}
	return Finding{"redis appendonly", Fail,
		"no: after a crash Redis starts with an old snapshot, without the ids that it stored after it", "set appendonly yes and appendfsync everysec"}
}

// eviction checks the eviction policy. All our keys have a time to live, so every policy except noeviction may remove a claim or a
// confirmation.
func eviction(is map[string]string) Finding {
	const check = "redis maxmemory"
	limit, _ := strconv.ParseInt(is["maxmemory"], 10, 64)
	used, _ := strconv.ParseInt(is["used_memory"], 10, 64)
	policy := is["maxmemory_policy"]
	usage := fmt.Sprintf("%d MB in use, no limit, policy %s", used>>20, policy)
	if limit > 0 {
		usage = fmt.Sprintf("%d of %d MB in use, policy %s", used>>20, limit>>20, policy)
	}
	switch {
	case policy != "noeviction" && limit > 0:
		return Finding{check, Fail, usage + ": when Redis is full it removes ids, and their work is done twice", "set maxmemory-policy noeviction"}
	case policy != "noeviction":
		return Finding{check, Warn, usage + ": with a limit, Redis would remove ids, and their work would be done twice", "set maxmemory-policy noeviction"}
	case limit > 0 && float64(used) > fullAt*float64(limit):
		return Finding{check, Warn, usage, "give it more memory: about 110 bytes for each event of the last 4 days"}
	default:
		return passed(check, "%s", usage)
	}
}

// epoch reports the time since which the ids in Redis are complete.
func (e *examination) epoch(ctx context.Context, client redis.UniversalClient) Finding {
	const check = "redis epoch"
	all, err := dedupe.ReadEpochs(ctx, client, e.ring())
	if err != nil {
		return Finding{check, Fail, masked(err), "check that the user of redis.url may read and write signrelay:epoch"}
	}
	var newest dedupe.Epoch
	missing := 0
	for _, is := range all {
		switch {
		case !is.Found:
			missing++
			continue
		case !is.OK:
			return Finding{check, Warn, "the epoch was started with another master_key, or by another program",
				"check that all services have the same master_key as this command; then the next callback starts a new epoch, and earlier ids are looked up in the log"}
		}
		if is.Began.After(newest.Began) {
			newest.Began, newest.Last = is.Began, is.Last
		}
		if is.Lost.Until.After(newest.Lost.Until) {
			newest.Lost = is.Lost
		}
	}
	if missing == len(all) {
		return Finding{check, Warn, "none: no callback has arrived yet, or Redis was emptied", "nothing to do: the first callback starts an epoch, and earlier ids are looked up in the log"}
	}
	since := "the ids are complete since " + newest.Began.UTC().Format(time.RFC3339)
	if newest.Last != 0 && time.Since(newest.Began) < flow.Remember {
		return Finding{check, Warn, since + ", when the log was not empty: Redis was emptied or is new, or the master_key is new", "nothing to do: earlier ids are looked up in the log, which is slower, until 4 days have passed"}
	}
	if lost := newest.Lost; time.Since(lost.Until) < flow.Remember {
		return Finding{check, Warn, since + ", but a failover may have lost some between " + lost.Since.UTC().Format(time.RFC3339) + " and " + lost.Until.UTC().Format(time.RFC3339),
			"nothing to do: ids of that time are looked up in the log until 4 days have passed"}
	}
	return passed(check, "%s", since)
}

func (e *examination) ring() keyring.Ring { return keyring.New(e.cfg.MasterKeys()) }
