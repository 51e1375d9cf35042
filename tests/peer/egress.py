"""Posts each request described on a line of standard input as secodadk's own egress strategy does.

``{"server": URL, "token": TOKEN, "verb": "http_get", "url": URL, "options": {...}}`` gives ``{"status": …, "text":
…}`` or ``{"error": …}``; ``auth`` in the options is a pair.
"""

import json
import sys

import httpx
from secodadk import SecodaIntegration
from secodadk.strats.custom import EgressServerNetworkCallStrategy


class Plain(SecodaIntegration):
    def extract(self):
        pass


for line in sys.stdin:
    question = json.loads(line)
    strategy = EgressServerNetworkCallStrategy(
        egress_server_url=question["server"], egress_server_token=question["token"]
    )
    options = question["options"]
    if "auth" in options:
        options["auth"] = httpx.BasicAuth(*options["auth"])
    made = Plain(credentials={}, network_call_strategy=strategy)
    try:
        reply = getattr(made, question["verb"])(question["url"], **options)
        answer = {"status": reply.status_code, "text": reply.text}
    except httpx.HTTPError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
