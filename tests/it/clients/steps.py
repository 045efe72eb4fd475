"""What the scripts share: the file that says where everything is, and one line of JSON for each step that went well."""

import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    PARTS = json.load(file)


def done(step, **facts):
    """The Rust test compares the names of the steps with those that it expects, in their order."""
    print(json.dumps({"step": step, **facts}), flush=True)


def same(found, expected, what):
    if found != expected:
        raise AssertionError(f"{what}: {found!r}, expected {expected!r}")


def raises(kind, call, **expected):
    """The call must fail with this kind of exception and these attributes of it."""
    try:
        result = call()
    except kind as error:
        for name, value in expected.items():
            same(getattr(error, name), value, f"{name} of {error!r}")
        return error
    raise AssertionError(f"no {kind.__name__}, but {result!r}")
