module github.com/signrelay/signrelay/tests

go 1.26.0

replace (
	github.com/signrelay/signrelay/libs => ../libs
	github.com/signrelay/signrelay/proto => ../proto
)

require (
	github.com/cloudevents/sdk-go/protocol/nats_jetstream/v2 v2.16.2
	github.com/cloudevents/sdk-go/v2 v2.16.2
	github.com/google/go-cmp v0.7.0
	github.com/nats-io/nats-server/v2 v2.15.2
	github.com/nats-io/nats.go v1.55.0
	github.com/signrelay/signrelay/libs v0.0.0
	github.com/signrelay/signrelay/proto v0.0.0
)
