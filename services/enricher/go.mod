module github.com/signrelay/signrelay/services/enricher

go 1.26.0

replace (
	github.com/signrelay/signrelay/libs => ../../libs
	github.com/signrelay/signrelay/proto => ../../proto
)

require (
	github.com/signrelay/signrelay/libs v0.0.0
	github.com/signrelay/signrelay/proto v0.0.0
)

require (
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/nats-io/nats.go v1.55.0 // indirect
	github.com/nats-io/nkeys v0.4.16 // indirect
	github.com/nats-io/nuid v1.0.1 // indirect
	github.com/nyaruka/phonenumbers v1.8.1 // indirect
	github.com/prometheus/client_golang v1.25.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)
