"""Prints one line for every signature in Signrelay's log, read over NATS JetStream.

Copy it, and put your work in the place of the line.
"""

import asyncio
import os
import signal
import sys

import nats
from signrelay.signing.v1.event_pb2 import SigningEvent

seen = {}  # the last 10,000 ids that were done by this process, oldest first


async def main():
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    connecting = asyncio.create_task(
        nats.connect(
            os.environ.get("NATS_URL", "nats://127.0.0.1:4222"),
            user=os.environ.get("NATS_USER"),
            password=os.environ.get("NATS_PASSWORD"),
            max_reconnect_attempts=-1,  # for ever
        )
    )
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        return
    nc = connecting.result()
    while not stop.is_set():
        try:
            await subscribe(nc, os.environ.get("NATS_DURABLE", "billing"), stop)
        except (nats.errors.Error, asyncio.TimeoutError) as problem:
            print(f"subscribe: {problem!r}; again in 2 s", file=sys.stderr)
            await asyncio.wait({stopping}, timeout=2)
    await nc.close()


async def subscribe(nc, durable, stop):
    # The server remembers by the durable's name what you have acked. What you have not acked in 30 s comes again.
    subscription = await nc.jetstream().pull_subscribe(
        "signing.v1.*.*.recipient.signed.>", durable=durable, stream="SIGNING"
    )
    while not stop.is_set():
        try:
            messages = await subscription.fetch(10, timeout=1)
        except nats.errors.TimeoutError:
            continue  # nothing new
        for m in messages:
            handle(m.headers["ce-id"], SigningEvent.FromString(m.data))
            await m.ack()  # after the work, not before


def handle(id, e):
    """Does an event's work unless it was done already.

    Where doing it twice hurts, let your database know the ids: a unique key, written in the transaction that does the work.
    """
    if id in seen:
        return
    when = e.occurred_at if e.HasField("occurred_at") else e.received_at  # a provider may tell no time
    print(
        f"{when.ToDatetime():%Y-%m-%dT%H:%M:%SZ} {id} {e.source}/{e.provider} document={e.document.id} recipient={e.recipient.id}"
        f' "{e.document.title}"',
        flush=True,
    )
    seen[id] = True
    if len(seen) > 10_000:
        del seen[next(iter(seen))]


if __name__ == "__main__":
    asyncio.run(main())
