import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.address import (
    InheritedSocket,
    TcpAddress,
    UnixAddress,
    parse_endpoint_address,
    parse_listen_address,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", TcpAddress("127.0.0.1", 8080)),
        ("shop.internal:80", TcpAddress("shop.internal", 80)),
        ("Shop_1.Internal.:80", TcpAddress("shop_1.internal.", 80)),
        ("localhost:1", TcpAddress("localhost", 1)),
        ("[::1]:8080", TcpAddress("::1", 8080)),
        ("[2001:DB8:0:0::1]:8080", TcpAddress("2001:db8::1", 8080)),
        ("[fe80::1%eth0]:80", TcpAddress("fe80::1%eth0", 80)),
        ("unix:/run/shop.sock", UnixAddress("/run/shop.sock")),
    ],
)
def test_an_endpoint_address_is_read(text: str, address: object):
    assert parse_endpoint_address(text) == address
    assert parse_endpoint_address(address) is address


def test_a_listener_may_also_have_an_inherited_socket_or_any_free_port():
    assert parse_listen_address("fd@3") == InheritedSocket(3)
    assert parse_listen_address("127.0.0.1:0") == TcpAddress("127.0.0.1", 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://shop:80/x", "an address has no scheme: 'shop:80' is enough, without http://"),
        ("shop", "a port is missing: 'shop'; write host:port, or unix:/path"),
        ("::1", "an IPv6 address stands in brackets: write [::1]:8080, not '::1'"),
        ("::1:8080", "an IPv6 address stands in brackets: write [::1]:8080, not '::1:8080'"),
        ("[shop]:80", "brackets are for IPv6 addresses: '[shop]:80'"),
        (":8080", "a host is missing: ':8080'; 0.0.0.0 or [::] stands for every interface"),
        ("*:8080", "a host is missing: '*:8080'; 0.0.0.0 or [::] stands for every interface"),
        ("shop:http", "not a port: 'http'; a port is a number from 1 to 65535"),
        ("shop:65536", "not a port: '65536'; a port is a number from 1 to 65535"),
        ("shop:+80", "not a port: '+80'; a port is a number from 1 to 65535"),
        ("shop:٨٠", "not a port: '٨٠'; a port is a number from 1 to 65535"),
        ("10.0.0.256:80", "not a valid IP address: '10.0.0.256'"),
        ("127.1:80", "not a valid IP address: '127.1'"),
        ("0x7f.0x1:80", "not a valid IP address: '0x7f.0x1'"),
        ("sh op:80", "not a host name or an IP address: 'sh op'"),
        ("\u212a.example:80", "not a host name or an IP address: '\u212a.example'"),
        ("a..b:80", "not a host name or an IP address: 'a..b'"),
        ("shop:0", "the port of 'shop:0' is 0; an endpoint needs the port that it listens on"),
        (
            "unix:run/x.sock",
            "the path of a unix socket starts with /: write unix:/run/name.sock, not 'unix:run/x.sock'",
        ),
        ("unix:/" + "x" * 107, "the path of a unix socket has at most 107 bytes and no NUL"),
        ("fd@3", "a port is missing: 'fd@3'; write host:port, or unix:/path"),
        (8080, "not an address: 8080; write host:port in quotes, or unix:/path"),
        (None, "not an address: nothing; write host:port in quotes, or unix:/path"),
    ],
)
def test_what_is_no_endpoint_says_why(text: object, message: str):
    with pytest.raises(ValueError) as caught:
        parse_endpoint_address(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fd@x", "not an inherited descriptor: 'fd@x'; write fd@3"),
        ("fd@1", "descriptors 0 to 2 are the standard streams; inherited sockets begin at fd@3"),
    ],
)
def test_what_is_no_inherited_socket_says_why(text: str, message: str):
    with pytest.raises(ValueError) as caught:
        parse_listen_address(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "is_local"),
    [
        *[("127.0.0.1:80", True), ("127.9.9.9:80", True), ("[::1]:80", True), ("localhost:80", True)],
        *[("unix:/run/x", True), ("0.0.0.0:80", False), ("[::]:80", False), ("shop:80", False), ("fd@3", False)],
    ],
)
def test_only_an_address_that_cannot_be_reached_from_outside_is_local(text: str, is_local: bool):
    assert parse_listen_address(text).is_local is is_local


def test_a_name_has_to_be_resolved_and_an_ip_address_has_not():
    assert TcpAddress("shop.internal", 80).is_name
    assert not TcpAddress("::1", 80).is_name


ADDRESSES = st.one_of(
    st.builds(TcpAddress, st.ip_addresses().map(str), st.integers(1, 65535)),
    st.builds(
        TcpAddress, st.from_regex(r"[a-z][a-z0-9]{0,9}(\.[a-z]{1,9}){0,3}", fullmatch=True), st.integers(1, 65535)
    ),
    st.builds(UnixAddress, st.from_regex(r"/[a-z0-9/._-]{1,60}", fullmatch=True)),
)


@given(ADDRESSES)
def test_an_address_is_read_back_from_its_text(address: TcpAddress | UnixAddress):
    assert parse_endpoint_address(str(address)) == address


@given(st.one_of(st.text(), st.from_regex(r"(unix:|fd@|\[)?[a-z0-9.:\]]{0,12}", fullmatch=True)))
def test_any_text_is_an_address_in_canonical_form_or_a_value_error(text: str):
    try:
        address = parse_listen_address(text)
    except ValueError:
        return
    assert parse_listen_address(str(address)) == address
