"""An SMTP server that takes everything: both sides of a comparison send to it. It notes when it took what for whom.

`python -m benchmarks.sink PORT FILE`; a line of the file is the wall clock's seconds and the recipient.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import TextIO


class Sink:
    """One listener and its record."""

    def __init__(self, record: TextIO) -> None:
        self._record = record

    async def session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until the other side leaves."""
        writer.write(b"220 sink\r\n")
        recipient = b""
        try:
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"EHLO":
                    writer.write(b"250-sink\r\n250-8BITMIME\r\n250 SIZE 10000000\r\n")
                elif verb == b"DATA":
                    writer.write(b"354 go on\r\n")
                    await reader.readuntil(b"\r\n.\r\n")
                    self._record.write(f"{time.time():.3f} {recipient.decode()}\n")
                    writer.write(b"250 taken\r\n")
                elif verb == b"QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                else:
                    if verb == b"RCPT":
                        recipient = line[line.find(b"<") + 1 : line.find(b">")]
                    writer.write(b"250 ok\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def main(port: int, file: Path) -> None:
    """Listen until killed."""
    with file.open("a", buffering=1) as record:
        server = await asyncio.start_server(Sink(record).session, "127.0.0.1", port, limit=2**20)
        async with server:
            await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
