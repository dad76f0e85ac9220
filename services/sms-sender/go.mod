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

require github.com/antihax/optional v1.0.0 // indirect
