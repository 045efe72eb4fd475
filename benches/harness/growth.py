"""How cost and memory of a cached request grow with what there is: one figure changes, all others stay as they are.

Each point is a gate of its own in turns with the bare server, as in `hot`; the ratio of both is not moved by the machine's
drift. The gate that is compared with has 64 tokens, as many sessions, ten routes, one key, one issuer and 32 connections.
"""

import json
from collections.abc import Callable
from typing import NamedTuple

from . import gate, load, machine, questions, tokens

COLUMNS = [("cpu", "CPU µs/request", "{:.2f}"), ("ratio", "ratio", "{:.2f}"), ("pairs", "of pairs", "{:.2f}"),
           ("rate", "requests/s", "{:,.0f}"),
           ("p99", "p99 µs", "{:.0f}"), ("load", "load", "{:.2f}"), ("memory", "MiB", "{:.1f}")]
INTRODUCTION = """The gate has core {server_core}, the load core {load_core}. CPU is the lower quartile of {turns} turns of {seconds} s, \
the ratio is that beside a bare hyper server whose turns alternate with them ({connections} connections, always), and \
`of pairs` is the median of the ratios of neighbouring turns: the curves show that, since it moves least with the machine; \
requests/s and p99 are medians, `load` is the share of its core in which the load generator had something to do, MiB is the gate's resident \
memory afterwards. With two cores the gate shares one with the load: its CPU a request stands, its rate is not what two \
cores serve. A dashed line is memory."""


class Chapter(NamedTuple):
    """A figure that changes; `differs` says what a gate and its load have for a value of it."""

    name: str
    title: str
    # The largest are left out by --quick.
    values: list
    differs: Callable


def run(bench, report, only=None):
    """All points are measured against one bare server."""
    chosen = [it for it in CHAPTERS if not only or only in it.name]
    measured = []
    with gate.bare(bench, bench.answered_headers()) as yardstick, \
            load.Load(yardstick, yardstick.address, bench.requests(bench.tokens(64).texts)) as bare:
        load.warm(bare, 64, 0.5)
        for chapter in chosen:
            machine.say(chapter.title)
            values = chapter.values[:3] if report.quick else chapter.values
            measured.append((chapter.name, chapter.title, [point(bench, report, bare, chapter, it) for it in values]))
    report.chapters("growth", "Growth", measured, INTRODUCTION, COLUMNS, ("pairs", "CPU beside a bare hyper server"))


def point(bench, report, bare, chapter, value):
    what = {"made": None, "connections": load.CONNECTIONS, "started": {}, "ask": questions.http1, "owns_core": True}
    what |= chapter.differs(bench, value)
    made = what["made"] or bench.tokens(64)
    requests = bench.requests(made.texts, what["ask"])
    with gate.gate(bench, made, **what["started"]) as server, \
            load.Load(server, server.address, requests, what["connections"]) as subject:
        load.warm(subject, len(made.texts), 0.5)
        mine, base = load.interleave([subject, bare], report.turns, report.seconds, what["owns_core"])
        return report.row(f"{value:,}", mine, base, memory=server.memory()) | {"value": value}


# --- what differs ------------------------------------------------------------------------------------------------


def with_tokens(bench, count):
    return {"made": bench.tokens(count)}


def with_rereads(bench, count):
    return {"made": bench.tokens(count), "started": {"store": "redis, RESP2"}}


def with_sessions(bench, count):
    return {"started": {"more_sessions": count - 64}}


def with_routes(_bench, count):
    # A head that comes again would be answered without a look at the routes.
    return {"started": {"routes": count}, "ask": questions.http1_elsewhere}


def with_connections(_bench, count):
    return {"connections": count}


def with_cores(_bench, count):
    cores = [machine.SERVER_CORE, machine.LOAD_CORE][:count]
    return {"started": {"core": ",".join(cores)}, "owns_core": machine.LOAD_CORE not in cores}


def with_bytes(bench, length):
    return {"made": bench.tokens(64, length=length)}


def with_keys(bench, count):
    """A published set of keys; each signs tokens in turn."""
    keys = [tokens.Key(bench.work, name=f"key-{it}") for it in range(count)]
    made = tokens.Tokens(bench.key, 64, signers=keys)
    file = bench.folder() / "jwks.json"
    file.write_text(json.dumps({"keys": [it.jwk() for it in keys]}))
    return {"made": made, "started": {"keys_elsewhere": True, "settings": {"JWKS_FILE": str(file)}}}


def with_issuers(bench, count):
    """A file of settings with an issuer in each table, all of one key."""
    table = '[[issuers]]\nissuer = "{name}"\nsession_rule = "required"\n[[issuers.keys]]\nalgorithm = "ES256"\npublic_key_file = "{key}"\n'
    names = [f"https://issuer-{it}.example.com" for it in range(count)]
    file = bench.folder() / "portcullis.toml"
    file.write_text("".join(table.format(name=it, key=bench.key.public) for it in names))
    made = bench.tokens(64, issuer=names[-1])
    return {"made": made, "started": {"keys_elsewhere": True, "settings": {"CONFIG": str(file)}}}


CHAPTERS = [
    Chapter("tokens", "Tokens in turn, each with a session (SQLite)", [1, 64, 1_000, 10_000, 100_000], with_tokens),
    Chapter("rereads", "Tokens in turn, whose sessions are read again within 5 seconds (Redis over RESP2, which tells of no change)",
            [1, 64, 1_000, 10_000, 20_000], with_rereads),
    Chapter("sessions", "Sessions in the store (SQLite), of which 64 are asked for", [100, 1_000, 10_000, 100_000, 1_000_000],
            with_sessions),
    Chapter("routes", "Routes of the policy (another URL each time)", [1, 10, 100, 1_000, 10_000], with_routes),
    Chapter("keys", "Keys of the issuer, which signed the 64 tokens in turn", [1, 4, 16, 64], with_keys),
    Chapter("issuers", "Issuers, of which the last signed the tokens", [1, 10, 100, 1_000], with_issuers),
    Chapter("connections", "Connections", [10, 100, 1_000, 10_000], with_connections),
    Chapter("cores", "Cores of the gate", [1, 2], with_cores),
    Chapter("bytes", "Bytes of a token", [300, 716, 1_024, 2_048, 4_096, 8_100], with_bytes),
]
