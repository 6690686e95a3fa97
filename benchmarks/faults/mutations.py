"""`python -m benchmarks.faults.mutations [--requests N] [--seed S]`: random and mutated requests; none may be a defect.

Each begins as a request that is right and is bent: bytes flipped, dropped, doubled, swapped for awkward ones, in path,
query, headers or body. Printed: how many answers of each status. A 5xx fails, and so does an answer that never comes.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import uuid
from collections import Counter

from benchmarks.faults.town import SURFACE, Client, Town, town

AWKWARD = (b"\x00", b"\xff\xfe", b"%00", b"%ff", b"../", b"'", b'"', b"<", b"\xc3\x28", b"9" * 400, b"-1", b"e+9",
           "𝕏".encode(), b"[[[[", b"{", b"null", b"?", b"&", b"=", b";", b"%", b"\t")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.mutations", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with town(args.seed) as place:
        found, shown = run(place, args.requests, args.seed)
    sys.stdout.write("| status | answers |\n|---|---|\n")
    for status, count in sorted(found.items()):
        sys.stdout.write(f"| {({0: 'connection closed', -1: 'none in time'}).get(status, status)} | {count:,} |\n")
    for request in shown:
        sys.stderr.write(f"{request!r}\n")
    return int(bool(shown))


def run(place: Town, requests: int, seed: int) -> tuple[Counter[int], list[bytes]]:
    """How many answers of each status, and the requests that were answered by a 5xx or not at all."""
    rng, client, found, shown = random.Random(seed), Client(place.port), Counter[int](), []
    for _ in range(requests):
        request = bent(rng, *right(rng, place))
        status = client.ask(request)[0]
        found[status] += 1
        if status >= 500 or status == -1:
            shown.append(request)
    return found, shown


def right(rng: random.Random, place: Town) -> tuple[bytes, bytes, bytes]:
    """Method, target and body of a request that is right."""
    owner, at = rng.choice(place.owners), f"/api/recommendations/{SURFACE}"
    event = {"event_id": str(uuid.UUID(int=rng.getrandbits(128))), "user_id": owner, "startup_id": owner,
             "type": "click", "at": "2024-05-01T00:00:00Z"}
    kind = rng.randrange(6)
    if kind == 0:
        return b"POST", f"{at}/many".encode(), json.dumps({"ids": [owner]}).encode()
    if kind == 1:
        return b"POST", b"/api/events", json.dumps({"events": [event]}).encode()
    if kind == 2:
        return b"GET", f"/api/explain/{SURFACE}/{owner}?item={owner}".encode(), b""
    if kind == 3:
        return b"GET", f"/api/find/{SURFACE}/owners?q=ab".encode(), b""
    return b"GET", f"{at}/{owner}?limit=10&offset=0&category=a&exclude={owner}".encode(), b""


def bent(rng: random.Random, method: bytes, target: bytes, body: bytes) -> bytes:
    """The request with one to four places bent; its length is told rightly, so that an answer is due."""
    parts = {"target": bytearray(target), "body": bytearray(body), "header": bytearray(b"application/json")}
    for _ in range(rng.randint(1, 4)):
        part = parts[rng.choice(("target", "target", "body", "header") if body else ("target", "target", "header"))]
        place = rng.randrange(len(part) + 1)
        change = rng.randrange(4)
        if change == 0:
            part[place:place] = rng.choice(AWKWARD)
        elif change == 1:
            del part[place : place + rng.randint(1, 8)]
        elif change == 2:
            part[place : place + 1] = rng.randbytes(1)
        else:
            part[place:place] = part[max(0, place - 5) : place]
    header, path = (bytes(parts[p]).translate(None, b"\r\n") for p in ("header", "target"))
    head = method + b" " + path.replace(b" ", b"%20") + b" HTTP/1.1\r\nHost: x\r\nContent-Type: " + header
    return head + f"\r\nContent-Length: {len(parts['body'])}\r\n\r\n".encode() + bytes(parts["body"])


if __name__ == "__main__":
    raise SystemExit(main())
