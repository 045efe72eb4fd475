"""Costs of a gate: of an answer from memory, of one that reads the session again, of a new token, of an invalidation."""

import contextlib
import time

from harness import gate, load, questions, tokens

NEVER = "3600"


def measure(bench, quick):
    seconds, few, many = (0.5, 64, 1_000) if quick else (2, 64, 20_000)
    found = {}
    with filled(bench, few, SESSION_STALENESS=NEVER) as (server, subject, _, _):
        load.warm(subject, few, 0.5)
        turns = [subject.run(seconds) for _ in range(5)]
        found["cached_request_us"] = per_request(turns, "cpu")
    with filled(bench, few, SESSION_STALENESS="0") as (server, subject, store, _):
        load.warm(subject, few, 0.5)
        before = store.cpu()
        turns = [subject.run(seconds) for _ in range(5)]
        asked = sum(it["requests"] for it in turns)
        found["reread_request_us"] = per_request(turns, "cpu")
        found["redis_read_us"] = round((store.cpu() - before) / asked / 1e3, 2)
    with filled(bench, many, SESSION_STALENESS=NEVER) as (server, subject, _, _):
        empty = server.memory()
        first = subject.ask(many)
        found["new_token_us"] = per_request([first], "cpu")
        found["decision_bytes"] = round((server.memory() - empty) / many)
    with filled(bench, few, SESSION_STALENESS=NEVER) as (server, _, _, client):
        found["invalidation_us"] = invalidations(server, client, 5_000 if quick else 50_000)
    return found


def per_request(turns, what):
    return round(load.lower_quartile(it[what] / it["requests"] / 1e3 for it in turns), 2)


@contextlib.contextmanager
def filled(bench, count, **settings):
    """A gate whose sessions are in Redis, its load, the Redis and a client of that."""
    made = bench.tokens(count)
    with gate_at_redis(bench, made, settings) as (server, store):
        # As behind a gateway whose clients ask for nothing twice.
        requests = bench.requests(made.texts, questions.http1_elsewhere)
        client = tokens.Redis(store.port)
        client.call("SELECT", tokens.SESSION_DATABASE)
        with load.Load(server, server.address, requests) as subject:
            yield server, subject, store, client


@contextlib.contextmanager
def gate_at_redis(bench, made, settings):
    with contextlib.ExitStack() as stack:
        store = gate.start_redis(bench.folder())
        stack.callback(store.stop)
        url = f"redis://127.0.0.1:{store.port}"
        env = {"ALGORITHM": made.key.algorithm, "DB_URL": url, "DATA_DIR": str(bench.folder())}
        made.into_redis(bench.gate, env, store.port)
        server = stack.enter_context(gate.gate(bench, made, settings={"DB_URL": url, **settings}))
        yield server, store


def invalidations(server, client, count):
    """The microseconds of a gate for one key that it is told of, 10,000 of them a second in batches as Redis makes them."""
    idle = server.cpu()
    time.sleep(1)
    idle = server.cpu() - idle
    batch, began = 50, time.monotonic()
    before = server.cpu()
    for at in range(0, count, batch):
        client.pipeline([["HSET", f"portcullis:session:{it:022}", "user", "x"] for it in range(at, at + batch)])
        time.sleep(max(0, began + (at + batch) / 10_000 - time.monotonic()))
    time.sleep(0.2)
    took = time.monotonic() - began
    return round((server.cpu() - before - idle * took) / count / 1e3, 2)
