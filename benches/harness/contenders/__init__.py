"""Gateways as contenders of `benches/run gateways`: each file writes one's configuration and starts it.

Each answers requests itself, without an app behind it, and uses one thread. `asked` is who judges the requests: an address,
`unix:PATH` or `HOST:PORT`; None lets all pass.
"""
