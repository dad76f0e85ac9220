package testenv

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/flow"
)

// WithAccounts starts Infrastructure with the NATS server of deployments/nats, which has accounts. Each user's password is PasswordOf. The
// environment's own connection and its commands use the operator's user.
func WithAccounts(t testing.TB, settings func(*Env) string) *Env {
	t.Helper()
	return WithAccountsFrom(t, settings, filepath.Join(Root(), "deployments", "nats"))
}

// WithAccountsFrom does the same with the test's own files instead of deployments/nats.
func WithAccountsFrom(t testing.TB, settings func(*Env) string, files string) *Env {
	t.Helper()
	e := withAccounts(t)
	e.startNATS(t, node{deployed: filepath.Join(files, "nats.conf"), env: passwords()})
	e.provision(t, settings(e))
	return e
}

// ClusterWithAccounts starts Cluster with the accounts of deployments/nats.
func ClusterWithAccounts(t testing.TB, settings func(*Env) string) *Env {
	t.Helper()
	return cluster(t, withAccounts(t), settings, node{deployed: filepath.Join(Root(), "deployments", "nats", "cluster.conf"), env: passwords()})
}

func withAccounts(t testing.TB) *Env {
	t.Helper()
	e := newEnv(t)
	e.credentials = nats.UserInfo(flow.Operator, PasswordOf(flow.Operator))
	e.env = append(e.env, NATSUser(flow.Operator)...)
	return e
}

// passwords returns the environment of a NATS server with accounts: the passwords of the services and of two teams.
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

// PasswordOf returns a user's password in an environment with accounts.
func PasswordOf(user string) string { return "password-of-" + user }

// CopyLog creates a team's copy of the log, as docs/operate.md describes.
func (e *Env) CopyLog(t testing.TB, team string) {
	t.Helper()
	if output, err := e.CommandWith(t, NATSUser(team), "provision", "--copy"); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}

// NATSUser returns the environment of a program that connects as this user.
func NATSUser(user string) []string {
	return []string{"SIGNRELAY_NATS_USER=" + user, "SIGNRELAY_NATS_PASSWORD=" + PasswordOf(user)}
}

// MasterKey is the master key of every environment with one process per service.
const MasterKey = "master-key-of-the-tests-0123456789"

// RedisUsers returns the users of deployments/redis, as lines of redis.conf. PasswordOf returns each user's password.
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

// RedisUser returns the environment of a program that connects to Redis as this user.
func RedisUser(user string) []string {
	return []string{"SIGNRELAY_REDIS_USERNAME=" + user, "SIGNRELAY_REDIS_PASSWORD=" + PasswordOf(user)}
}
