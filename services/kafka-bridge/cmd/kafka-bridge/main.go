// Command kafka-bridge copies the log to a Kafka topic.
package main

import (
	"github.com/signrelay/signrelay/libs/service"
	kafkabridge "github.com/signrelay/signrelay/services/kafka-bridge"
	"github.com/signrelay/signrelay/services/sections"
)

func main() { service.Main(kafkabridge.Service, sections.All) }
