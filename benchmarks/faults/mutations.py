"""`python -m benchmarks.faults.mutations [--requests N] [--seed S]`: random and mutated requests to the reader.

Each starts as a valid request. Then bytes in path, query, headers or body are flipped, dropped, doubled or replaced.
Printed: answers by status. A 5xx or a missing answer is a failure.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence

from benchmarks.faults.town import SURFACE, Client, Town, town

AWKWARD = (
    b"\x00",
    b"\xff\xfe",
    b"%00",
    b"%ff",
    b"../",
    b"'",
    b'"',
    b"<",
    b"\xc3\x28",
    b"9" * 400,
    b"-1",
    b"e+9",
    "𝕏".encode(),
    b"%ED%A0%80",
    b"NaN",
    b"\\ud800",
    b"1e400",
    b"//",
    b"[[[[",
    b"{",
    b"null",
    b"?",
    b"&",
    b"=",
    b";",
    b"%",
    b"\t",
)
#: Replacements for a body.
BODIES = (
    b"[" * 60_000,
    b'{"a":' * 12_000,
    b"9" * 5_000,
    b'{"ids":[NaN]}',
    b'{"ids":["\\ud800"]}',
    b"\xff\xfe{",
    b"",
    b'{"ids":' + b"[" * 900 + b"]" * 900 + b"}",
    gzip.compress(b'{"events":[]}'),
    b"a" * 70_000,
)
METHODS = (b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"TRACE", b"PURGE", b"A" * 300, b"get", b"CONNECT")
#: Additional header lines.
HEADERS = (
    b"Content-Encoding: gzip",
    b"If-None-Match: \xff",
    b"X-API-Key: " + b"k" * 4_000,
    b"Cookie: \xe9=;;",
    b"X: " * 500,
    b"Host: [::1",
    b"Range: bytes=0-",
    b"Accept: " + b"a/b," * 1_000,
    b"Upgrade: websocket",
)


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
    """Count answers by status; also return the requests with a 5xx or no answer."""
    client, found, shown = Client(place.port), Counter[int](), []
    for request in raw_requests(random.Random(seed), place.owners, requests):
        status = client.ask(request)[0]
        found[status] += 1
        if status >= 500 or status == -1:
            shown.append(request)
    return found, shown


def raw_requests(rng: random.Random, owners: Sequence[str], n: int) -> Iterator[bytes]:
    return (bent(rng, *right(rng, owners)) for _ in range(n))


def right(rng: random.Random, owners: Sequence[str]) -> tuple[bytes, bytes, bytes]:
    """Return method, target and body of a valid request."""
    owner, at = rng.choice(owners), f"/api/recommendations/{SURFACE}"
    event = {
        "event_id": str(uuid.UUID(int=rng.getrandbits(128))),
        "user_id": owner,
        "startup_id": owner,
        "type": "click",
        "at": "2024-05-01T00:00:00Z",
    }
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
    """Mutate a request one to four times. Its Content-Length stays right, so that an answer is due."""
    if body and rng.random() < 0.1:
        body = rng.choice(BODIES)
    if rng.random() < 0.05:
        method = rng.choice(METHODS)
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
    head += b"\r\n" + rng.choice(HEADERS) if rng.random() < 0.2 else b""
    told = bytes(parts["body"])
    if rng.random() < 0.1:
        return (
            head
            + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"%x\r\n%b\r\n" * bool(told) % ((len(told), told) if told else ())
            + b"0\r\n\r\n"
        )
    return head + f"\r\nContent-Length: {len(told)}\r\n\r\n".encode() + told


if __name__ == "__main__":
    raise SystemExit(main())
