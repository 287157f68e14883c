"""A server that speaks OpenAI's protocol without a model behind it; it prints its port.

    python tests/completion_server.py [PORT]

The text of an answer tells what was asked: `<prompt>|<seed>`. The first part of the path says how the server behaves:
`/good/v1`; `/rough/v1` fails at the first attempt of each prompt, in a way that the prompt decides; `/busy/v1` refuses
the first three requests for want of time and asks for a second; `/other/v1` answers with another model's name from the
fourth on; `/silent/v1` says nothing from the fourth on; `/picky/v1` fails at prompts with the word "poison" and
refuses prompts of more than 100 characters; `/refusing/v1` refuses all in the same words; `/locked/v1` wants a key.
`/log` tells how often each prompt was asked, and how many requests were there at a time.
"""

import json
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL, CONTEXT = "small", 60
DELAY = 0.02
"""Seconds that an answer takes."""
WAYS = ("429", "500", "half a body", "no JSON", "no fields", "no text", "broken off", "nothing", "502")
LOCK = threading.Lock()
ASKED: Counter[str] = Counter()
SEEN: Counter[str] = Counter()
AT_ONCE = {"now": 0, "most": 0}
BODIES: list[dict[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    """Answers /<behaviour>/v1/models, /completions and /chat/completions."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/log":
            self._say(200, {"asked": ASKED, "most": AT_ONCE["most"], "bodies": BODIES})
        elif self.path == "/locked/v1/models" and self.headers.get("Authorization") != "Bearer secret":
            self._say(401, {"error": {"message": "no key"}})
        else:
            self._say(200, {"data": [{"id": MODEL, "max_model_len": CONTEXT, "owned_by": "vllm"}, {"id": "large"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        chat = self.path.endswith("/chat/completions")
        prompt = asked["messages"][0]["content"] if chat else " ".join(map(str, asked["prompt"]))
        behaviour = self.path.split("/")[1]
        with LOCK:
            ASKED[prompt] += 1
            SEEN[behaviour] += 1
            attempt, number = ASKED[prompt], SEEN[behaviour]
            AT_ONCE["now"] += 1
            AT_ONCE["most"] = max(AT_ONCE.values())
            if len(BODIES) < 4:
                BODIES.append(asked)
        time.sleep(DELAY)
        with LOCK:
            AT_ONCE["now"] -= 1
        text = f"{prompt}|{asked['seed']}"
        written = {"message": {"content": text}} if chat else {"text": text}
        answer = {
            "model": MODEL, "choices": [written | {"finish_reason": "stop" if asked["max_tokens"] > 5 else "length"}],
            "usage": {"prompt_tokens": len(prompt.split()), "completion_tokens": asked["max_tokens"]},
        }  # fmt: skip
        behave = getattr(self, f"_{behaviour}", None)
        if behave is None or not behave(prompt, attempt, number, answer):
            self._say(200, answer)

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""

    def _rough(self, prompt: str, attempt: int, number: int, answer: dict[str, Any]) -> bool:
        if attempt > 1:
            return False
        way = WAYS[int(prompt.split()[-1]) % len(WAYS)]
        choice = answer["choices"][0]
        if way.isdigit():
            self._say(int(way), {"error": {"message": "try again"}})
        elif way == "half a body":
            self._say(200, answer, lost=20)
        elif way == "no JSON":
            self._say(200, "<html>")
        elif way == "no fields":
            self._say(200, {"model": MODEL, "choices": []})
        elif way == "no text":
            self._say(200, answer | {"choices": [choice | {"message": {"content": None}, "text": None}]})
        elif way == "nothing":
            time.sleep(3)
        self.close_connection = True
        return True

    def _busy(self, prompt: str, attempt: int, number: int, answer: dict[str, Any]) -> bool:
        if number <= 3:
            self._say(429, {"error": "slow down"}, headers={"Retry-After": "1"})
        return number <= 3

    def _other(self, prompt: str, attempt: int, number: int, answer: dict[str, Any]) -> bool:
        if number > 3:
            self._say(200, answer | {"model": "large"})
        return number > 3

    def _silent(self, prompt: str, attempt: int, number: int, answer: dict[str, Any]) -> bool:
        if number > 3:
            time.sleep(60)
        return number > 3

    def _picky(self, prompt: str, attempt: int, number: int, answer: dict[str, Any]) -> bool:
        if "poison" in prompt:
            self._say(500, {"error": {"message": "cannot digest this"}})
        elif len(prompt) > 100:
            self._say(400, {"error": {"message": f"{len(prompt)} characters are too long"}})
        return "poison" in prompt or len(prompt) > 100

    def _refusing(self, prompt: str, attempt: int, number: int, answer: dict[str, Any]) -> bool:
        self._say(422, {"object": "error", "message": "seed is not\nsupported"})
        return True

    def _say(self, status: int, content: Any, *, lost: int = 0, headers: dict[str, str] | None = None) -> None:
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) - lost])


class Server(ThreadingHTTPServer):
    """Takes as many connections as come."""

    request_queue_size = 256
    daemon_threads = True


if __name__ == "__main__":
    server = Server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
