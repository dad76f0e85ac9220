module github.com/signrelay/signrelay/services/sms-sender

go 1.26.0

replace (
	github.com/signrelay/signrelay/libs => ../../libs
	github.com/signrelay/signrelay/proto => ../../proto
)

require (
	github.com/golang-jwt/jwt v3.2.2+incompatible
	github.com/google/uuid v1.6.0
	github.com/signrelay/signrelay/libs v0.0.0
	github.com/signrelay/signrelay/proto v0.0.0
	github.com/vonage/vonage-go-sdk v0.14.0
	golang.org/x/oauth2 v0.30.0
)

require (
	github.com/antihax/optional v1.0.0 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/nats-io/nats.go v1.55.0 // indirect
	github.com/nats-io/nkeys v0.4.16 // indirect
	github.com/nats-io/nuid v1.0.1 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)
