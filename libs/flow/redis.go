package flow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/event"
)

// RedisUser is a user of Redis: a service, or the operator's command line. Redis refuses everything that is not listed.
type RedisUser struct {
	Name     string
	Keys     []string // patterns of the keys that it reads and writes
	Commands []string
}

// Keys in Redis that are not claims; packages dedupe and limit write them.
const (
	redisEpoch  = "signrelay:epoch"
	redisParts  = "signrelay:epoch:*" // with Sentinel and in a cluster
	redisProbe  = "signrelay:limit:{probe}:*"
	redisCounts = "signrelay:limit:{*}:count"
)

// redisCommands are all commands that the scripts and their client use. No command lists keys, and none shows the commands of other
// clients.
//
// A client of a cluster asks where the slots are (CLUSTER SLOTS), and finds a slot that moves (ASKING).
var redisCommands = []string{"eval", "evalsha", "get", "set", "time", "select", "client|setname", "cluster|slots", "asking"}

// claimCommands are in addition those of a service with claims: DEL releases one, and INFO replication shows a failover.
var claimCommands = []string{"del", "info|replication"}

// RedisUsers returns the users of the services that use Redis, in the order of the flow, and the operator's, with the permissions for doctor.
func RedisUsers() []RedisUser {
	operator := RedisUser{Name: Operator, Keys: []string{redisProbe}, Commands: append(slices.Clone(redisCommands), "del", "info")}
	var users []RedisUser
	add := func(service, namespace string, uses Uses) {
		u := RedisUser{Name: service, Commands: redisCommands}
		if namespace != "" {
			u.Keys = append(u.Keys, namespace+":*", redisEpoch, redisParts)
			u.Commands = append(slices.Clone(redisCommands), claimCommands...)
		}
		if len(uses.Removes) > 0 { // it removes the senders' confirmations
			for _, space := range EffectClaims() {
				u.Keys = append(u.Keys, space+":*")
			}
			u.Commands = append(slices.Clone(redisCommands), "del")
		}
		if _, sends := event.ChannelOfStage(service); sends { // it counts its messages
			u.Keys = append(u.Keys, redisCounts)
		}
		for _, rate := range uses.Rates {
			u.Keys = append(u.Keys, "signrelay:limit:{"+rate+"/*")
		}
		if len(u.Keys) == 0 {
			return
		}
		for _, k := range u.Keys {
			if !slices.Contains(operator.Keys, k) {
				operator.Keys = append(operator.Keys, k)
			}
		}
		u.Keys = append(u.Keys, redisProbe)
		if i := slices.IndexFunc(users, func(other RedisUser) bool { return other.Name == service }); i >= 0 { // a service with several stages
			users[i].Keys, users[i].Commands = union(users[i].Keys, u.Keys), union(users[i].Commands, u.Commands)
			return
		}
		users = append(users, u)
	}
	for _, d := range Producers {
		add(d.Name, ClaimsOf(d.Name), d.Uses)
	}
	for _, s := range Stages {
		add(s.Program(), ClaimsOf(s.Name), s.Uses)
	}
	return append(users, operator)
}

// Rules returns the user's permissions in the syntax of ACL SETUSER.
func (u RedisUser) Rules() string {
	rules := []string{"resetkeys", "-@all"}
	for _, k := range u.Keys {
		rules = append(rules, "~"+k)
	}
	for _, c := range u.Commands {
		rules = append(rules, "+"+c)
	}
	return strings.Join(rules, " ")
}

// RedisPassword returns the variable that holds a Redis user's password.
func RedisPassword(user string) string { return "REDIS_" + capitals(user) + "_PASSWORD" }

// RedisFiles returns the files of deployments/redis that come from the map, by name.
func RedisFiles() map[string]string {
	var b strings.Builder
	b.WriteString(`# Made by "make generate" from libs/flow: change it there.
#
# The permissions in Redis, for "include" in redis.conf. Put the passwords in place of the variables first, as docker-compose.yml does;
# they consist of letters and digits. The user "default" is the administrator: give it a password (requirepass) or turn it off.

`)
	for _, u := range RedisUsers() {
		fmt.Fprintf(&b, "user %s on >$%s %s\n", u.Name, RedisPassword(u.Name), u.Rules())
	}
	return map[string]string{"users.conf": b.String()}
}
