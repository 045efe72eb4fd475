"""Instructions of one verification of a token that is not cached, beside those of the check of its signature alone.

Callgrind counts whole runs of `benches/cold.rs` with N and 3N calls; the difference, divided by 2N, is a call's.
"""

import os
import subprocess

from . import callgrind, machine

CALLS = 200
# The algorithms, and how openssl makes a key of each.
ALGORITHMS = {"ES256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "RS256": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
              "EdDSA": ["ED25519"]}
COLUMNS = [("verify", "instructions", "{:,.0f}"), ("raw", "of them the signature", "{:,.0f}"), ("share", "share", "{:.3f}")]


def run(bench, report, only=None):
    program = os.environ.get("COLD_BIN") or machine.cargo("build", "--release", "--bench", "cold", name="cold")
    rows = []
    for algorithm in ALGORITHMS:
        if only and only not in algorithm:
            continue
        key = bench.folder() / "key.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", *ALGORITHMS[algorithm], "-out", key], check=True,
                       capture_output=True)
        whole, raw = (a_call(bench, [program, algorithm, what], key) for what in ("verify", "raw"))
        rows.append({"name": f"gate, {algorithm}", "verify": whole, "raw": raw, "share": raw / whole})
        print(f"  {rows[-1]}", flush=True)
    report.table("cold", "Instructions of one verification", rows,
                 "By callgrind: a whole verification, and the check of the signature by the same library with a parsed key.",
                 COLUMNS, ("share", "share of the signature"))


def a_call(bench, command, key):
    few, many = (counted(bench, [*command, str(calls), key]) for calls in (CALLS, 3 * CALLS))
    return (many - few) / (2 * CALLS)


def counted(bench, command):
    out = bench.folder() / "callgrind.out"
    subprocess.run(["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}", *command],
                   check=True)
    return callgrind.read(out)[0]
