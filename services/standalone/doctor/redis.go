package doctor

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
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
	info, err := client.Info(ctx).Result()
	if err != nil {
		return []Finding{passed("redis", "reached"), claim, clock("redis clock", now, asked, came),
			{"redis settings", Warn, "cannot be read: " + masked(err), "allow INFO, or check yourself that appendonly is yes and maxmemory-policy is noeviction"}}
	}
	is := fields(info)
	return []Finding{passed("redis", "reached"), claim, redisVersion(is), role(is), appendOnly(is), eviction(is), e.epoch(ctx, client), clock("redis clock", now, asked, came)}
}

// claim runs the services' commands in Redis, on its own keys.
func (e *examination) claim(ctx context.Context, client *redis.Client) Finding {
	const check = "redis claim"
	fail := func(user string, err error) Finding {
		return Finding{check, Fail, user + ": " + masked(service.NameRefusal(ctx, client, err)), "see docs/operate.md, \"A Redis user\"; if the user belongs to some services only, name these services with --for"}
	}
	if err := limit.NewRedis(client, e.ring()).Probe(ctx); err != nil {
		return fail("rate limits", err)
	}
	for _, u := range flow.Users() {
		if namespace := flow.ClaimsOf(u.Name); namespace != "" && (len(e.services()) == 0 || slices.Contains(e.services(), u.Name)) {
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
func (e *examination) epoch(ctx context.Context, client *redis.Client) Finding {
	const check = "redis epoch"
	last, began, found, ours, err := dedupe.ReadEpoch(ctx, client, e.ring())
	switch {
	case err != nil:
		return Finding{check, Fail, masked(err), "check that the user of redis.url may read and write signrelay:epoch"}
	case !found:
		return Finding{check, Warn, "none: no callback has arrived yet, or Redis was emptied", "nothing to do: the first callback starts an epoch, and earlier ids are looked up in the log"}
	case !ours:
		return Finding{check, Warn, "the epoch was started with another master_key, or by another program",
			"check that all services have the same master_key as this command; then the next callback starts a new epoch, and earlier ids are looked up in the log"}
	}
	since := "the ids are complete since " + began.UTC().Format(time.RFC3339)
	if last != 0 && time.Since(began) < flow.Remember {
		return Finding{check, Warn, since + ", when the log was not empty: Redis was emptied or is new, or the master_key is new", "nothing to do: earlier ids are looked up in the log, which is slower, until 4 days have passed"}
	}
	return passed(check, "%s", since)
}

func (e *examination) ring() keyring.Ring { return keyring.New(e.cfg.MasterKeys()) }
