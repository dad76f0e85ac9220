package testenv

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/flow"
)

// Guarded is Parts on a NATS server as deployments/nats sets it up, with accounts. Everybody's password is PasswordOf; the house's
// own connection and its commands are the operator's.
func Guarded(t testing.TB, settings func(*Env) string) *Env {
	t.Helper()
	return GuardedBy(t, settings, filepath.Join(Root(), "deployments", "nats"))
}

// GuardedBy is Guarded by files of the test's own.
func GuardedBy(t testing.TB, settings func(*Env) string, files string) *Env {
	t.Helper()
	e := guarded(t)
	e.startNATS(t, node{deployed: filepath.Join(files, "nats.conf"), env: passwords()})
	e.provision(t, settings(e))
	return e
}

// GuardedCluster is Cluster as deployments/nats sets it up, with accounts.
func GuardedCluster(t testing.TB, settings func(*Env) string) *Env {
	t.Helper()
	return cluster(t, guarded(t), settings, node{deployed: filepath.Join(Root(), "deployments", "nats", "cluster.conf"), env: passwords()})
}

func guarded(t testing.TB) *Env {
	t.Helper()
	e := newEnv(t)
	e.credentials = nats.UserInfo(flow.Operator, PasswordOf(flow.Operator))
	e.env = append(e.env, As(flow.Operator)...)
	return e
}

// passwords is the environment of a NATS server with accounts: those of the services, and two teams'.
func passwords() []string {
	users := []string{"sys", "route", flow.Operator, "billing", "audit"}
	for _, u := range flow.Users() {
		users = append(users, u.Name)
	}
	env := make([]string, len(users))
	for i, user := range users {
		env[i] = flow.Password(user) + "=" + PasswordOf(user)
	}
	return env
}

// PasswordOf is a user's password at a guarded house.
func PasswordOf(user string) string { return "password-of-" + user }

// CopyLog has a team's copy of the log made, as docs/operate.md says.
func (e *Env) CopyLog(t testing.TB, team string) {
	t.Helper()
	if said, err := e.CommandWith(t, As(team), "provision", "--copy"); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
}

// As is the environment of a program that is that user.
func As(user string) []string {
	return []string{"SIGNRELAY_NATS_USER=" + user, "SIGNRELAY_NATS_PASSWORD=" + PasswordOf(user)}
}

// MasterKey is that of every house whose services are processes of their own.
const MasterKey = "master-key-of-the-tests-0123456789"

// RedisUsers are the users of deployments/redis, as lines of redis.conf. Everybody's password is PasswordOf.
func RedisUsers() string {
	return os.Expand(flow.RedisFiles()["users.conf"], func(variable string) string {
		for _, u := range flow.RedisUsers() {
			if flow.RedisPassword(u.Name) == variable {
				return PasswordOf(u.Name)
			}
		}
		return ""
	})
}

// AsInRedis is the environment of a program that is that user of Redis.
func AsInRedis(user string) []string {
	return []string{"SIGNRELAY_REDIS_USERNAME=" + user, "SIGNRELAY_REDIS_PASSWORD=" + PasswordOf(user)}
}
