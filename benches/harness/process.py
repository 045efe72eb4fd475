"""Servers under measurement: started on one core, waited for, read from /proc, and ended."""

import os
import pathlib
import socket
import subprocess
import time

from . import machine

LIMIT = 30.0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def connects(address):
    try:
        if address.startswith("unix:"):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(address[5:])
        else:
            host, port = address.rsplit(":", 1)
            socket.create_connection((host, int(port)), timeout=1).close()
        return True
    except OSError:
        return False


class Server:
    """A server and its children, on one core."""

    def __init__(self, name, command, addresses, work, env=None, core=None, wrapper=()):
        self.name, self.log = name, pathlib.Path(work) / f"{name.replace('/', '-').replace(' ', '-')}.log"
        pinned = ["taskset", "-c", core or machine.SERVER_CORE, *wrapper, *map(str, command)]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(pinned, stdout=log, stderr=log, cwd=work, start_new_session=True,
                                            env=env or {**os.environ, "PATH": machine.PATH})
        self.pid = self.process.pid
        end = time.monotonic() + (LIMIT if not wrapper else 120)
        while not all(map(connects, addresses)):
            if self.process.poll() is not None or time.monotonic() > end:
                self.lost("does not listen")
            time.sleep(0.02)

    def lost(self, why):
        self.stop()
        machine.die(f"{self.name} {why}; its log:\n{self.log.read_text(errors='replace')[-3000:]}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Asks it to end, and ends it if it does not."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()

    def processes(self):
        """Its process and the children of that, such as nginx's workers."""
        found, waiting = [], [self.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/children") as children:
                        waiting.extend(int(it) for it in children.read().split())
            except OSError:
                pass
        return found

    def cpu(self):
        """Nanoseconds of all its threads on a core."""
        total = 0
        for pid in self.processes():
            for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
                try:
                    total += int((task / "schedstat").read_text().split()[0])
                except (OSError, IndexError):
                    pass
        return total

    def cpus(self):
        """As of several servers that work together."""
        return [self.cpu()]

    def memory(self, line="VmRSS"):
        """Bytes that it holds."""
        total = 0
        for pid in self.processes():
            with open(f"/proc/{pid}/status") as status:
                total += sum(int(it.split()[1]) * 1024 for it in status if it.startswith(line + ":"))
        return total

    def descriptors(self):
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.processes())
