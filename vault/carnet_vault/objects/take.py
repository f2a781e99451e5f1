"""One part of an upload, from the body of a request into the store."""

from collections.abc import AsyncIterator

from carnet_storage import PartWriter
from carnet_vault.objects.threads import run_to_the_end
from carnet_vault.refusals import store_refusals


async def take_part(body: AsyncIterator[bytes], writer: PartWriter) -> None:
    """Write `body` and finish the part: what fits into memory at once, whatever waits for the disk in a thread.

    When this returns, the bytes are durable. Cut in between, the part is given up, once no thread writes any more.
    Raises the refusals that stand for what the store raises.
    """
    try:
        with store_refusals():
            async for chunk in body:
                if len(chunk) < writer.free_bytes:
                    writer.write(chunk)
                else:
                    await run_to_the_end(writer.write, chunk)
            await run_to_the_end(writer.finish)
    finally:
        await run_to_the_end(writer.abort)
