"""OpenSSL and curl against a listener with client certificates, two kinds of key, and a staple."""

import dataclasses
import json
import pathlib

from http_checks import curl
from run_it import run


def client(place, name):
    directory = place.ca.rsplit("/", 1)[0]
    return ["--cert", f"{directory}/{name}.pem", "--key", f"{directory}/{name}.key"]


def certificate(version):
    """The server is told who the client is, whatever the client says itself."""

    async def check(place):
        options = [*client(place, "ann"), "-H", "X-Client: CN=root"]
        out, _ = await curl(place, "/headers", *options, version=version)
        told = json.loads(out)
        assert told["x-client"] == "CN=ann,O=Peers\\, and others TLSv1.3", told

    return check


async def refused(place):
    """With a certificate of version 1, without one, and with one that is revoked."""
    for options, alert in (
        (client(place, "old"), "certificate unknown"), ([], "certificate required"),
        (client(place, "bob"), "certificate revoked"),
    ):
        ca = ["--cacert", place.ca]
        _, said = await run(
            "curl", "-sS", "--ipv4", *ca, *options, place.url("/hello"), fails=True
        )
        assert alert in said, said
    # The log tells the first of these, and then one a minute.
    log = (pathlib.Path(place.ca).parent / "sheave.log").read_text()
    assert "version 1 or 2: make it again" in log, log


async def s_client(place, *options, data=b"Q\n"):
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{place.port}", "-CAfile", place.ca]
    out, said = await run(
        *command, "-servername", "localhost", *options, data=data, fails=True, limit=10
    )
    return out.decode(errors="replace") + said


async def staple(place):
    said = await s_client(place, "-status")
    assert "OCSP Response Status: successful" in said and "Cert Status: good" in said, said


async def kinds_of_key(place):
    for version in ("-tls1_2", "-tls1_3"):
        for schemes, kind in (
            ("ECDSA+SHA256", "id-ecPublicKey"), ("RSA-PSS+SHA256:RSA+SHA256", "rsaEncryption"),
            ("RSA-PSS+SHA256:ECDSA+SHA256", "id-ecPublicKey"),
        ):
            said = await s_client(place, version, "-sigalgs", schemes)
            assert f"PKEY: {kind}" in said and "Verify return code: 0" in said, said


async def resumption(place):
    """Also at another listener with the same ticket keys, and not where certificates are asked for."""
    directory = place.ca.rsplit("/", 1)[0]
    request = f"GET {place.prefix}/hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    for version in ("-tls1_2", "-tls1_3"):
        session = f"{directory}/session{version}"
        ask = [version, "-ign_eof"]
        said = await s_client(place, *ask, "-sess_out", session, data=request.encode())
        assert "New, TLSv1" in said and "hello" in said, said
        said = await s_client(place, *ask, "-sess_in", session, data=request.encode())
        assert "Reused, TLSv1" in said and "hello" in said, said
        elsewhere = dataclasses.replace(place, port=place.others["mtls"])
        said = await s_client(elsewhere, *ask, "-sess_in", session, data=request.encode())
        assert "Reused" not in said and "hello" not in said, said
