"""Techniques of routing and trust: targets and Host that disagree, fields that Connection names away, forged fields of
proxies.
"""

from loadtests.smuggling.techniques.parts import HIDDEN, HOST, POST, Technique, with_length

_HOST_SOURCE = "RFC 9112 3.2, 3.2.2, Chen et al. 2016 (Host of Troubles)"
_NAMED_SOURCE = "RFC 9110 7.6.1, Nathan Davison 2019, CVE-2021-32813, CVE-2024-45410"


def _to(target: bytes, fields: bytes = HOST) -> bytes:
    return with_length(b"POST %b HTTP/1.1\r\n" % target + fields, HIDDEN)


_PATH = b"/up/attack/000"
_OTHER = b"Host: hidden.example\r\n"

_TARGETS: dict[str, bytes] = {
    "absolute form, the same host": _to(b"http://shop.example" + _PATH),
    "absolute form, other host": _to(b"http://shop.example" + _PATH, _OTHER),
    "absolute form, host in upper case": _to(b"http://SHOP.example" + _PATH),
    "absolute form, other port": _to(b"http://shop.example:81" + _PATH),
    "absolute form, user information": _to(b"http://hidden.example@shop.example" + _PATH),
    "absolute form, no host field": _to(b"http://shop.example" + _PATH, b""),
    "absolute form, two hosts": _to(b"http://shop.example" + _PATH, HOST + _OTHER),
    "absolute form, other scheme": _to(b"ftp://shop.example" + _PATH),
    "absolute form, empty host": _to(b"http://" + _PATH),
    "absolute form, one slash": _to(b"http:/shop.example" + _PATH),
    "absolute form, back slash": _to(b"http://shop.example\\@hidden.example" + _PATH),
    "authority form": _to(b"shop.example:80"),
    "asterisk form": _to(b"*"),
    "two slashes": _to(b"//hidden.example" + _PATH),
    "fragment": _to(_PATH + b"#hidden"),
    "space in the target": _to(_PATH + b" /up/hidden/000"),
    "high byte in the target": _to(_PATH + b"\xff"),
    "NUL in the target": _to(_PATH + b"\0"),
    "CR in the target": _to(_PATH + b"\r"),
    "encoded CR LF in the target": _to(_PATH + b"%20HTTP/1.1%0d%0aX:%20y"),
    "encoded slash and dots": _to(_PATH + b"/%2e%2e%2f..%2fhidden"),
}

_HOSTS: dict[str, bytes] = {
    "none": b"",
    "two": HOST + _OTHER,
    "two equal ones": HOST + HOST,
    "two, case differs": HOST + b"hOST: hidden.example\r\n",
    "empty": b"Host:\r\n",
    "list": b"Host: shop.example, hidden.example\r\n",
    "user information": b"Host: hidden.example@shop.example\r\n",
    "path": b"Host: shop.example/hidden\r\n",
    "space inside": b"Host: shop.example hidden.example\r\n",
    "port that is none": b"Host: shop.example:hidden\r\n",
    "two ports": b"Host: shop.example:80:81\r\n",
    "NUL": b"Host: shop.example\0.hidden.example\r\n",
    "high byte": b"Host: sh\xf6p.example\r\n",
    "space before the colon": b"Host : hidden.example\r\n" + HOST,
    "folded": b"Host:\r\n shop.example\r\n",
    "percent": b"Host: shop.example%00\r\n",
    "bracket": b"Host: [shop.example\r\n",
    "forwarded by the client": HOST + b"X-Forwarded-Host: hidden.example\r\nForwarded: host=hidden.example\r\n",
    "rewritten by the client": HOST + b"X-Original-URL: /up/hidden/000\r\nX-Rewrite-URL: /up/hidden/000\r\n",
    "method rewritten by the client": HOST + b"X-HTTP-Method-Override: DELETE\r\n",
}

_NAMED = (
    *("Content-Length", "Transfer-Encoding", "Host", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Forwarded"),
    *("Authorization", "Cookie", "X-Request-Id", "X-Serinus-Version", "Content-Type", "CONTENT-LENGTH", "Trailer"),
    *("close, Content-Length", "keep-alive,, X-Forwarded-For", "X-Ordinary", "Expect", "Upgrade", "Connection"),
)

_CONNECTIONS: dict[str, bytes] = {
    "two fields": b"Connection: keep-alive\r\nConnection: Content-Length\r\n",
    "space in an option": b"Connection: Content Length\r\n",
    "quoted option": b'Connection: "Content-Length"\r\n',
    "control character": b"Connection: close\x0b\r\n",
    "Proxy-Connection": b"Proxy-Connection: Content-Length\r\n",
    "Keep-Alive": b"Keep-Alive: timeout=1, max=1\r\nConnection: Keep-Alive\r\n",
}

_FORGED = (
    b"X-Forwarded-For: 6.6.6.6\r\nX-Serinus-Version: hidden\r\nCookie: serinus_uid=hidden; mine=1\r\nX-Ordinary: y\r\n"
)

TARGETS = (
    *(Technique("target", name, _HOST_SOURCE, (text,)) for name, text in _TARGETS.items()),
    *(Technique("host", name, _HOST_SOURCE, (_to(_PATH, fields),)) for name, fields in _HOSTS.items()),
    *(
        Technique("Connection names", name, _NAMED_SOURCE,
                  (with_length(POST + _FORGED + b"Connection: %b\r\n" % name.encode(), HIDDEN),))
        for name in _NAMED
    ),
    *(
        Technique("Connection", name, _NAMED_SOURCE, (with_length(POST + _FORGED + fields, HIDDEN),))
        for name, fields in _CONNECTIONS.items()
    ),
)  # fmt: skip
