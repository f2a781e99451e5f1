"""Sends prepared requests over many connections as fast as they are answered: `load.py FILE HOST PORT CONNECTIONS`.

FILE holds requests, each behind its length (u32). Prints the seconds and how many were answered with 200.
"""

import asyncio
import sys
import time
from pathlib import Path


async def send_all(requests: list[bytes], host: str, port: int, connections: int) -> int:
    """Send `requests`, each once; return how many were answered with 200."""
    waiting = iter(requests)
    succeeded = 0

    async def work() -> None:
        nonlocal succeeded
        reader, writer = await asyncio.open_connection(host, port)
        for request in waiting:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
            await reader.readexactly(length)
            succeeded += lines[0].split(b" ")[1] == b"200"
        writer.close()

    await asyncio.gather(*(work() for _ in range(connections)))
    return succeeded


def main(file: str, host: str, port: str, connections: str) -> None:
    """Read, send, print."""
    data = Path(file).read_bytes()
    requests: list[bytes] = []
    position = 0
    while position < len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        requests.append(data[position + 4 : position + 4 + size])
        position += 4 + size
    start = time.perf_counter()
    succeeded = asyncio.run(send_all(requests, host, int(port), int(connections)))
    sys.stdout.write(f"{time.perf_counter() - start} {succeeded}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
