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
        self.gate = machine.gate_binary()
        self.bare = machine.tool_path("bare_server")
        self.key = tokens.Key(self.work)
        self.made = {}
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

    def folder(self):
        self.count += 1
        folder = self.work / f"server-{self.count}"
        folder.mkdir()
        return folder


def policy(path, routes=ROUTES):
    """Routes of which the last is the one that is asked for, with a demand."""
    others = "".join(f'[[route]]\nhost = "app.example.com"\npath = "/service{it}/items/{{item}}"\n' for it in range(1, routes))
    path.write_text(others + '[[route]]\nhost = "app.example.com"\npath = "/reports/{report}"\n'
                    'require = { scopes = ["report:read"] }\n')
    return path


@contextlib.contextmanager
def gate(bench, made, store="sqlite", routes=ROUTES, settings=None, listen=None, wrapper=(), core=None, key=None):
    """A running gate with the sessions of these tokens; `.address` is where it listens."""
    folder, port = bench.folder(), free_port()
    env = {"PATH": machine.PATH, "HOME": str(folder), "ALGORITHM": (key or bench.key).algorithm,
           "DATA_DIR": str(folder), "DB_URL": f"sqlite:{folder}/portcullis.db"}
    listen = listen(folder) if listen else f"127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        if store == "redis":
            redis = stack.enter_context(start_redis(folder))
            env["DB_URL"] = f"redis://127.0.0.1:{redis.port}"
            made.into_redis(bench.gate, env, redis.port)
        elif made.sessions:
            made.into_sqlite(bench.gate, env)
        env |= {"PUBLIC_KEY_FILE": str((key or bench.key).public), "LISTEN": listen, "METRICS_LISTEN": f"127.0.0.1:{free_port()}",
                "CACHE_BYTES": str(1 << 30), "STORE_TIMEOUT": "30", "MAX_CONNECTIONS_PER_ADDRESS": "100000", "MAX_CONNECTIONS": "100000"}
        if routes:
            env["POLICY_FILE"] = str(policy(folder / "policy.toml", routes))
        env |= settings or {}
        server = Server("gate", [bench.gate, "serve"], [listen], folder, env=env, wrapper=wrapper, core=core)
        stack.callback(server.stop)
        server.address, server.metrics = listen, env["METRICS_LISTEN"]
        yield server


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


def answer(address, request):
    """The head of the answer to one request, as lines."""
    if address.startswith("unix:"):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(address[5:])
    else:
        host, port = address.rsplit(":", 1)
        connection = socket.create_connection((host, int(port)))
    with connection:
        connection.settimeout(10)
        connection.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            part = connection.recv(65_536)
            if not part:
                machine.die(f"no whole answer: {received!r}")
            received += part
    return received.split(b"\r\n\r\n", 1)[0].decode("latin-1").split("\r\n")


def answered_headers(bench, made):
    """The header lines that a gate sends for the first token, but for those that hyper writes itself."""
    with gate(bench, made) as server:
        request = questions.http1(made.texts[0])[4:-4]
        status, *lines = answer(server.address, request)
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
