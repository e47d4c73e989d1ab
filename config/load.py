"""Loading: from a file to a `Config`, or to everything that is wrong with it.

Owns the order of the stages: YAML, shape, references, and what is filled in afterwards. Every stage runs whatever the
one before has found, as far as there is something to look at; what YAML has complained about is left alone.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from config.admin import Admin, Authorized
from config.environment import substitute
from config.files import parse_token, read_secret
from config.model import Config, Rollout, Route, Service, ServiceLimits, ServiceTimeouts
from config.preview import with_previews
from config.problems import Complaint, ConfigError, Problem, render_path
from config.references import check_references
from config.shape import build
from config.tree import Document
from config.yaml12 import MAX_BYTES, read

T = TypeVar("T", ServiceTimeouts, ServiceLimits)
A = TypeVar("A", bound=Authorized)
P = TypeVar("P", bound=Admin)


def load(path: str | Path, environ: Mapping[str, str] | None = None) -> Config:
    """Return the configuration in the file at `path`; `environ` takes the place of the environment.

    Raises:
        ConfigError: the file cannot be read or used; it holds all problems.
    """
    path = Path(path)
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise ConfigError(str(path), [Problem("", f"cannot read the file: {exc.strerror or exc}")]) from exc
    return loads(text, file=str(path), folder=path.parent, environ=environ)


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to is empty, where a plain open would wait for ever."""
    fd = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(fd, True)
    return fd


def loads(
    text: str | bytes,
    *,
    file: str = "<text>",
    folder: str | Path = ".",
    environ: Mapping[str, str] | None = None,
) -> Config:
    """Return the configuration in `text`; `file` is its name in messages, relative paths start at `folder`.

    Raises:
        ConfigError: the text cannot be used; it holds all problems.
    """
    variables = os.environ if environ is None else environ
    document = read(text, lambda scalar: substitute(scalar, variables))
    faults = [
        Problem(render_path(fault.path), fault.message, fault.mark.line, fault.mark.column) for fault in document.faults
    ]
    tree = document.plain()
    if not isinstance(tree, dict):
        raise ConfigError(file, faults or [_not_a_mapping(document)])
    config, complaints = build(tree, Path(folder).absolute())
    problems = _located([*complaints, *check_references(tree)], document, faults)
    if config is None or problems:
        raise ConfigError(file, problems)
    return _completed(config)


def _not_a_mapping(document: Document) -> Problem:
    if document.plain() is None:
        return Problem("", "the file is empty; it needs at least listen and services", 1, 1)
    return Problem("", "the file must be a mapping of keys such as listen and services", 1, 1)


def _located(complaints: Iterable[Complaint], document: Document, faults: Iterable[Problem]) -> list[Problem]:
    """Return the faults, and the complaints about all other places."""
    problems = list(faults)
    broken = {(problem.line, problem.column) for problem in problems}
    for complaint in complaints:
        place = document.find(complaint.path)
        mark = place.key_mark if complaint.at_key else place.mark
        if (mark.line, mark.column) not in broken:
            path, suggestion = render_path(complaint.path), complaint.suggestion
            problems.append(
                Problem(path, complaint.message, mark.line, mark.column, suggestion, at_key=complaint.at_key)
            )
    return problems


def _completed(config: Config) -> Config:
    """Fill in what one part of the file takes from another, or from a file beside it."""
    changes: dict[str, object] = {
        "services": type(config.services)(
            {name: _with_globals(service, config) for name, service in config.services.items()}
        )
    }
    rollouts = {name: _with_breaker(rollout, config.services[name]) for name, rollout in config.rollouts.items()}
    changes["rollouts"] = type(config.rollouts)(rollouts)
    has_default_route = len(config.services) == 1 and "routes" not in config.model_fields_set
    routes = (Route(service=next(iter(config.services))),) if has_default_route else config.routes
    changes["routes"] = with_previews(routes, config.rollouts)
    proxies = tuple(_with_token(proxy) for proxy in config.controller.proxies)
    changes["admin"] = _with_tokens(config.admin)
    changes["controller"] = _with_tokens(config.controller).model_copy(update={"proxies": proxies})
    return config.model_copy(update=changes)


def _with_breaker(rollout: Rollout, service: Service) -> Rollout:
    """Return the rollout with the breaker of its service, where only that one has its own."""
    if "breaker" in rollout.model_fields_set or "breaker" not in service.model_fields_set:
        return rollout
    return rollout.model_copy(update={"breaker": service.breaker})


def _with_token(part: A) -> A:
    """Return the part with the token that its file holds."""
    if part.token_file is None:
        return part
    return part.model_copy(update={"token": parse_token(read_secret(part.token_file))})


def _with_tokens(part: P) -> P:
    """Return the part with all tokens that its files hold."""
    return _with_token(part).model_copy(update={"tokens": tuple(map(_with_token, part.tokens))})


def _with_globals(service: Service, config: Config) -> Service:
    """Return the service with the global timeouts and limits wherever it has none of its own."""
    return service.model_copy(
        update={
            "timeouts": _inherited(service.timeouts, config.timeouts),
            "limits": _inherited(service.limits, config.limits),
        }
    )


def _inherited(own: T, base: T) -> T:
    missing = type(own).model_fields.keys() - own.model_fields_set
    return own.model_copy(update={name: getattr(base, name) for name in missing})
