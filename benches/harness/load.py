"""The load generator as a process that is told when to ask, and turns of two servers one after the other."""

import json
import statistics
import subprocess
import time

from . import machine

CONNECTIONS = 32
# Of each connection over HTTP/2.
CALLS_AT_ONCE = 32


class Load:
    """One generator with its connections to one server."""

    def __init__(self, server, address, requests, connections=CONNECTIONS, streams=0, ca=None, status=200):
        self.server = server
        command = ["taskset", "-c", machine.LOAD_CORE, machine.tool_path("load_generator"), "--to", address,
                   "--requests", str(requests), "--connections", str(connections), "--streams", str(streams),
                   "--status", str(status)]
        command += ["--ca", str(ca)] if ca else []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def tell(self, line):
        """The result of one turn, with the processor time of the server and of the generator."""
        before, own = self.server.cpus(), thread_time(self.process.pid)
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.server.lost("was not asked: the generator ended")
        result = json.loads(answer)
        result["cpus"] = [now - then for now, then in zip(self.server.cpus(), before)]
        result["cpu"] = sum(result["cpus"])
        polled = result["idle"] if line.startswith("busy-poll") else 0
        result["load"] = ((thread_time(self.process.pid) - own) / 1e3 - polled) / result["micros"]
        if result["failed"] or not result["requests"]:
            self.server.lost(f"failed: {answer}")
        return result

    def run(self, seconds):
        return self.tell(f"run {seconds}")

    def busy_poll(self, seconds):
        """The same without sleeping, so that the server does not pay for waking the generator."""
        return self.tell(f"busy-poll {seconds}")

    def pace(self, seconds, rate):
        """So many requests a second."""
        return self.tell(f"pace {seconds} {rate}")

    def ask(self, count):
        return self.tell(f"ask {count}")


def thread_time(pid):
    with open(f"/proc/{pid}/schedstat") as times:
        return int(times.read().split()[0])


def lower_quartile(values):
    values = list(values)
    return statistics.quantiles(values, n=4, method="inclusive")[0] if len(values) > 1 else values[0]


def of_pairs(mine, base):
    """The median of the ratios of turns that were neighbours: what moves the machine for longer than a turn moves both."""
    return statistics.median(it / other for it, other in zip(mine, base))


class Figures:
    """Turns of one server, summed up."""

    def __init__(self, turns):
        self.turns = turns
        self.each = [it["cpu"] / it["requests"] / 1e3 for it in turns]
        self.rates = [it["requests"] / it["micros"] * 1e6 for it in turns]
        self.cpu = lower_quartile(self.each)
        each = zip(*(it["cpus"] for it in turns))
        self.cpus = [lower_quartile(cpu / it["requests"] / 1e3 for cpu, it in zip(own, turns)) for own in each]
        self.rate = statistics.median(self.rates)
        self.share = statistics.median(it["cpu"] / it["micros"] / 1e3 for it in turns)
        self.load = statistics.median(it["load"] for it in turns)
        self.p50, self.p99 = (statistics.median(it[name] / 1e3 for it in turns) for name in ("p50", "p99"))


def interleave(loads, turns, seconds, owns_core=True):
    """Turns of all, one after the other, each time in another order: drift of the machine meets all of them.

    The generator sleeps where nothing is to be done only if it has no core of its own."""
    results = [[] for _ in loads]
    for turn in range(turns):
        order = [(turn + it) % len(loads) for it in range(len(loads))]
        for index in order if turn % 2 else reversed(order):
            ask = loads[index].busy_poll if owns_core else loads[index].run
            results[index].append(ask(seconds))
    return [Figures(it) for it in results]


def warm(load, tokens, seconds):
    """Each token at least three times: what is remembered at a second use is then remembered."""
    if tokens > 1_000:
        load.ask(3 * tokens)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        load.run(min(0.5, seconds))
