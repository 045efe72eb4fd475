"""The machine: packages that are missing, the programs that are built, cores, and a description of it all."""

import hashlib
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "portcullis"
CLIENTS = ROOT / "tests/it/clients"
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
# The programs and the packages of Debian that have them.
PROGRAMS = {
    "nginx": "nginx", "haproxy": "haproxy", "redis-server": "redis-server", "valgrind": "valgrind",
    "strace": "strace", "taskset": "util-linux", "cc": "gcc", "openssl": "openssl",
}
SERVER_CORE = os.environ.get("SERVER_CORE", "0")
LOAD_CORE = os.environ.get("LOAD_CORE", "1")


def die(message):
    sys.exit(f"benches: {message}")


def say(message):
    print(f"benches: {message}", file=sys.stderr, flush=True)


def have(program):
    return shutil.which(program, path=PATH)


def require(*programs):
    """Installs from Debian's packages what is missing; the services that come with them are not started."""
    missing = sorted({PROGRAMS[it] for it in programs if not have(it)})
    if not missing:
        return
    if not have("apt-get"):
        die(f"missing: {' '.join(missing)}. This machine has no apt-get: install them and run this again.")
    root = [] if os.getuid() == 0 else ["sudo"]
    say(f"installing from Debian's packages: {' '.join(missing)}")
    policy = "/usr/sbin/policy-rc.d"
    kept = os.path.exists(policy)
    if not kept:
        subprocess.run([*root, "sh", "-c", f"printf '#!/bin/sh\\nexit 101\\n' > {policy}; chmod 755 {policy}"], check=True)
    try:
        subprocess.run([*root, "apt-get", "update", "-q"], check=True, stdout=sys.stderr)
        subprocess.run([*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-qy",
                        "--no-install-recommends", *missing], check=True, stdout=sys.stderr)
    finally:
        if not kept:
            subprocess.run([*root, "rm", "-f", policy], check=True)


def check_cores():
    if SERVER_CORE == LOAD_CORE or not {int(SERVER_CORE), int(LOAD_CORE)} <= os.sched_getaffinity(0):
        die(f"server and load need a core each: SERVER_CORE={SERVER_CORE}, LOAD_CORE={LOAD_CORE}")
    if load := busy():
        say(f"the machine is busy (load average {load:.1f}): figures taken now prove nothing")


def allow_many_files():
    """Ten thousand connections are as many descriptors."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def busy():
    load = os.getloadavg()[0]
    return load if load > 0.8 else 0


# --- what PyPI has -----------------------------------------------------------------------------------------------


def venv(name, requirements):
    """The virtual environment that tests/run makes too, of the same name and contents."""
    path = CLIENTS / requirements
    folder = CACHE / f"{name}-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    if not (folder / "complete").exists():
        say(f"making {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
                        "--requirement", path], check=True)
        (folder / "complete").touch()
    return folder


def program(name):
    """A program of the virtual environment that this one runs in."""
    return pathlib.Path(sys.prefix) / "bin" / name


def as_root(words):
    """Words that a configuration needs where the servers run as root."""
    return words if os.getuid() == 0 else ""


def inside_venv():
    """Starts this program again with the packages of the tests, of which it needs `cryptography` to sign tokens."""
    folder = venv("venv", "requirements.txt")
    if pathlib.Path(sys.prefix) != folder:
        os.execv(folder / "bin/python", [str(folder / "bin/python"), *sys.argv])
    return folder


# --- what cargo builds -------------------------------------------------------------------------------------------


def cargo(*arguments, name, folder=ROOT):
    """Builds, and returns the executable of that name."""
    say(f"cargo {' '.join(arguments)}")
    command = ["cargo", *arguments, "--locked", "--message-format=json-render-diagnostics"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        die(f"cargo {' '.join(arguments)} failed")
    for line in reversed(done.stdout.splitlines()):
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == name:
            return message["executable"]
    die(f"cargo {' '.join(arguments)} made no {name}")


def gate_binary(profile):
    """The gate of that profile: `dist` is what is delivered, `profiling` has names and builds faster."""
    given = os.environ.get("GATE_BIN")
    return given or cargo("build", "--profile", profile, "--bin", "portcullis", name="portcullis")


def grpc_binary():
    return os.environ.get("GRPC_BIN") or cargo("bench", "--no-run", "--bench", "ext_authz", name="ext_authz")


def tool(name):
    """The load generator or the bare server, which are a small package of their own."""
    given = os.environ.get(f"{name.upper()}_BIN")
    return given or cargo("build", "--release", "--bin", name, name=name, folder=ROOT / "benches/load_generator")


# --- what the figures were taken on ------------------------------------------------------------------------------


def first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": PATH})
    except OSError:
        return "unknown"
    return ((done.stdout or done.stderr).strip().splitlines() or ["unknown"])[0]


def description():
    with open("/proc/cpuinfo") as info:
        cpu = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "unknown CPU")
    commit = first_line("git", "-C", str(ROOT), "describe", "--always", "--dirty")
    return {
        "date": first_line("date", "+%F"),
        "machine": f"{cpu}, {os.cpu_count()} cores, Linux {os.uname().release}",
        "commit": commit,
        "rustc": first_line("rustc", "--version"),
        "load average before": f"{os.getloadavg()[0]:.2f}",
    }


TOOLS = {}


def tool_path(name):
    """Builds at most once a run."""
    if name not in TOOLS:
        TOOLS[name] = tool(name)
    return TOOLS[name]
