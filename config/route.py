"""Routes: which requests go to which service.

Owns the conditions of a match. Must not decide which of two matching routes wins: that is `proxy.core.routing`.
"""

from typing import Annotated, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from config.texts import HeaderValue, HostPattern, Method, Name, Regex, RequestPath, TokenText, VersionName, VisibleText
from config.values import OneOrMore, Table, TextToo, Value


class TextMatch(Value):
    """A condition on one header, cookie or query parameter; a bare text is the same as `exact`."""

    exact: HeaderValue | None = None
    """The value has to be this text."""
    regex: Regex | None = None
    """The whole value has to match this regular expression."""
    present: bool | None = None
    """true: has to be there, with any value; false: must not be there."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return value if isinstance(value, dict | TextMatch) else {"exact": value}

    @model_validator(mode="after")
    def _one_condition(self) -> Self:
        if sum(condition is not None for condition in (self.exact, self.regex, self.present)) != 1:
            raise ValueError("needs exactly one of exact, regex and present")
        return self

    @model_serializer(mode="wrap")
    def _as_text(self, serialize: SerializerFunctionWrapHandler) -> object:
        return self.exact if self.exact is not None else serialize(self)


TextCondition = Annotated[TextMatch, TextToo()]


class Match(Value):
    """The conditions of a route; all of them have to hold, none at all matches every request."""

    host: OneOrMore[HostPattern] = ()
    """Hosts without port; `*.example.com` matches every name below example.com. One, or a list."""
    path: RequestPath | None = None
    """The whole path."""
    path_prefix: RequestPath | None = None
    """The beginning of the path, up to the end of a segment: /api matches /api and /api/x, not /apix."""
    path_regex: Regex | None = None
    """A regular expression that matches the whole path."""
    method: OneOrMore[Method] = ()
    """Methods. One, or a list."""
    headers: Table[TokenText, TextCondition] = Field(default_factory=Table)
    """Conditions on headers, by name in any case."""
    cookies: Table[TokenText, TextCondition] = Field(default_factory=Table)
    """Conditions on cookies, by name."""
    query: Table[VisibleText, TextCondition] = Field(default_factory=Table)
    """Conditions on query parameters, by name."""

    @model_validator(mode="after")
    def _one_path(self) -> Self:
        if sum(path is not None for path in (self.path, self.path_prefix, self.path_regex)) > 1:
            raise ValueError("takes one of path, path_prefix and path_regex, not several")
        return self

    @model_validator(mode="after")
    def _headers_once(self) -> Self:
        names = [name.lower() for name in self.headers]
        if len(set(names)) != len(names):
            raise ValueError("names a header twice: case does not matter in names of headers")
        return self

    @model_serializer(mode="wrap")
    def _without_absent(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        return {key: value for key, value in serialize(self).items() if value}


class Route(Value):
    """Requests that match go to the service."""

    match: Match = Field(default_factory=Match)
    """The conditions; without any, every request matches."""
    service: Name
    """The service that answers."""
    version: VersionName | None = None
    """Forces this version, whatever its weight; without it the split decides."""
    refuse_encoded_slashes: bool = False
    """Whether a path with %2F, %5C or a backslash is answered with 400: servers differ in what they take these for."""
