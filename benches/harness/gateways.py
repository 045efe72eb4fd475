"""Gateways alone, with Portcullis, and with what they have themselves.

A gateway and the gate that it asks share one core, and the load has the other: whoever runs both on one machine pays for
both, so the sum of their processor time is the price of a request, and requests/s is what one core serves. The kernel's
counters (schedstat) tell the two apart. All contenders of a table run at once and take turns, so that drift meets all.
"""

import contextlib
import functools

from . import gate, load, machine, questions, tokens
from .contenders import caddy, envoy, haproxy, jwthenticator, nginx, traefik
from .process import free_port

PATH = "/reports/7?full=1"
COLUMNS = [("gateway", "gateway µs", "{:.1f}"), ("judge", "judge µs", "{:.1f}"), ("cpu", "sum µs", "{:.1f}"),
           ("added", "added µs", "{:+.1f}"), ("ratio", "beside bare hyper", "{:.2f}"), ("pairs", "of pairs", "{:.2f}"),
           ("rates", "rate of pairs", "{:.2f}"), ("rate", "requests/s", "{:,.0f}"),
           ("p50", "p50 µs", "{:.0f}"), ("p99", "p99 µs", "{:.0f}"), ("load", "load", "{:.2f}"), ("memory", "MiB", "{:.0f}")]
INTRODUCTION = """A browser's requests over {connections} connections, with 64 tokens in turn (ES256, {length} bytes, each with a session; \
jwthenticator and the gate beside it: RS256 and its own claims, no sessions). The gateway answers them itself, with no \
app behind it. It has one thread, and shares its core with the judge: Portcullis, or a bare hyper server that says yes \
with the same headers. The load has the other core. CPU of each process a request is the lower quartile of {turns} turns \
of {seconds} s, which all contenders of one gateway take in turn; `added` is the sum without that of the gateway alone, \
and `beside bare hyper` is the sum beside that of the same gateway with the bare server. `of pairs` and `rate of pairs` \
are the medians of the ratios of neighbouring turns: of the sums, and of requests/s, of which more is better."""
# Many and short: what else runs on the machine comes and goes within seconds.
TURNS = (35, 0.2)


def asked_gate(bench, stack, listen=None, grpc=False):
    """A gate, and the address where a gateway asks it."""
    at = f"127.0.0.1:{free_port()}" if grpc else None
    settings = {"EXT_AUTHZ_LISTEN": at} if grpc else None
    server = stack.enter_context(gate.gate(bench, bench.tokens(64), listen=listen, settings=settings))
    return server, at or server.address


def asked_bare(bench, stack, listen=None):
    server = stack.enter_context(gate.bare(bench, bench.answered_headers(), listen=listen))
    return server, server.address


def asking(start, judge, **more):
    """A gateway that asks a judge which is started for it alone."""
    def both(bench, stack):
        server, address = judge(bench, stack)
        return [stack.enter_context(start(bench, asked=address, **more)), server]
    return both


def alone(start, **more):
    return lambda bench, stack: [stack.enter_context(start(bench, **more))]


over_unix = {"listen": gate.unix}
gate_unix, bare_unix = functools.partial(asked_gate, **over_unix), functools.partial(asked_bare, **over_unix)
gate_grpc = functools.partial(asked_gate, grpc=True)


def nginx_contenders():
    found = {"nginx alone": alone(nginx.start)}
    for kept, keepalive in (("keep-alive", True), ("no keep-alive", False)):
        for transport, bare, own in (("TCP", asked_bare, asked_gate), ("unix socket", bare_unix, gate_unix)):
            for judge, name in ((bare, "bare hyper"), (own, "Portcullis")):
                found[f"nginx, {name}, {transport}, {kept}"] = asking(nginx.start, judge, keepalive=keepalive)
    return found


def groups():
    """Contenders that take turns; the first of each is the gateway alone."""
    return [
        nginx_contenders(),
        {
            "Envoy alone": alone(envoy.start),
            "Envoy, its jwt_authn": alone(envoy.start, verify=True),
            "Envoy, its jwt_authn with its cache": alone(envoy.start, verify=True, cached=True),
            "Envoy, ext_authz HTTP, bare hyper": asking(envoy.start, asked_bare),
            "Envoy, ext_authz HTTP, Portcullis": asking(envoy.start, asked_gate),
            "Envoy, ext_authz HTTP, Portcullis, unix socket": asking(envoy.start, gate_unix),
            "Envoy, ext_authz gRPC, Portcullis": asking(envoy.start, gate_grpc, grpc=True),
        },
        {
            "HAProxy alone": alone(haproxy.start),
            "HAProxy, its jwt_verify": alone(haproxy.start, verify=True),
            "HAProxy, bare hyper": asking(haproxy.start, asked_bare),
            "HAProxy, Portcullis": asking(haproxy.start, asked_gate),
            "HAProxy, Portcullis, unix socket": asking(haproxy.start, gate_unix),
        },
        {
            "Caddy alone": alone(caddy.start),
            "Caddy, bare hyper": asking(caddy.start, asked_bare),
            "Caddy, Portcullis": asking(caddy.start, asked_gate),
            "Caddy, Portcullis, unix socket": asking(caddy.start, gate_unix),
        },
        {
            "Traefik alone": alone(traefik.start),
            "Traefik, bare hyper": asking(traefik.start, asked_bare),
            "Traefik, Portcullis": asking(traefik.start, asked_gate),
        },
    ]


class Together:
    """Servers that answer one request together; the first of them is the gateway."""

    def __init__(self, servers):
        self.servers = servers
        self.address = servers[0].address

    def cpus(self):
        return [it.cpu() for it in self.servers]

    def memory(self):
        return sum(it.memory() for it in self.servers)

    def lost(self, why):
        self.servers[0].lost(why)


def run(bench, report, only=None):
    rows = []
    for contenders in groups():
        chosen = {name: it for name, it in contenders.items() if not only or only in name}
        if chosen:
            # Without the gateway alone there is nothing to compare with.
            first = next(iter(contenders))
            rows += measure(bench, report, {first: contenders[first]} | chosen)
    if not only or only in "jwthenticator":
        rows += without_gateway(bench, report)
    report.table("gateways", "Gateways", rows, INTRODUCTION, COLUMNS, ("cpu", "CPU µs a request, gateway and judge"))
    return rows


def measure(bench, report, contenders, texts=None, **encoded):
    """All of one gateway in turns."""
    encode = functools.partial(questions.http1, **({"path": PATH, "fields": questions.BROWSER} | encoded))
    requests = bench.requests(texts or bench.tokens(64).texts, encode)
    with contextlib.ExitStack() as stack:
        together = [Together(start(bench, stack)) for start in contenders.values()]
        loads = [stack.enter_context(load.Load(it, it.address, requests)) for it in together]
        for it in loads:
            load.warm(it, 64, 0.3)
        figures = load.interleave(loads, report.turns, report.seconds)
        rows = [row(name, it, servers) for name, it, servers in zip(contenders, figures, together)]
    compare(rows, figures)
    for it in rows:
        machine.say("  ".join([f"{it['name']:46}", *(form.format(it[key]) for key, _, form in COLUMNS if it.get(key) is not None)]))
    return rows


def row(name, figures, together):
    judge = figures.cpus[1] if len(figures.cpus) > 1 else None
    return {"name": name, "gateway": figures.cpus[0], "judge": judge, "cpu": figures.cpu, "rate": figures.rate,
            "p50": figures.p50, "p99": figures.p99, "load": figures.load, "memory": together.memory() / (1 << 20)}


def compare(rows, figures):
    """What each adds to the gateway alone, and how Portcullis stands beside the bare server at the same place."""
    by_name = {it["name"]: its for it, its in zip(rows, figures)}
    for it, mine in list(zip(rows, figures))[1:]:
        it["added"] = mine.cpu - figures[0].cpu
        bare = by_name.get(it["name"].replace("Portcullis", "bare hyper"))
        if bare and bare is not mine:
            it["ratio"] = mine.cpu / bare.cpu
            it["pairs"] = load.of_pairs(mine.each, bare.each)
            it["rates"] = load.of_pairs(mine.rates, bare.rates)


def without_gateway(bench, report):
    """jwthenticator beside Portcullis, asked as nginx asks."""
    key = tokens.Key(bench.work, "RS256", "rsa")
    made = tokens.WithoutSessions(key, jwthenticator.claims(64))
    contenders = {
        "Portcullis, asked directly, RS256": lambda bench, stack: [
            stack.enter_context(gate.gate(bench, made, key=key, routes=0, settings={"ISSUER": ""}))],
        "jwthenticator, asked directly, RS256": lambda bench, stack: [stack.enter_context(jwthenticator.start(bench, key))],
    }
    rows = measure(bench, report, contenders, made.texts, path=questions.AUTH_PATH,
                   fields=(*questions.GATEWAY, *questions.BROWSER))
    for it in rows:
        it["judge"], it["gateway"], it["added"] = it["gateway"], None, None
    return rows
