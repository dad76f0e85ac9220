module github.com/signrelay/signrelay/services/sandbox

go 1.26.0

replace (
	github.com/signrelay/signrelay/libs => ../../libs
	github.com/signrelay/signrelay/proto => ../../proto
)

require (
	github.com/emersion/go-sasl v0.0.0-20241020182733-b788ff22d5a6
	github.com/emersion/go-smtp v0.25.1
	github.com/signrelay/signrelay/libs v0.0.0
	github.com/signrelay/signrelay/proto v0.0.0
)
