"""Envoy, with its own `jwt_authn` or with `ext_authz` as examples/envoy writes it."""

import json

from .. import machine
from ..process import Server, free_port

FILTERS = "type.googleapis.com/envoy.extensions.filters"
EXT_AUTHZ = f"{FILTERS}.http.ext_authz.v3.ExtAuthz"
ASKED = ["cookie", "x-forwarded-proto", "x-forwarded-for", "x-request-id", "accept", "user-agent"]
IDENTITY = [f"x-auth-{it}" for it in ("user", "username", "email", "scopes", "roles", "session", "issuer")]


def start(bench, asked=None, grpc=False, verify=False, cached=False):
    folder, port = bench.folder(), free_port()
    judges, clusters = [], []
    if verify:
        judges.append(jwt_authn(bench.key, cached))
    if asked:
        judges.append(ext_authz_grpc() if grpc else ext_authz_http())
        clusters.append(cluster(asked, grpc))
    listener = {"name": "web", "address": socket_address(f"127.0.0.1:{port}"),
                "filter_chains": [{"filters": [connection_manager(judges)]}]}
    configuration = {"static_resources": {"listeners": [listener], "clusters": clusters}}
    # JSON is YAML too.
    (folder / "envoy.yaml").write_text(json.dumps(configuration))
    command = [machine.program("envoy"), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c", "envoy.yaml"]
    server = Server("envoy", command, [f"127.0.0.1:{port}"], folder)
    server.address = f"127.0.0.1:{port}"
    return server


def connection_manager(judges):
    """Requests are judged, and answered by Envoy itself."""
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
    router = {"name": "envoy.filters.http.router",
              "typed_config": {"@type": f"{FILTERS}.http.router.v3.Router"}}
    config = {"@type": f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
              "stat_prefix": "web", "use_remote_address": True, "normalize_path": True, "merge_slashes": True,
              "http_filters": [*judges, router],
              "route_config": {"virtual_hosts": [{"name": "app", "domains": ["*"], "routes": [route]}]}}
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def jwt_authn(key, cached):
    provider = {"issuer": "prismaticain", "local_jwks": {"inline_string": key.jwks()}}
    if cached:
        provider["jwt_cache_config"] = {"jwt_cache_size": 1_000}
    rule = {"match": {"prefix": "/"}, "requires": {"provider_name": "own"}}
    return {"name": "envoy.filters.http.jwt_authn",
            "typed_config": {"@type": f"{FILTERS}.http.jwt_authn.v3.JwtAuthentication",
                             "providers": {"own": provider}, "rules": [rule]}}


def exact(names):
    return {"patterns": [{"exact": it} for it in names]}


def ext_authz_http():
    service = {"server_uri": {"uri": "http://127.0.0.1", "cluster": "asked", "timeout": "5s"},
               "path_prefix": "/validate_request/envoy",
               "authorization_response": {"allowed_upstream_headers": exact(IDENTITY)}}
    return {"name": "asked", "typed_config": {"@type": EXT_AUTHZ, "allowed_headers": exact(ASKED), "http_service": service}}


def ext_authz_grpc():
    service = {"envoy_grpc": {"cluster_name": "asked"}, "timeout": "5s"}
    return {"name": "asked", "typed_config": {"@type": EXT_AUTHZ, "transport_api_version": "V3", "grpc_service": service}}


def socket_address(address):
    if address.startswith("unix:"):
        return {"pipe": {"path": address[5:]}}
    host, port = address.rsplit(":", 1)
    return {"socket_address": {"address": host, "port_value": int(port)}}


def cluster(asked, grpc):
    endpoint = {"endpoint": {"address": socket_address(asked)}}
    made = {"name": "asked", "connect_timeout": "1s",
            "load_assignment": {"cluster_name": "asked", "endpoints": [{"lb_endpoints": [endpoint]}]}}
    if grpc:
        made["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}}}}
    return made
