"""Previews: the routes by which a rollout's new version is reached before it has any weight.

Owns how the preview of a rollout becomes routes. Must not decide which of two routes wins (`proxy.core.routing`).

1. A preview that names a host or a path is a route of its own: it says where the new version is reached.
2. Any other one asks for something more of requests that reach the service anyway. So each route to the service is
   followed by a twin with the conditions of both; requests for other services are left alone, whatever they carry.
3. These routes come before all others. One whose match the file has already is left out: the file wins.
4. What a route refuses, its twin refuses too; a route of its own, what any route to the service does.
5. A route that forces a version has no twin, and two conditions that cannot both hold make none.
"""

from collections.abc import Iterator, Mapping, Sequence

from config.rollout import BlueGreenRollout, Rollout
from config.route import Match, Route, TextMatch
from config.values import Table


def with_previews(routes: Sequence[Route], rollouts: Mapping[str, Rollout]) -> tuple[Route, ...]:
    """Return the routes with those of all previews before them."""
    taken, previews = {route.match for route in routes}, list[Route]()
    for service, rollout in rollouts.items():
        if isinstance(rollout, BlueGreenRollout) and rollout.preview is not None:
            for route in _twins(rollout.preview, service, [route for route in routes if route.service == service]):
                if route.match not in taken:
                    taken.add(route.match)
                    previews.append(route.model_copy(update={"version": rollout.to}))
    return (*previews, *routes)


def _twins(preview: Match, service: str, routes: Sequence[Route]) -> Iterator[Route]:
    if preview.host or preview.path or preview.path_prefix or preview.path_regex:
        refuses = any(route.refuse_encoded_slashes for route in routes)
        yield Route(match=preview, service=service, refuse_encoded_slashes=refuses)
        return
    for route in routes:
        joined = _joined(route.match, preview) if route.version is None else None
        if joined is not None:
            yield route.model_copy(update={"match": joined})


def _joined(match: Match, preview: Match) -> Match | None:
    """Return the match that asks for both, None when nothing can be both. The preview has neither host nor path."""
    method = tuple(each for each in match.method or preview.method if each in (preview.method or match.method))
    if bool(method) != bool(match.method or preview.method):
        return None
    changes: dict[str, object] = {"method": method}
    for name in ("headers", "cookies", "query"):
        both = _both(getattr(match, name), getattr(preview, name), ignore_case=name == "headers")
        if both is None:
            return None
        changes[name] = both
    return match.model_copy(update=changes)


def _both(
    one: Mapping[str, TextMatch], other: Mapping[str, TextMatch], *, ignore_case: bool
) -> Mapping[str, TextMatch] | None:
    """Return all conditions of two tables, None where they ask different things of the same name."""
    both = dict(one)
    names = {name.lower() if ignore_case else name: name for name in one}
    for name, condition in other.items():
        known = names.get(name.lower() if ignore_case else name)
        if known is not None and one[known] != condition:
            return None
        both[known or name] = condition
    return Table(both)
