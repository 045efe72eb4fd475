"""A good client, alone and while 64 connections send bad tokens, each another one, as fast as they are answered.

The gate has one core, and both generators share the other. Turns without and with the flood alternate.
"""

import json
import os
import statistics
import time

from . import gate, load, questions, tokens

CONNECTIONS = 64
# More than are asked between two that are the same; no bad one is remembered anyhow.
BAD = 50_000
NEW = 20_000
# The flood begins before the turn that is measured, and ends after it.
MARGIN = 0.2
COLUMNS = [("quiet_p50", "p50 µs", "{:.0f}"), ("quiet_p99", "p99 µs", "{:.0f}"), ("p50", "p50 µs, flood", "{:.0f}"),
           ("p99", "p99 µs, flood", "{:.0f}"), ("ratio", "ratio of p99", "{:.2f}"), ("quiet_rate", "requests/s", "{:,.0f}"),
           ("rate", "requests/s, flood", "{:,.0f}"), ("flood", "bad tokens/s", "{:,.0f}"), ("busy", "of them 503", "{:.3f}")]
INTRODUCTION = """The gate on one core, both load generators on the other: a good client, quiet and while {bad} \
connections send bad tokens (ES256, well-formed, each with another signature). Each of the two took {turns} turns of \
{seconds} s, one after the other; figures are medians of the turns, the ratio is that of the medians."""


class Flood(load.Load):
    """The bad tokens. Both 401 and 503 are right answers."""

    def start(self, seconds):
        self.process.stdin.write(f"run {seconds}\n")
        self.process.stdin.flush()

    def end(self):
        return json.loads(self.process.stdout.readline())


def run(bench, report, only=None):
    known = bench.tokens(64)
    bad = bench.requests(bad_tokens(known.texts, BAD), from_nobody)
    clients = [("known tokens, 32 connections", 64, load.CONNECTIONS), ("known tokens, 1 connection", 64, 1),
               ("new tokens, 1 connection", NEW, 1)]
    rows = []
    for name, count, connections in clients:
        if not only or only in name:
            rows.append(one(bench, report, f"gate, {name}", bench.tokens(count), bad, connections))
    filled = INTRODUCTION.replace("{bad}", str(CONNECTIONS))
    report.table("flood", "A good client under a flood of bad tokens", rows, filled, COLUMNS, ("ratio", "ratio of p99"))
    return rows


def one(bench, report, name, made, bad, connections):
    with gate.gate(bench, made) as server, \
            load.Load(server, server.address, bench.requests(made.texts), connections) as good, \
            Flood(server, server.address, bad, CONNECTIONS, status=401) as flood:
        if len(made.texts) < NEW:
            load.warm(good, 64, 0.5)
        quiet, flooded, sent = [], [], []
        for _ in range(report.turns):
            quiet.append(good.run(report.seconds))
            flood.start(report.seconds + 2 * MARGIN)
            time.sleep(MARGIN)
            flooded.append(good.run(report.seconds))
            sent.append(flood.end())
    return row(name, quiet, flooded, sent)


def row(name, quiet, flooded, sent):
    median = lambda turns, of: statistics.median(map(of, turns))
    rate = lambda turn: turn["requests"] / turn["micros"] * 1e6
    found = {"name": name, "quiet_rate": median(quiet, rate), "rate": median(flooded, rate), "flood": median(sent, rate),
             "busy": sum(it["failed"] for it in sent) / sum(it["requests"] for it in sent)}
    for which in ("p50", "p99"):
        found |= {f"quiet_{which}": median(quiet, lambda it: it[which] / 1e3),
                  which: median(flooded, lambda it: it[which] / 1e3)}
    found["ratio"] = found["p99"] / found["quiet_p99"]
    print(f"  {found}", flush=True)
    return found


def bad_tokens(texts, count):
    """Good tokens, each time with another signature, which is checked in full before it is refused."""
    for number in range(count):
        signed = texts[number % len(texts)].rsplit(".", 1)[0]
        yield f"{signed}.{tokens.b64(os.urandom(64))}"


def from_nobody(token):
    """A request of which no gateway tells the client, so that each connection is a client."""
    fields = [it for it in (*questions.GATEWAY, *questions.BROWSER) if it[0] != "X-Forwarded-For"]
    return questions.http1(token, fields=fields)
