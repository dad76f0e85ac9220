package flow

import (
	"slices"
	"strings"
)

// User is a service as the NATS server knows it, with the subjects that it may publish on. JetStream is asked by publishing,
// so the permitted requests decide on what may be read.
type User struct {
	Name    string // the service's
	Publish []string
}

// Users returns the users of the services, in the order of the flow. Everything that is not listed is refused.
func Users() []User {
	var users []User
	for _, d := range Producers {
		users = append(users, user(d.Name, d.Gives, d.Uses, nil))
	}
	for _, s := range Stages {
		users = append(users, user(s.Name, append(slices.Clone(s.Gives), s.DeadSubject()), s.Uses, s.works()))
	}
	return users
}

func user(name string, gives []string, uses Uses, works []string) User {
	may := slices.Concat(gives, works)
	for _, s := range uses.Streams {
		may = append(may, streamInfo+s)
		// The server lets a batch be asked for by its subject in the request's body alone: so who may look one id up may read
		// the stream. It makes no consumer by it, and takes nothing from anybody.
		may = append(may, direct+s)
	}
	for _, b := range uses.Buckets {
		may = append(may, "$KV."+b.Bucket+"."+b.Keys, direct+"KV_"+b.Bucket+".$KV."+b.Bucket+".>", streamInfo+"KV_"+b.Bucket)
	}
	var each []string
	for _, subject := range append(may, everybody...) {
		if !slices.Contains(each, subject) {
			each = append(each, subject)
		}
	}
	return User{Name: name, Publish: each}
}

// Of the requests to JetStream, these two are answered with many messages.
const (
	direct = "$JS.API.DIRECT.GET."
	pull   = "$JS.API.CONSUMER.MSG.NEXT."
)

// These two describe a stream and a consumer. With a filter in its body, the first lists the subjects of the stream, which are the keys
// of a bucket. A permission does not see the body, so a service may ask it only about the streams and buckets that it works with.
const (
	streamInfo   = "$JS.API.STREAM.INFO."
	consumerInfo = "$JS.API.CONSUMER.INFO."
)

// mayAsk reports whether a service may send a request to the server, for the named services together. Names of other programs
// count for nothing; without the name of a service, every request may be sent, as the operator's user may.
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

// works is how a stage gets its inputs from its two consumers, and settles them. A consumer is not its to make or change.
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

// acks are the subjects on which a consumer's messages are settled: as servers write them today, and as 2.14 and newer can
// be told to, with a domain and an account before the stream.
func acks(stream, consumer string) []string {
	return []string{"$JS.ACK." + stream + "." + consumer + ".>", "$JS.ACK.*.*." + stream + "." + consumer + ".>"}
}

// everybody may see the account's figures, and the bucket STATE, in which the services report outages to each other.
var everybody = []string{
	"$JS.API.INFO",
	streamInfo + "KV_" + State,
	direct + "KV_" + State + ".$KV." + State + ".>",
}

// Password is the variable of the NATS server's environment that holds a user's password.
func Password(user string) string { return "NATS_" + capitals(user) + "_PASSWORD" }

// capitals is a name as variables and accounts are written.
func capitals(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) }
