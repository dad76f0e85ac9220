package flow

import (
	"slices"
	"strings"
)

// User is a service's user of the NATS server, with the subjects on which it may publish. Requests to JetStream are published messages,
// so the permitted subjects also decide which streams it may read.
type User struct {
	Name    string // the service's
	Publish []string
}

// Users returns the users of the services, in the order of the flow. Everything that is not listed is refused.
func Users() []User {
	var users []User
	for _, d := range Producers {
		users = append(users, user(d.Name, d.Publishes, d.Uses, nil))
	}
	for _, s := range Stages {
		u := user(s.Program(), append(slices.Clone(s.Publishes), s.DeadSubject()), s.Uses, s.works())
		if i := slices.IndexFunc(users, func(other User) bool { return other.Name == u.Name }); i >= 0 { // a service with several stages
			users[i].Publish = union(users[i].Publish, u.Publish)
			continue
		}
		users = append(users, u)
	}
	return users
}

func user(name string, publishes []string, uses Uses, works []string) User {
	may := slices.Concat(publishes, works)
	for _, s := range uses.Streams {
		may = append(may, streamInfo+s)
		// A request for a batch has its subject only in the request's body. So a service that may look up one id can read the whole stream.
		// Such a read creates no consumer and takes no message from another consumer.
		may = append(may, direct+s)
	}
	for _, b := range uses.Buckets {
		may = append(may, "$KV."+b.Bucket+"."+b.Keys, direct+"KV_"+b.Bucket+".$KV."+b.Bucket+".>", streamInfo+"KV_"+b.Bucket)
	}
	if uses.Watches {
		may = append(may, "$JS.API.CONSUMER.LIST."+Signing) // who else reads the log
		for _, s := range Stages {
			may = append(may, consumerInfo+s.Stream+"."+s.Name, consumerInfo+Replay+"."+s.Name)
		}
	}
	if len(uses.Removes) > 0 { // it stores an event again without the request that the event carries, when the enricher has read the copy
		may = append(may, consumerInfo+Signing+"."+Enricher)
	}
	for _, s := range uses.Removes {
		if strings.HasPrefix(s, bucketStream) {
			may = append(may, "$JS.API.STREAM.PURGE."+s)
		} else {
			may = append(may, "$JS.API.STREAM.MSG.DELETE."+s)
		}
	}
	for _, s := range uses.Drops {
		may = append(may, "$JS.API.STREAM.MSG.DELETE."+s)
	}
	return User{Name: name, Publish: union(append(may, presences(name)+">"), allServices)}
}

// union returns the texts of both lists, each once.
func union(first, second []string) []string {
	var each []string
	for _, text := range slices.Concat(first, second) {
		if !slices.Contains(each, text) {
			each = append(each, text)
		}
	}
	return each
}

// These two requests to JetStream get several messages as their response.
const (
	direct = "$JS.API.DIRECT.GET."
	pull   = "$JS.API.CONSUMER.MSG.NEXT."
)

// These two describe a stream and a consumer. With a filter in its body, the first lists the subjects of the stream, which are the keys of a
// bucket. A permission does not see the body. So a service may send these requests only for the streams and buckets that it uses.
const (
	streamInfo   = "$JS.API.STREAM.INFO."
	consumerInfo = "$JS.API.CONSUMER.INFO."
)

// mayAsk returns a function that reports whether at least one of the named services may send a request to the server. Names of other programs
// are ignored. Without the name of a service, every request is permitted, as for the operator's user.
func mayAsk(services []string) func(request string) bool {
	var may []string
	known := false
	for _, u := range Users() {
		if slices.Contains(services, u.Name) {
			known = true
			may = append(may, u.Publish...)
		}
	}
	return func(request string) bool { return !known || slices.Contains(may, request) }
}

// works returns the subjects with which a stage gets its inputs from its two consumers and settles them. It may not create or change a
// consumer.
func (s Stage) works() []string {
	var may []string
	for _, stream := range []string{s.Stream, Replay} {
		may = append(may, streamInfo+stream, consumerInfo+stream+"."+s.Name, pull+stream+"."+s.Name)
		may = append(may, acks(stream, s.Name)...)
	}
	may = append(may, "$KV."+State+"."+s.floors()+">")
	if s.Ordered {
		may = append(may, "$JS.API.CONSUMER.UNPIN."+s.Stream+"."+s.Name) // lets the next replica work at once
	}
	return may
}

// acks returns the subjects on which a consumer's messages are settled: the form that servers use today, and the optional form of 2.14 and
// newer, with a domain and an account before the stream.
func acks(stream, consumer string) []string {
	return []string{"$JS.ACK." + stream + "." + consumer + ".>", "$JS.ACK.*.*." + stream + "." + consumer + ".>"}
}

// allServices are the subjects that every service may use: the account's usage data, and the bucket STATE, in which the services report
// outages to each other.
var allServices = []string{
	"$JS.API.INFO",
	streamInfo + "KV_" + State,
	direct + "KV_" + State + ".$KV." + State + ".>",
}

// Password returns the variable of the NATS server's environment that holds a user's password.
func Password(user string) string { return "NATS_" + capitals(user) + "_PASSWORD" }

// capitals returns a name in the spelling of variables and accounts.
func capitals(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) }
