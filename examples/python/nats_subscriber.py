"""Prints one line for every signature in Signrelay's log, read over NATS JetStream.

Copy it, and replace the printing by your work.
"""

import asyncio
import os
import signal
import ssl
import sys

import nats
from signrelay.signing.v1.event_pb2 import SigningEvent

seen = {}  # the last 10,000 ids that this process has done, oldest first


async def main():
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    while not stop.is_set():  # reconnects without limit, also after a refused password
        connecting = asyncio.create_task(connect())
        await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            connecting.cancel()
            return
        nc = None
        try:
            nc = connecting.result()
            await subscribe(nc, os.environ.get("NATS_DURABLE", "billing"), stop)
        except (nats.errors.Error, OSError, asyncio.TimeoutError) as problem:
            cause = nc.last_error if nc and nc.last_error else problem
            print(f"NATS: {cause or repr(cause)}; again in 2 s", file=sys.stderr, flush=True)
            await asyncio.wait({stopping}, timeout=2)
        finally:
            if nc:
                await nc.close()


async def connect():
    authorities = os.environ.get("NATS_CA")  # a PEM file, if the system does not know your CA
    return await nats.connect(
        os.environ.get("NATS_URL", "nats://127.0.0.1:4222"),
        user=os.environ.get("NATS_USER"),
        password=os.environ.get("NATS_PASSWORD"),
        tls=ssl.create_default_context(cafile=authorities) if authorities else None,
        allow_reconnect=False,  # main reconnects, because the client stops after a refused password
        error_cb=ignore,  # main logs the cause
    )


async def ignore(_):
    pass


async def subscribe(nc, durable, stop):
    # The server stores your acks under the durable's name. It redelivers a message that you do not ack within 30 s.
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
    asyncio.run(main())
