package kafkabridge

import "github.com/segmentio/kafka-go"

// batchBytes keeps a batch below 1 MiB, which a topic takes unless its settings say otherwise. A larger event is sent alone, and the
// broker decides.
const batchBytes = 900 << 10

// nextBatch returns the first records that are sent together: at most so many, and either below batchBytes or one alone.
func nextBatch(records []kafka.Message, most int) []kafka.Message {
	size := 0
	for n, r := range records[:min(most, len(records))] {
		size += len(r.Key) + len(r.Value) + 32 // and the lengths
		for _, h := range r.Headers {
			size += len(h.Key) + len(h.Value) + 8
		}
		if size > batchBytes {
			return records[:max(n, 1)]
		}
	}
	return records[:min(most, len(records))]
}

// partition returns the partition of a record. It uses the key's hash as Kafka's own client does, so that a consumer that joins the
// topic with another topic of the same keys finds equal keys in equal partitions.
func partition(record kafka.Message, numbers []int) int {
	return kafka.Murmur2Balancer{Consistent: true}.Balance(record, numbers...)
}

// numbers returns the numbers of so many partitions.
func numbers(count int) []int {
	all := make([]int, count)
	for n := range all {
		all[n] = n
	}
	return all
}
