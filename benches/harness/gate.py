"""The gate and the bare server, as contenders."""

import contextlib
import pathlib
import socket
import subprocess

from . import machine, questions, tokens
from .process import Server, free_port

ROUTES = 10


class Bench:
    """What the parts of one run share: a folder, the binaries, a key, and tokens, each made when first asked for."""

    def __init__(self, work):
        self.work = pathlib.Path(work)
        self.gate = None  # the binary that the part at hand measures
        self.bare = machine.tool_path("bare_server")
        self.key = tokens.Key(self.work)
        self.made, self.headers = {}, []
        self.count = 0

    def tokens(self, count, **more):
        name = (count, *sorted(more.items()))
        if name not in self.made:
            if count > 10_000:
                machine.say(f"signing {count} tokens")
            self.made[name] = tokens.Tokens(self.key, count, **more)
        return self.made[name]

    def requests(self, texts, encode=questions.http1):
        self.count += 1
        return questions.write(self.work / f"requests-{self.count}", map(encode, texts))

    def answered_headers(self):
        """What a bare server sends in the gate's place; asked once a run."""
        if not self.headers:
            self.headers = headers_of_yes(self)
        return self.headers

    def folder(self):
        self.count += 1
        folder = self.work / f"server-{self.count}"
        folder.mkdir()
        return folder


def policy(path, routes, require='{ scopes = ["report:read"] }'):
    """Routes of which the last is the one that is asked for, with a demand."""
    others = "".join(f'[[route]]\nhost = "app.example.com"\npath = "/service{it}/items/{{item}}"\n' for it in range(1, routes))
    path.write_text(f'{others}[[route]]\nhost = "app.example.com"\npath = "/reports/{{report}}"\nrequire = {require}\n')
    return path


CASBIN_MODEL = """[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub) && keyMatch(r.obj, p.obj) && r.act == p.act
"""


def casbin(folder, rules, users):
    """Settings by which Casbin answers for the route that is asked for, by so many rules; all users have the role of the last."""
    model, policies = folder / "model.conf", folder / "policy.csv"
    model.write_text(CASBIN_MODEL)
    others = [f"p, role:team{it}, item{it}:*, GET" for it in range(1, rules)]
    roles = [f"g, user-{it:07}, role:sales" for it in range(users)]
    policies.write_text("\n".join([*others, "p, role:sales, report:*, GET", *roles]) + "\n")
    require = '{ casbin = { object = "report:{report}", action = "{method}" } }'
    return {"CASBIN_MODEL": str(model), "CASBIN_POLICY": str(policies),
            "POLICY_FILE": str(policy(folder / "policy.toml", ROUTES, require))}


@contextlib.contextmanager
def gate(bench, made, store="sqlite", settings=None, listen=None, wrapper=(), core=None, key=None, more_sessions=0, **written):
    """A running gate with the sessions of these tokens, and more; `.address` is where it listens."""
    folder = bench.folder()
    listen = listen(folder) if listen else f"127.0.0.1:{free_port()}"
    with contextlib.ExitStack() as stack:
        env = stack.enter_context(filled_store(bench, made, folder, store, more_sessions))
        env |= environment(folder, listen, key or bench.key, **written) | (settings or {})
        server = Server("gate", [bench.gate, "serve"], [listen], folder, env=env, wrapper=wrapper, core=core)
        stack.callback(server.stop)
        server.address, server.metrics, server.env = listen, env["METRICS_LISTEN"], env
        yield server


def environment(folder, listen, key, routes=ROUTES, keys_elsewhere=False):
    """Settings of a gate; `keys_elsewhere` leaves its keys to others."""
    env = {"LISTEN": listen, "METRICS_LISTEN": f"127.0.0.1:{free_port()}", "CACHE_BYTES": str(1 << 30), "STORE_TIMEOUT": "30",
           "MAX_CONNECTIONS_PER_ADDRESS": "100000", "MAX_CONNECTIONS": "100000"}
    if not keys_elsewhere:
        env |= {"ALGORITHM": key.algorithm, "PUBLIC_KEY_FILE": str(key.public)}
    if routes:
        env["POLICY_FILE"] = str(policy(folder / "policy.toml", routes))
    return env


@contextlib.contextmanager
def filled_store(bench, made, folder, store, more_sessions):
    """A store with the sessions of these tokens, as settings."""
    env = {"PATH": machine.PATH, "HOME": str(folder), "DATA_DIR": str(folder), "DB_URL": f"sqlite:{folder}/portcullis.db"}
    if store.startswith("redis"):
        with start_redis(folder) as redis:
            env["DB_URL"] = f"redis://127.0.0.1:{redis.port}"
            made.into_redis(bench.gate, env, redis.port)
            # Without RESP3 the server cannot say what changes.
            env["DB_URL"] += "?protocol=resp2" if store == "redis, RESP2" else ""
            yield env
        return
    if made.sessions:
        made.into_sqlite(bench.gate, env, more_sessions)
    yield env


def start_redis(folder):
    """On the core of the load: what the gate asks it is not the gate's cost."""
    port = free_port()
    server = Server("redis", ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                              "--dir", folder], [f"127.0.0.1:{port}"], folder, core=machine.LOAD_CORE)
    server.port = port
    return server


@contextlib.contextmanager
def bare(bench, headers, listen=None, http2=False, core=None):
    """The bare server, which sends those headers."""
    folder, address = bench.folder(), f"127.0.0.1:{free_port()}"
    address = listen(folder) if listen else address
    command = [bench.bare, "--listen", address, *(["--http2"] if http2 else [])]
    for line in headers:
        command += ["--header", line]
    with Server("bare", command, [address], folder, core=core) as server:
        server.address = address
        yield server


def unix(folder):
    return f"unix:{folder}/s"


class Asker:
    """A connection on which single requests are asked."""

    def __init__(self, address):
        if address.startswith("unix:"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(address[5:])
        else:
            host, port = address.rsplit(":", 1)
            self.socket = socket.create_connection((host, int(port)))
        self.socket.settimeout(10)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def ask(self, record):
        """Status line and header lines of the answer to a request in the load generator's format."""
        self.socket.sendall(record[4:-4].replace(questions.COUNTER.encode(), b"0" * len(questions.COUNTER)))
        lines = []
        while line := self.file.readline().rstrip(b"\r\n"):
            lines.append(line.decode("latin-1"))
        length = next((int(it[15:]) for it in lines if it.lower().startswith("content-length:")), 0)
        self.file.read(length)
        return lines

    def status(self, record):
        return int(self.ask(record)[0].split()[1])


def headers_of_yes(bench):
    """The header lines that a gate sends for a good token, but for those that hyper writes itself."""
    made = bench.tokens(64)
    with gate(bench, made) as server, Asker(server.address) as asker:
        status, *lines = asker.ask(questions.http1(made.texts[0]))
    if " 200 " not in status:
        machine.die(f"the gate does not let a good token pass: {status} {lines}")
    return [it for it in lines if not it.lower().startswith(("date:", "content-length:"))]


def certificate(folder):
    """A certificate for `localhost` that signs itself."""
    files = folder / "tls.pem", folder / "tls.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", files[1], "-out", files[0], "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"],
                   check=True, capture_output=True)
    return files
