"""Both gRPC services through a client that grpcio's own tools make, here and now, from the files in proto/."""

import os
import sys

import grpc
import grpc_tools
import requests
from grpc_tools import protoc

from steps import PARTS, done, raises, same

SOURCES = ("portcullis/v1/portcullis.proto", "refresh.proto")


def generate():
    """The messages and stubs, into a folder of the test's own."""
    known = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
    folders = [f"-I{PARTS['proto']}", f"-I{known}"]
    outputs = [f"--{kind}_out={PARTS['generated']}" for kind in ("python", "grpc_python")]
    same(protoc.main(["protoc", *folders, *outputs, *SOURCES]), 0, "protoc")
    sys.path.insert(0, PARTS["generated"])
    done("generate")


generate()

import refresh_pb2
import refresh_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from portcullis.v1 import portcullis_pb2 as v1
from portcullis.v1 import portcullis_pb2_grpc

CHANNEL = grpc.insecure_channel(PARTS["grpc"])
TOKENS = portcullis_pb2_grpc.TokenServiceStub(CHANNEL)
NAMES = ["portcullis.v1.TokenService", "refresh.RefreshService"]


def sign_in(scope="user:read user:write"):
    form = {"grant_type": "password", "username": PARTS["username"], "password": PARTS["password"], "scope": scope}
    answer = requests.post(f"{PARTS['issuer']}/token", data=form, timeout=20)
    same(answer.status_code, 200, answer.text)
    return answer.json()


def gate(token):
    header = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{PARTS['gate']}/validate_request", headers=header, timeout=20).status_code


def bearer(token):
    return {"metadata": [("authorization", f"Bearer {token['access_token']}")], "timeout": 20}


def fails(code, method, request, **more):
    """The call must fail with this status code, and must not tell more than that."""
    error = raises(grpc.RpcError, lambda: method(request, **{"timeout": 20, **more}))
    same(error.code(), code, error.details())
    return error


def health():
    stub = health_pb2_grpc.HealthStub(CHANNEL)
    for name in ["", *NAMES]:
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=20)
        same(answer.status, health_pb2.HealthCheckResponse.SERVING, f"health of {name!r}")
    fails(grpc.StatusCode.NOT_FOUND, stub.Check, health_pb2.HealthCheckRequest(service="nobody"))
    done("health")


def reflection():
    database = ProtoReflectionDescriptorDatabase(CHANNEL)
    found = set(database.get_services())
    same(set(NAMES) - found, set(), "services that are not shown")
    file = database.FindFileContainingSymbol("portcullis.v1.TokenService")
    methods = {method.name for method in file.service[0].method}
    same(methods, {"Refresh", "Validate", "Revoke", "ListSessions"}, "methods")
    done("reflection")


def validate():
    token = sign_in()
    request = v1.ValidateRequest(token=token["access_token"], required_scopes=["user:read"])
    answer = TOKENS.Validate(request, timeout=20)
    same((answer.active, answer.user_id), (True, token["user_id"]), "the answer")
    same(sorted(answer.scopes), ["user:read", "user:write"], "scopes")
    same(answer.claims["username"], PARTS["username"], "username")
    same(answer.claims["sid"], answer.session_id, "sid")
    same(int(answer.claims["exp"]), answer.expires.seconds, "exp")
    done("Validate")
    request.required_scopes.append("root")
    lacking = TOKENS.Validate(request, timeout=20)
    same((lacking.active, list(lacking.missing_scopes), lacking.user_id), (False, ["root"], ""), "a missing scope")
    for bad in ("rubbish", token["refresh_token"]):
        answer = TOKENS.Validate(v1.ValidateRequest(token=bad), timeout=20)
        same(answer, v1.ValidateResponse(active=False), "a token that is not good")
    fails(grpc.StatusCode.INVALID_ARGUMENT, TOKENS.Validate, v1.ValidateRequest())
    done("Validate, refused")


def refresh():
    first = sign_in()
    request = v1.RefreshRequest(refresh_token=first["refresh_token"])
    second = TOKENS.Refresh(request, timeout=20)
    same((second.token_type, second.user_id), ("Bearer", first["user_id"]), "the answer")
    same(sorted(second.scope.split()), ["user:read", "user:write"], "scope")
    same((second.expires_in > 0, second.refresh_token != first["refresh_token"]), (True, True), "rotation")
    same(gate(second.access_token), 200, "the gate")
    narrow = TOKENS.Refresh(v1.RefreshRequest(refresh_token=second.refresh_token, scope="user:read"), timeout=20)
    same(narrow.scope, "user:read", "narrowed scope")
    done("Refresh")
    wide = v1.RefreshRequest(refresh_token=narrow.refresh_token, scope="root")
    fails(grpc.StatusCode.INVALID_ARGUMENT, TOKENS.Refresh, wide)
    fails(grpc.StatusCode.INVALID_ARGUMENT, TOKENS.Refresh, v1.RefreshRequest())
    fails(grpc.StatusCode.UNAUTHENTICATED, TOKENS.Refresh, v1.RefreshRequest(refresh_token="rubbish"))
    # The first one again: a reuse, and all that grew from it is over.
    fails(grpc.StatusCode.UNAUTHENTICATED, TOKENS.Refresh, request)
    same(gate(narrow.access_token), 401, "the gate, after a reuse")
    done("Refresh, refused")


def listed(token):
    return TOKENS.ListSessions(v1.ListSessionsRequest(), **bearer(token)).sessions


def sessions():
    one, other = sign_in(), sign_in()
    found = listed(one)
    current = [session for session in found if session.current]
    same(len(current), 1, "sessions that are this one")
    same(current[0].user_id, one["user_id"], "whose")
    same(current[0].device.user_agent.startswith("python-requests/"), True, current[0].device.user_agent)
    same(current[0].device.address, "127.0.0.1", "address")
    same(current[0].expires.seconds > current[0].created.seconds > 0, True, "times")
    done("ListSessions")
    fails(grpc.StatusCode.UNAUTHENTICATED, TOKENS.ListSessions, v1.ListSessionsRequest())
    another = v1.ListSessionsRequest(user_id="somebody-else")
    fails(grpc.StatusCode.PERMISSION_DENIED, TOKENS.ListSessions, another, **bearer(one))
    done("ListSessions, refused")
    revoke(one, other, [session.id for session in found])


def revoke(one, other, known):
    others = listed(other)
    mine = next(session.id for session in others if session.current)
    same(mine in known, True, "the other session, in the first one's list")
    ended = TOKENS.Revoke(v1.RevokeRequest(session_id=mine), **bearer(one)).ended
    same((ended, gate(other["access_token"]), gate(one["access_token"])), (1, 401, 200), "one session")
    third = sign_in()
    ended = TOKENS.Revoke(v1.RevokeRequest(token=third["refresh_token"]), timeout=20).ended
    same((ended, gate(third["access_token"])), (0, 401), "by a token")
    same(TOKENS.Revoke(v1.RevokeRequest(token="rubbish"), timeout=20).ended, 0, "rubbish")
    fourth = sign_in()
    TOKENS.Revoke(v1.RevokeRequest(all=v1.AllSessions(except_current=True)), **bearer(one))
    same((gate(fourth["access_token"]), gate(one["access_token"])), (401, 200), "all but this one")
    same(len(listed(one)), 1, "what is left")
    same(TOKENS.Revoke(v1.RevokeRequest(all=v1.AllSessions()), **bearer(one)).ended, 1, "all")
    same(gate(one["access_token"]), 401, "the gate, after all")
    done("Revoke")
    fails(grpc.StatusCode.INVALID_ARGUMENT, TOKENS.Revoke, v1.RevokeRequest())
    fails(grpc.StatusCode.UNAUTHENTICATED, TOKENS.Revoke, v1.RevokeRequest(all=v1.AllSessions()))
    fails(grpc.StatusCode.UNAUTHENTICATED, TOKENS.Revoke, v1.RevokeRequest(all=v1.AllSessions()), **bearer(one))
    done("Revoke, refused")


def tp_auth():
    """As its resource servers call it: OK and nothing in it, whatever the token is."""
    stub = refresh_pb2_grpc.RefreshServiceStub(CHANNEL)
    token = sign_in()
    for user, value in ((token["user_id"], token["access_token"]), ("nobody", "rubbish"), ("nobody", token["access_token"])):
        answer = stub.RefreshToken(refresh_pb2.RefreshRequest(user_id=user, token=value), timeout=20)
        same(answer.ByteSize(), 0, "the answer")
    same(gate(token["access_token"]), 200, "the gate")
    done("RefreshToken")


if __name__ == "__main__":
    health()
    reflection()
    validate()
    refresh()
    sessions()
    tp_auth()
