"""Cached validations beside a bare hyper server that sends the same headers."""

import contextlib

from . import gate, load, machine, questions
from .process import free_port


# Many and short: what else runs on the machine comes and goes within seconds.
TURNS = (85, 0.1)
# A server that uses so much of its core does not wait for the load.
BUSY = 0.95


def contenders(bench):
    """Names and what differs from a gate with an SQLite store, a policy of ten routes and 64 tokens over TCP."""
    tls = gate.certificate(bench.work)
    secure = {"LISTEN_TLS_CERT_FILE": str(tls[0]), "LISTEN_TLS_KEY_FILE": str(tls[1])}
    return [
        ("1 token", {"count": 1}),
        ("64 tokens", {}),
        ("64 tokens, another URL each time", {"ask": questions.http1_elsewhere}),
        ("6,000 tokens", {"count": 6_000}),
        ("6,000 tokens, Redis", {"count": 6_000, "store": "redis"}),
        ("100,000 tokens", {"count": 100_000}),
        ("100,000 tokens, Redis", {"count": 100_000, "store": "redis"}),
        ("64 tokens, no policy", {"routes": 0}),
        ("64 tokens, another URL each time, 10,000 routes", {"routes": 10_000, "ask": questions.http1_elsewhere}),
        ("64 tokens, Casbin with 1,000 rules", {"settings": gate.casbin(bench.folder(), 1_000, 64)}),
        ("64 tokens, Redis", {"store": "redis"}),
        ("64 tokens, HOT_LOOP=false", {"settings": {"HOT_LOOP": "false"}}),
        ("64 tokens, unix socket", {"listen": gate.unix}),
        ("64 tokens, h2c", {"streams": load.CALLS_AT_ONCE}),
        ("64 tokens, TLS", {"settings": secure, "ca": tls[0]}),
    ]


def run(bench, report, only=None):
    headers = bench.answered_headers()
    rows = []
    with gate.bare(bench, headers) as yardstick:
        requests = bench.requests(bench.tokens(64).texts)
        with load.Load(yardstick, yardstick.address, requests) as bare:
            load.warm(bare, 64, 0.5)
            for name, what in contenders(bench):
                if not only or only in name:
                    rows.append(one(bench, report, bare, f"gate, {name}", **what))
            rows += bare_rows(bench, report, bare, headers, only)
    if not only or "gRPC" in only:
        rows += grpc(bench, report, headers)
    report.table("hot", "Cached validations beside a bare hyper server", rows, f"{INTRODUCTION}\n\n{generator(rows)}",
                 picture=("ratio", "CPU beside its yardstick"))
    return rows


INTRODUCTION = """One core for the server, another one for the load: {connections} connections (HTTP/2: 2 connections with {calls} calls \
each). Each contender and the yardstick took {turns} turns of {seconds} s, one after the other. CPU is the lower \
quartile of the turns, `ratio` that of two lower quartiles; `of pairs` is the median of the ratios of neighbouring turns, which \
repeats better where the machine is not quiet. Requests/s and latencies are \
medians. `load` is the share of its core in which the load generator had something to do. The yardstick sends the headers of the gate's \
answer over TCP, also beside unix sockets, HTTP/2 and TLS. Tokens: ES256, {length} bytes, each with a session; they are \
asked in turn, each with the same URL and headers but for its X-Request-Id, which is another one each time. The gate \
has a policy of ten routes and CACHE_BYTES=1073741824, where the name says nothing else. Each \
session in use is read again once in 60 to 80 s."""


def generator(rows):
    """Names the rows in which the load generator was the bottleneck: there a server had less to do than it could."""
    waiting = [f"{it['name']} ({it['share']:.2f})" for it in rows if it["share"] < BUSY]
    if waiting:
        return f"The load generator was the bottleneck where the server used less than {BUSY} of its core: {', '.join(waiting)}."
    return f"The load generator was not the bottleneck: each server used at least {min(it['share'] for it in rows):.2f} of its core."


def one(bench, report, bare, name, count=64, streams=0, ca=None, ask=None, **what):
    """A gate in turns with the yardstick."""
    made = bench.tokens(count)
    requests = bench.requests(made.texts, ask or (questions.http2 if streams else questions.http1))
    connections = 2 if streams else load.CONNECTIONS
    with gate.gate(bench, made, **what) as server:
        if ca:
            server.address = server.address.replace("localhost", "127.0.0.1")
        with load.Load(server, server.address, requests, connections, streams, ca) as subject:
            load.warm(subject, count, 0.5)
            mine, base = load.interleave([subject, bare], report.turns, report.seconds)
        return report.row(name, mine, base, memory=server.memory())


def bare_rows(bench, report, bare, headers, only):
    """The yardstick against itself, which says how far from 1.00 chance alone leads, and over the other transports."""
    made, rows = bench.tokens(64), []
    for name, listen, streams in [("bare hyper again (noise)", None, 0), ("bare hyper, unix socket", gate.unix, 0),
                                  ("bare hyper, h2c", None, load.CALLS_AT_ONCE)]:
        if only and only not in name:
            continue
        requests = bench.requests(made.texts, questions.http2 if streams else questions.http1)
        with gate.bare(bench, headers, listen, http2=bool(streams)) as server, \
                load.Load(server, server.address, requests, 2 if streams else load.CONNECTIONS, streams) as subject:
            load.warm(subject, 64, 0.5)
            mine, base = load.interleave([subject, bare], report.turns, report.seconds)
            rows.append(report.row(name, mine, base, memory=server.memory()))
    return rows


def grpc(bench, report, headers):
    """ext_authz over gRPC: the gate beside a bare tonic server."""
    made, port = bench.tokens(64), free_port()
    requests = bench.requests(made.texts, questions.check)
    bare, binary = f"127.0.0.1:{free_port()}", machine.grpc_binary()
    command = [binary, "--listen", bare, *headers]
    listen = f"127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        tonic = stack.enter_context(gate.Server("tonic", command, [bare], bench.folder()))
        server = stack.enter_context(gate.gate(bench, made, settings={"EXT_AUTHZ_LISTEN": listen}))
        loads = [stack.enter_context(load.Load(whose, address, requests, 2, load.CALLS_AT_ONCE))
                 for whose, address in ((server, listen), (tonic, bare))]
        for it in loads:
            load.warm(it, 64, 0.5)
        mine, base = load.interleave(loads, report.turns, report.seconds)
        return [report.row("gate, 64 tokens, ext_authz (beside bare tonic)", mine, base, memory=server.memory()),
                report.row("bare tonic, ext_authz", base, base, memory=tonic.memory())]
