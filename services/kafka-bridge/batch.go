package kafkabridge

import "github.com/segmentio/kafka-go"

// batchBytes keeps a batch below 1 MiB, the default limit of a topic. A larger event is sent alone, and the broker accepts or refuses it.
const batchBytes = 900 << 10

// nextBatch returns the first records that are sent together: at most this many, and below batchBytes in total. A larger record is sent
// alone.
func nextBatch(records []kafka.Message, most int) []kafka.Message {
	size := 0
	for n, r := range records[:min(most, len(records))] {
		size += len(r.Key) + len(r.Value) + 32 // and the length fields
		for _, h := range r.Headers {
			size += len(h.Key) + len(h.Value) + 8
		}
		if size > batchBytes {
			return records[:max(n, 1)]
		}
	}
	return records[:min(most, len(records))]
}

// partition returns the partition of a record. It hashes the key as Kafka's own client does. So equal keys are in equal partitions of this
// and another topic, which a consumer needs to join them.
func partition(record kafka.Message, numbers []int) int {
	return kafka.Murmur2Balancer{Consistent: true}.Balance(record, numbers...)
}

// numbers returns the numbers of count partitions, from 0.
func numbers(count int) []int {
	all := make([]int, count)
	for n := range all {
		all[n] = n
	}
	return all
}
