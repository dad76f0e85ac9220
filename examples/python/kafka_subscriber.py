"""Prints one line for every signature in Signrelay's log, read from Kafka as a consumer group.

Copy it, and replace the printing by your work.
"""

import os
import signal
import sys

from confluent_kafka import Consumer, KafkaException
from google.protobuf import json_format
from signrelay.signing.v1.event_pb2 import SigningEvent

seen = {}  # the last 10,000 ids that this process has done, oldest first
stopped = False


def stop(*_):
    global stopped
    stopped = True


def main():
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    settings = {
        "bootstrap.servers": os.environ.get("KAFKA_BROKERS", "127.0.0.1:9092"),
        "group.id": os.environ.get("KAFKA_GROUP", "billing"),  # the brokers store its committed offsets
        "auto.offset.reset": "earliest",  # the start of a new group
        "enable.auto.commit": False,
        "reconnect.backoff.ms": 1_000,
        "session.timeout.ms": 10_000,  # after this time the other replicas get a killed replica's partitions
    }
    if os.environ.get("KAFKA_USER"):
        settings |= {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": os.environ["KAFKA_USER"],
            "sasl.password": os.environ["KAFKA_PASSWORD"],
        }
    if os.environ.get("KAFKA_CA"):
        settings["ssl.ca.location"] = os.environ["KAFKA_CA"]  # a PEM file, if the system does not know your CA
    subscribe(settings, os.environ.get("KAFKA_TOPIC", "signrelay.signing.v1"))


def subscribe(settings, topic):
    consumer = Consumer(settings)
    consumer.subscribe([topic])
    while not stopped:
        m = consumer.poll(1.0)  # the client reconnects without limit
        if m is None:
            continue
        if m.error():
            print(f"poll: {m.error()}", file=sys.stderr)
            continue
        headers = dict(m.headers())
        if headers["ce_type"] == b"signrelay.recipient.signed.v1":
            handle(headers["ce_id"].decode(), decode(headers, m.value()))
        try:
            consumer.commit(m, asynchronous=False)  # after the work, not before
        except KafkaException as problem:
            print(f"commit: {problem}; a later commit includes it", file=sys.stderr)
    consumer.close()


def decode(headers, value):
    """Reads an event in either format; a field that this program does not know yet is not an error."""
    if headers["content-type"] == b"application/json":
        return json_format.Parse(value, SigningEvent(), ignore_unknown_fields=True)
    return SigningEvent.FromString(value)


def handle(id, e):
    """Does the work of an event once.

    If repeated work is harmful, store the ids in your database: a unique key, written in the transaction of the work.
    """
    if id in seen:
        return
    when = e.occurred_at if e.HasField("occurred_at") else e.received_at  # the provider may have sent no time
    print(
        f"{when.ToDatetime():%Y-%m-%dT%H:%M:%SZ} {id} {e.source}/{e.provider} document={e.document.id} recipient={e.recipient.id}"
        f' "{e.document.title}"',
        flush=True,
    )
    seen[id] = True
    if len(seen) > 10_000:
        del seen[next(iter(seen))]


if __name__ == "__main__":
    main()
