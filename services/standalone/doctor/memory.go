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

// oldestRedis is the first that package dedupe works with.
const oldestRedis = "6.0"

// memory is everything about Redis. It uses INFO alone, because many that are rented do not let CONFIG in.
func (e *examination) memory(ctx context.Context) []Finding {
	if e.cfg.Redis.URL == "" {
		if e.Embedded {
			return []Finding{fine("redis", "none; the memory is a bucket of the embedded broker")}
		}
		return []Finding{{"redis", Warn, "none is set: services that run alone do not start", "set redis.url, unless all run in one process"}}
	}
	client, err := service.ConnectRedis(e.cfg.Redis)
	if err != nil {
		return []Finding{{"redis", Fail, told(err), "mend redis.url"}}
	}
	defer func() { _ = client.Close() }()

	asked := time.Now()
	now, err := client.Time(ctx).Result()
	came := time.Now()
	if err != nil {
		return []Finding{{"redis", Fail, told(service.ExplainRedis(err)), "is it running, does redis.url lead there, and is the password right?"}}
	}
	claim := e.claim(ctx, client)
	info, err := client.Info(ctx).Result()
	if err != nil {
		return []Finding{fine("redis", "reached"), claim, clock("redis clock", now, asked, came),
			{"redis settings", Warn, "cannot be seen: " + told(err), "see yourself to appendonly yes and maxmemory-policy noeviction, or allow INFO"}}
	}
	is := fields(info)
	return []Finding{fine("redis", "reached"), claim, redisVersion(is), role(is), appendOnly(is), eviction(is), e.epoch(ctx, client), clock("redis clock", now, asked, came)}
}

// claim does in Redis what the services do there, on keys of its own.
func (e *examination) claim(ctx context.Context, client *redis.Client) Finding {
	const check = "redis claim"
	fail := func(whose string, err error) Finding {
		return Finding{check, Fail, whose + ": " + told(service.NameRefusal(ctx, client, err)), "see docs/operate.md, \"A Redis user\"; where the user is that of some services only, name these with --for"}
	}
	if err := limit.NewRedis(client, e.ring()).Probe(ctx); err != nil {
		return fail("rate limits", err)
	}
	for _, u := range flow.Users() {
		if namespace := flow.MemoryOf(u.Name); namespace != "" && (len(e.whose()) == 0 || slices.Contains(e.whose(), u.Name)) {
			if err := dedupe.NewRedis(client, dedupe.Options{Namespace: namespace}).Probe(ctx); err != nil {
				return fail(u.Name, err)
			}
		}
	}
	return fine(check, "claims are taken and given back")
}

// fields are INFO's lines, "name:value".
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
		return fine("redis version", "%s", version)
	}
	return Finding{"redis version", Fail, version, "update it to " + oldestRedis + " or newer"}
}

func role(is map[string]string) Finding {
	if is["role"] == "slave" {
		return Finding{"redis role", Fail, "a replica, which takes no claims", "let redis.url lead to the primary"}
	}
	return fine("redis role", "%s", is["role"])
}

func appendOnly(is map[string]string) Finding {
	if is["aof_enabled"] == "1" {
		return fine("redis appendonly", "yes")
	}
	return Finding{"redis appendonly", Fail,
		"no: after a crash it comes back with an old snapshot, and nobody notices what it has forgotten", "set appendonly yes and appendfsync everysec"}
}

// eviction judges what Redis does when it is full. Every key of ours has a time to live, so every other policy may take
// a claim or a confirmation.
func eviction(is map[string]string) Finding {
	const check = "redis maxmemory"
	limit, _ := strconv.ParseInt(is["maxmemory"], 10, 64)
	used, _ := strconv.ParseInt(is["used_memory"], 10, 64)
	policy := is["maxmemory_policy"]
	said := fmt.Sprintf("%d MB in use, no limit, policy %s", used>>20, policy)
	if limit > 0 {
		said = fmt.Sprintf("%d of %d MB in use, policy %s", used>>20, limit>>20, policy)
	}
	switch {
	case policy != "noeviction" && limit > 0:
		return Finding{check, Fail, said + ": when it is full it forgets what was done, and it is done again", "set maxmemory-policy noeviction"}
	case policy != "noeviction":
		return Finding{check, Warn, said + ": with a limit it would forget what was done", "set maxmemory-policy noeviction"}
	case limit > 0 && float64(used) > fullAt*float64(limit):
		return Finding{check, Warn, said, "give it more memory: about 110 bytes an event of the last 4 days"}
	default:
		return fine(check, "%s", said)
	}
}

// epoch tells since when Redis remembers.
func (e *examination) epoch(ctx context.Context, client *redis.Client) Finding {
	const check = "redis epoch"
	last, began, found, ours, err := dedupe.ReadEpoch(ctx, client, e.ring())
	switch {
	case err != nil:
		return Finding{check, Fail, told(err), "may the user of redis.url read and write signrelay:epoch?"}
	case !found:
		return Finding{check, Warn, "none: no callback has come yet, or Redis was emptied", "nothing: the first callback begins one, and what came before is looked up in the log"}
	case !ours:
		return Finding{check, Warn, "the memory was begun with another master_key, or by another program",
			"see that all services have the master_key of this command; the next callback begins the memory anew then, and what came before is looked up in the log"}
	}
	said := "everything is remembered since " + began.UTC().Format(time.RFC3339)
	if last != 0 && time.Since(began) < flow.Remember {
		return Finding{check, Warn, said + ", when the log was not empty: Redis was emptied or is new, or the master_key is", "nothing: what came before is looked up in the log, which is slower, until this is 4 days ago"}
	}
	return fine(check, "%s", said)
}

func (e *examination) ring() keyring.Ring { return keyring.New(e.cfg.MasterKeys()) }
