"""Addresses that somebody else chose lead nowhere inside: not by any spelling, any prefix, any metadata service."""

import pytest

from channels.errors import AddressNotAllowed, DeliveryError
from channels.public import PublicHttp, is_public


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "127.0.0.1",
        "127.255.255.254",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "169.254.170.2",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "198.18.0.1",
        "192.0.2.1",
        "203.0.113.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:127.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b::a00:1",
        "64:ff9b:1::7f00:1",
        "64:ff9b:1::808:808",
        "2002:a9fe:a9fe::",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "ff02::1",
    ],
)
def test_what_is_inside_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://0/",
        "http://localhost/",
        "http://a.localhost/",
        "http://localhost./",
        "http://example.com@127.0.0.1/",
        "http://example.com:80@127.0.0.1:80/",
        "http://127.0.0.1#@example.com/",
        "http://127.0.0.1\\@example.com/",
        "http://[::ffff:7f00:1]/",
        "http://[::1]:80/",
        "http://①②⑦.⓪.⓪.①/",
        "http://127。0。0。1/",
        "http://169.254.169.254/latest/meta-data/",
        "https://127.0.0.1:443/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:25/_HELO",
        "http:///etc/passwd",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:99999/",
        "http://exa\r\nmple.com/",
        "//127.0.0.1/",
        "",
    ],
)
async def test_no_spelling_of_an_address_gets_a_request_through(url: str) -> None:
    sent: list[str] = []
    http = PublicHttp(2, 1000, allow_private=False)
    monitored = http._client.send

    async def send(*given: object, **more: object) -> object:
        sent.append(url)
        return await monitored(*given, **more)  # type: ignore[arg-type]

    http._client.send = send  # type: ignore[method-assign, assignment]

    with pytest.raises(DeliveryError):
        await http.post(url, b"{}", {})

    assert sent == []
    await http.close()


async def test_metadata_by_a_name_is_refused_too() -> None:
    async def inside(host: str, port: int) -> list[str]:
        return ["fd00:ec2::254"]

    http = PublicHttp(2, 1000, allow_private=False, resolve=inside)

    with pytest.raises(AddressNotAllowed):
        await http.post("http://metadata.example.com/", b"{}", {})
    await http.close()
