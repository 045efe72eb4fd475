"""jwthenticator's own Client, InternalClient and decorator, unmodified, against the issuer and an app that asks it."""

import asyncio
from uuid import uuid4

import jwt as pyjwt
from aiohttp import ClientSession, web
from jwthenticator.client import Client, InternalClient
from jwthenticator.exceptions import AuthenticationError, RefreshError, RegisterKeyError
from jwthenticator.server_utils import authenticate

from steps import PARTS, done, same

KEY, IDENTIFIER = f"key-{uuid4()}", uuid4()
ISSUER, GATE = PARTS["issuer"], f"{PARTS['gate']}/validate_request"


def claims(token):
    return pyjwt.decode(token, options={"verify_signature": False})


async def fails(kind, call):
    try:
        await call
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


async def register():
    internal = InternalClient(PARTS["internal"], IDENTIFIER)
    same(await internal.is_key_registered(KEY), False, "before")
    await internal.register_key(KEY)
    same(await internal.is_key_registered(KEY), True, "after")
    await internal.register_key(KEY)
    done("register_key, is_key_registered")
    # The public listener does not know these paths.
    error = await fails(RegisterKeyError, InternalClient(ISSUER, IDENTIFIER).register_key("another"))
    same(error.args, (404,), "the public listener")
    done("register_key, from outside")


async def authenticated():
    client = Client(ISSUER, IDENTIFIER, key=KEY)
    await client.authenticate()
    found = claims(client.jwt)
    same(found["identifier"], str(IDENTIFIER), "identifier")
    same(isinstance(found["token_id"], str), True, "token_id")
    same((await client.get_with_auth(GATE)).status, 200, "the gate")
    done("authenticate")
    stranger = Client(ISSUER, IDENTIFIER, key="never registered")
    await fails(AuthenticationError, stranger.authenticate())
    # The library forgets a key for 401 alone: then it has none.
    await fails(TypeError, stranger.authenticate())
    done("authenticate, unknown key")
    return client


async def protected_app(client):
    """An app that its authors guarded with jwthenticator's decorator: it asks POST /validate."""

    @authenticate(ISSUER)
    async def hello(_request):
        return web.json_response({"hello": "you"})

    app = web.Application()
    app.router.add_route("*", "/hello", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hello"
    same((await client.get_with_auth(url)).status, 200, "GET")
    same((await client.post_with_auth(url, json={})).status, 200, "POST")
    async with ClientSession() as nobody:
        for authorization, status in (("Bearer rubbish", 401), (f"Bearer {tampered(client.jwt)}", 401)):
            answer = await nobody.get(url, headers={"Authorization": authorization})
            same(answer.status, status, authorization)
    await runner.cleanup()
    done("validate")


def tampered(token):
    head, body, signature = token.split(".")
    return ".".join((head, body, ("B" if signature[0] == "A" else "A") + signature[1:]))


async def refreshed(client):
    old = client.jwt
    await client.refresh(auth_on_fail=False)
    same(client.jwt != old, True, "another jwt")
    same((await client.get_with_auth(GATE)).status, 200, "the gate")
    done("refresh")
    # As far as the client knows, its jwt has just expired.
    await client.refresh(auth_on_fail=PARTS["policy"] != "reusable")
    client._jwt_exp = 0
    same((await client.get_with_auth(GATE)).status, 200, "the gate")
    done("refresh, again and by itself")
    # A resource that refuses the jwt: the client refreshes, and asks once more.
    client.jwt = tampered(client.jwt)
    same((await client.get_with_auth(GATE)).status, 200, "the gate")
    done("refresh, after a refusal")


async def refused():
    """401 makes the client forget the refresh token; then the key is all that it has left, and here it has none."""
    client = Client(ISSUER, IDENTIFIER, refresh_token="0" * 128)
    await fails(RefreshError, client.refresh(auth_on_fail=False))
    same(client.refresh_token, None, "the refresh token")
    await fails(TypeError, client.refresh())
    done("refresh, refused")


async def main():
    await register()
    client = await authenticated()
    await protected_app(client)
    await refreshed(client)
    await refused()


if __name__ == "__main__":
    asyncio.run(main())
