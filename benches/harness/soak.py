"""One gate for a long time, at a rate that leaves room: what does it hold, and what does a request cost, minute by minute?

Each minute has tokens of its own, so that the cache turns over. In each, some sessions of the minute before are revoked by
the gate's own command, and their tokens, which were let pass before, must then be refused.
"""

import concurrent.futures
import os
import subprocess
import time
import urllib.request

from . import gate, load, machine, questions, tokens

MINUTES = int(os.environ.get("SOAK", "60"))
RATE = int(os.environ.get("RATE", "2000"))
TOKENS = 2_000
REVOKED = 200
CONNECTIONS = 16
STALENESS = 5
COLUMNS = [("requests", "requests", "{:,}"), ("cpu", "CPU µs/request", "{:.2f}"), ("p50", "p50 µs", "{:.0f}"), ("p99", "p99 µs", "{:.0f}"),
           ("p999", "p99.9 µs", "{:.0f}"), ("memory", "MiB", "{:.1f}"), ("descriptors", "descriptors", "{}"),
           ("entries", "decisions in the cache", "{:,}"), ("revoked", "revoked and refused", "{:,}")]
INTRODUCTION = f"""One gate with SQLite; CACHE_BYTES and SESSION_STALENESS are as by default. {RATE:,} requests a second over {CONNECTIONS} \
connections. Each minute has {TOKENS:,} new tokens with sessions of their own; in each, {REVOKED:,} sessions of the \
minute before are revoked by `portcullis session revoke`, and {STALENESS} seconds later their tokens are asked \
again: none may be let pass then. The dashed line is the resident memory."""


def run(bench, report, _only=None):
    minutes, seconds = (3, 10) if report.quick else (MINUTES, 60)
    settings = {"CACHE_BYTES": str(64 << 20), "SESSION_STALENESS": str(STALENESS)}
    rows, made = [], Batch(bench)
    with gate.gate(bench, made.tokens, settings=settings) as server:
        for number in range(1, minutes + 1):
            before, made = made, made if number == 1 else Batch(bench, server)
            rows.append({"name": str(number), "value": number} | minute(bench, server, made, before, seconds))
            machine.say(" ".join(f"{key} {value}" for key, value in rows[-1].items() if key not in ("name", "value")))
    report.chapters("soak", "Soak", [("minutes", "Minute by minute", rows)], INTRODUCTION, COLUMNS, logarithmic=False)


class Batch:
    """The tokens of one minute; their sessions go into the store of a gate that runs."""

    def __init__(self, bench, server=None):
        self.tokens = tokens.Tokens(bench.key, TOKENS)
        if server:
            tokens.insert(server.env["DB_URL"].removeprefix("sqlite:"), self.tokens.rows())


def minute(bench, server, made, before, seconds):
    """The load of a minute, and meanwhile the revocations."""
    requests = bench.requests(made.tokens.texts)
    with load.Load(server, server.address, requests, CONNECTIONS) as asked, concurrent.futures.ThreadPoolExecutor() as beside:
        revoked = beside.submit(revoke, bench, server, before) if before is not made else None
        result = asked.pace(seconds, RATE)
        refused = revoked.result() if revoked else 0
    return {"requests": result["requests"], "cpu": result["cpu"] / result["requests"] / 1e3,
            **{name: result[name] / 1e3 for name in ("p50", "p99", "p999")},
            "memory": server.memory() / (1 << 20), "descriptors": server.descriptors(),
            "entries": metric(server, "portcullis_cache_entries"), "revoked": refused}


def revoke(bench, server, before):
    """Ends sessions whose tokens are in the cache; how many of them are refused then."""
    with gate.Asker(server.address) as asker:
        texts = before.tokens.texts[:REVOKED]
        if any(asker.status(questions.http1(it)) != 200 for it in texts):
            server.lost("refuses a good token")
        env = {**server.env, "ALGORITHM": bench.key.algorithm}
        command = [bench.gate, "session", "revoke", "--", *before.tokens.sessions[:REVOKED]]
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        if done.returncode:
            machine.die(f"session revoke: {done.stderr}")
        time.sleep(STALENESS)
        refused = sum(asker.status(questions.http1(it)) == 401 for it in texts)
    if refused < REVOKED:
        server.lost(f"lets {REVOKED - refused} revoked sessions pass")
    return refused


def metric(server, name):
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(f"{name} "):
                return int(float(line.split()[1]))
    machine.die(f"no metric {name}")
