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
