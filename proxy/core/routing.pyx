# cython: wraparound=True
"""Which route a request takes.

Rules:
1. Every condition of a route must hold. Of the routes that match, the first in this order wins:
   more conditions on headers, cookies and query (a route that asks for more of the request is an override);
   an exact host, then the longest `*.suffix`, then any host;
   an exact path, then a regular expression (the first in the file), then the longest prefix, then any path;
   a route that names methods; the earlier one in the file.
2. A prefix matches at segment bounds: `/api` takes `/api` and `/api/x`, not `/apix`.
3. Hosts are compared in lower case, without a port and the dot of the root; paths in their normalised form, once
   decoded; what is forwarded is what was sent. Regular expressions must match the whole path.
4. A route that refuses hidden slashes is chosen as any other, and then does: what it takes never goes on to the next one.
5. Compiled once; a look-up costs a few hash look-ups, however many routes there are.
"""

import re

cdef bytes UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


cdef object HIDDEN_SLASH = re.compile(rb"%2f|%5c|\\", re.IGNORECASE).search


def _decoded(match):
    byte = bytes((int(match.group(1), 16),))
    return byte if byte in UNRESERVED else match.group(0).upper()


def normalise(bytes path) -> bytes:
    """The form of a path that routes are matched on (RFC 3986 section 6.2.2, and repeated slashes become one).

    Unreserved characters are decoded, once; `%2F` stays; `.` and `..` are resolved and cannot leave the root.
    """
    if b"%" in path:
        path = re.sub(rb"%([0-9A-Fa-f]{2})", _decoded, path)
    if b"//" not in path and b"/." not in path:
        return path
    kept = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment and segment != b".":
            kept.append(segment)
    end = b"/" if kept and segments[-1] in (b"", b".", b"..") else b""
    return b"/" + b"/".join(kept) + end


def hides_slash(bytes path) -> bool:
    """Whether the path holds a slash or backslash that some servers read as the end of a segment, and others do not."""
    return HIDDEN_SLASH(path) is not None


cdef class RequestView:
    """What conditions ask of a request: values, or None where there is none."""

    cdef bytes header(self, bytes name):
        return None

    cdef bytes cookie(self, bytes name):
        return None

    cdef bytes query(self, bytes name):
        return None


cdef class Values(RequestView):
    """A request given by mappings: for tests, and for explaining a route without a request."""

    cdef dict headers
    cdef dict cookies
    cdef dict queries

    def __init__(self, headers=(), cookies=(), query=()):
        self.headers = {name.lower(): value for name, value in dict(headers).items()}
        self.cookies = dict(cookies)
        self.queries = dict(query)

    cdef bytes header(self, bytes name):
        return self.headers.get(name)

    cdef bytes cookie(self, bytes name):
        return self.cookies.get(name)

    cdef bytes query(self, bytes name):
        return self.queries.get(name)


cdef class Rule:
    """One route, compiled."""

    def __init__(self, index, route, service):
        self.index = index
        self.service = service
        self.version = route.version
        self.refuses_hidden_slashes = route.refuses_hidden_slashes
        self.traces = "TRACE" in route.methods
        self.methods = frozenset(method.encode() for method in route.methods)
        self.conditions = tuple(
            (place, match.name.encode(), _test(match))
            for place, matches in enumerate((route.headers, route.cookies, route.query))
            for match in matches
        )
        self.by_condition = bool(self.conditions)

    cdef bint holds(self, bytes method, RequestView view) except -1:
        cdef bytes value
        if self.methods and method not in self.methods:
            return False
        for place, name, test in self.conditions:
            if place == 0:
                value = view.header(name)
            elif place == 1:
                value = view.cookie(name)
            else:
                value = view.query(name)
            if test is False:
                if value is not None:
                    return False
            elif value is None or not (test is None or (test(value) if callable(test) else value == test)):
                return False
        return True


def _test(match):
    """None: present is enough; False: must be absent; bytes: must be equal; a callable decides."""
    if match.kind == "present":
        return None
    if match.kind == "absent":
        return False
    value = match.value.encode()
    return value if match.kind == "exact" else re.compile(value).fullmatch


cdef class _Paths:
    """The rules of one host, by path."""

    cdef dict exact
    cdef dict prefixes      # without a trailing slash
    cdef list patterns
    cdef list anything
    cdef int depth          # slashes of the deepest prefix

    def __init__(self):
        self.exact = {}
        self.prefixes = {}
        self.patterns = []
        self.anything = []
        self.depth = 0

    def add(self, route, Rule rule):
        path = route.path.encode()
        if route.path_kind == "exact":
            self.exact.setdefault(normalise(path), []).append(rule)
        elif route.path_kind == "regex":
            self.patterns.append((re.compile(path).fullmatch, rule))
        elif route.path_kind == "prefix":
            prefix = normalise(path).rstrip(b"/")
            self.prefixes.setdefault(prefix, []).append(rule)
            self.depth = max(self.depth, prefix.count(b"/"))
        else:
            self.anything.append(rule)

    def order(self):
        for rules in (*self.exact.values(), *self.prefixes.values(), self.anything):
            rules.sort(key=_by_methods)

    cdef Rule find(self, bytes path, bytes method, RequestView view):
        cdef Rule rule
        cdef list cuts
        cdef int at
        if self.exact:
            for rule in self.exact.get(path, ()):
                if rule.holds(method, view):
                    return rule
        for test, rule in self.patterns:
            if test(path) and rule.holds(method, view):
                return rule
        if self.prefixes:
            cuts = [0]
            at = path.find(b"/", 1)
            while at > 0 and len(cuts) <= self.depth:
                cuts.append(at)
                at = path.find(b"/", at + 1)
            if at < 0 and len(cuts) <= self.depth:
                cuts.append(len(path))
            while cuts:
                for rule in self.prefixes.get(path[:cuts.pop()], ()):
                    if rule.holds(method, view):
                        return rule
        for rule in self.anything:
            if rule.holds(method, view):
                return rule
        return None


def _by_methods(Rule rule):
    return (not rule.methods, rule.index)


cdef class _Level:
    """The rules with one number of conditions, by host."""

    cdef dict hosts
    cdef dict suffixes
    cdef _Paths anywhere

    def __init__(self):
        self.hosts = {}
        self.suffixes = {}
        self.anywhere = _Paths()

    def paths(self, str host):
        name = host.encode()
        if not name:
            return self.anywhere
        if name.startswith(b"*."):
            return self.suffixes.setdefault(name[1:], _Paths())
        return self.hosts.setdefault(name, _Paths())

    def order(self):
        for paths in (*self.hosts.values(), *self.suffixes.values(), self.anywhere):
            paths.order()

    cdef Rule find(self, bytes host, bytes path, bytes method, RequestView view):
        cdef _Paths paths
        cdef Rule rule
        cdef int dot
        if self.hosts:
            paths = self.hosts.get(host)
            if paths is not None:
                rule = paths.find(path, method, view)
                if rule is not None:
                    return rule
        if self.suffixes:
            dot = host.find(b".")
            while dot >= 0:
                paths = self.suffixes.get(host[dot:])
                if paths is not None:
                    rule = paths.find(path, method, view)
                    if rule is not None:
                        return rule
                dot = host.find(b".", dot + 1)
        return self.anywhere.find(path, method, view)


cdef class Router:
    """The routes of one snapshot. Raises KeyError for a route to a service that is not in `services` (name to index)."""

    def __init__(self, routes, services):
        cdef dict levels = {}
        self.levels = []
        for index, route in enumerate(routes):
            conditions = len(route.headers) + len(route.cookies) + len(route.query)
            level = levels.setdefault(conditions, _Level())
            level.paths(route.host).add(route, Rule(index, route, services[route.service]))
        for _, level in sorted(levels.items(), reverse=True):
            level.order()
            self.levels.append(level)
        first = routes[0] if routes else None
        if first and len(routes) == 1 and not (first.host or first.methods or first.headers or first.cookies or first.query):
            if first.path_kind == "any" or first.path_kind == "prefix" and first.path in ("", "/"):
                self.only = Rule(0, first, services[first.service])

    cdef Rule find(self, bytes host, bytes path, bytes method, RequestView view):
        cdef _Level level
        cdef Rule rule
        for level in self.levels:
            rule = level.find(host, path, method, view)
            if rule is not None:
                return rule
        return None

    def explain(self, bytes host, bytes path, bytes method=b"GET", RequestView view=None) -> Rule | None:
        """The rule for a request given by its parts; the host in lower case without a port, the path without a query."""
        return self.find(host, normalise(path), method, Values() if view is None else view)
