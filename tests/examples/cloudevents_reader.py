"""Reads the log with the CloudEvents SDK for Python, and prints each event of the SDK as a line of JSON.

Arguments: "kafka" <brokers> <topic> <count>, or "nats" <url> <count>.
"""

import asyncio
import base64
import json
import sys

import nats
from cloudevents.core.bindings import http, kafka
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import Consumer


def show(e):
    data = e.get_data()
    if isinstance(data, dict):  # the SDK has parsed JSON
        data = json.dumps(data).encode()
    elif isinstance(data, str):  # the SDK takes protobuf that is valid UTF-8 for text
        data = data.encode()
    print(
        json.dumps(
            {
                "specversion": e.get_specversion(),
                "id": e.get_id(),
                "source": e.get_source(),
                "type": e.get_type(),
                "subject": e.get_subject(),
                "time": e.get_time().isoformat(),
                "datacontenttype": e.get_datacontenttype(),
                "dataschema": e.get_dataschema(),
                "data": base64.b64encode(data).decode(),
            }
        )
    )


def over_kafka(brokers, topic, count):
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "cloudevents", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    while count:
        m = consumer.poll(1.0)
        if m is not None and not m.error():
            message = kafka.KafkaMessage(headers=dict(m.headers()), key=m.key(), value=m.value())
            show(kafka.from_kafka(message, JSONFormat()))
            count -= 1
    consumer.close()


# The SDK has no NATS binding; the headers are those of HTTP, except that the content type is an attribute like the others.
async def over_nats(url, count):
    nc = await nats.connect(url)
    subscription = await nc.jetstream().pull_subscribe("signing.v1.>", durable="cloudevents", stream="SIGNING")
    for m in await subscription.fetch(count, timeout=30):
        show(http.from_http(http.HTTPMessage(headers=m.headers, body=m.data), JSONFormat()))
        await m.ack()
    await nc.close()


if sys.argv[1] == "kafka":
    over_kafka(sys.argv[2], sys.argv[3], int(sys.argv[4]))
else:
    asyncio.run(over_nats(sys.argv[2], int(sys.argv[3])))
