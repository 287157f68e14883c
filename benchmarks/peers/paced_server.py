"""A server that answers each request after a fixed time with 400 words: a GPU's pace, without a GPU. Prints its port.

    python benchmarks/peers/paced_server.py SECONDS

It takes any number of requests at a time, so whoever asks it decides on the throughput; it speaks as much of OpenAI's
protocol as that needs.
"""

import asyncio
import json
import random
import sys

MODEL, WORDS = "paced", 400
SYLLABLES = ("ta", "ri", "mo", "len", "ka", "su", "ver", "di", "no", "pel")


async def serve(seconds: float) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = next(
                    (int(line[15:]) for line in head.split(b"\r\n") if line.lower()[:15] == b"content-length:"), 0
                )
                asked = json.loads(await reader.readexactly(size)) if size else None
                if asked:
                    await asyncio.sleep(seconds)
                body = json.dumps(_answer(asked) if asked else {"data": [{"id": MODEL}]}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):  # the client has gone
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def _answer(asked: dict) -> dict:
    """Words that no other answer has in this order, so that every filter reads them to the end."""
    draw = random.Random(asked["seed"]).choices
    text = " ".join("".join(draw(SYLLABLES, k=2)) for _ in range(WORDS))
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"model": MODEL, "choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": WORDS}}


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
