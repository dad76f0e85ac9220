module github.com/signrelay/signrelay/services/standalone

go 1.26.0

replace (
	github.com/signrelay/signrelay/libs => ../../libs
	github.com/signrelay/signrelay/proto => ../../proto
	github.com/signrelay/signrelay/services/email-sender => ../email-sender
	github.com/signrelay/signrelay/services/enricher => ../enricher
	github.com/signrelay/signrelay/services/ingest => ../ingest
	github.com/signrelay/signrelay/services/sandbox => ../sandbox
	github.com/signrelay/signrelay/services/shortener => ../shortener
	github.com/signrelay/signrelay/services/sms-sender => ../sms-sender
)

require (
	github.com/nats-io/nats-server/v2 v2.15.2
	github.com/nats-io/nats.go v1.55.0
	github.com/signrelay/signrelay/libs v0.0.0
	github.com/signrelay/signrelay/proto v0.0.0
	github.com/signrelay/signrelay/services/email-sender v0.0.0
	github.com/signrelay/signrelay/services/enricher v0.0.0
	github.com/signrelay/signrelay/services/ingest v0.0.0
	github.com/signrelay/signrelay/services/sandbox v0.0.0
	github.com/signrelay/signrelay/services/shortener v0.0.0
	github.com/signrelay/signrelay/services/sms-sender v0.0.0
)
