"""What Airflow's REST API tells of another task's instances, where a connection to it is named."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from stepbridge_airflow import compat
from stepbridge_airflow.compat import Times

if TYPE_CHECKING:
    import httpx

_SECONDS = 10.0
"""That one answer may take."""
_PAGE = 100
"""Elements asked for at once: the most that Airflow gives unless it is told otherwise."""
_MOST = 1000
"""Elements of a mapped task that are asked for."""
_ONE_BY_ONE = 100
"""Of these the ones that are asked for again, where the list told too little of them."""


class RestTrouble(Exception):
    """The REST API did not tell; the message says why, in words for people and without secrets."""


@dataclass(frozen=True)
class Instance:
    """A task instance as the REST API shows it.

    :param fields: what its templates became, secrets masked and long ones cut off; empty where none are kept.
    """

    fields: Mapping[str, Any]
    times: Times


def instances(
    name: str, context: Mapping[str, Any], task_ids: Collection[str], map_indexes: Collection[int]
) -> dict[str, dict[int, Instance]]:
    """Instances of tasks in this run, by task and map index; without those that Airflow does not know.

    :param name: the Airflow connection: host, scheme, port and path of the API server; login and password, or
        the password alone: a token; or neither, where Airflow gives every caller a token.
    :param map_indexes: -1 for tasks that are not mapped; of many, the first 1,000 are asked for.
    :raises RestTrouble: where the API cannot be asked, refuses or answers what cannot be understood.
    """
    import httpx

    ti = context["ti"]
    run = f"dags/{quote(ti.dag_id, safe='')}/dagRuns/{quote(ti.run_id, safe='')}/taskInstances"
    given = _connection(name)
    try:
        with httpx.Client(base_url=_base(name, given), timeout=_SECONDS) as client:
            client.headers["Authorization"] = f"Bearer {_token(client, given)}"
            return {
                one: {
                    index: instance
                    for index, instance in _of_task(client, f"{run}/{quote(one, safe='')}", map_indexes)
                    if index in map_indexes
                }
                for one in task_ids
            }
    except (httpx.InvalidURL, httpx.LocalProtocolError, ValueError):
        # their words can hold the token
        raise RestTrouble(f"connection {name!r} gives no URL or token that can be used") from None
    except httpx.HTTPError as error:
        raise RestTrouble(f"{type(error).__name__}: {error}") from error


def _of_task(client: httpx.Client, path: str, asked: Collection[int]) -> Iterator[tuple[int, Instance]]:
    if len(asked) > 1:
        found = dict(_listed(client, path))
        yield from found.items()
        # the list of Airflow 3.0 leaves out what templates became
        bare = [index for index in asked if index in found and not found[index].fields]
    else:
        bare = list(asked)
    for index in bare[:_ONE_BY_ONE]:
        answer = _asked(client, "GET", path if index < 0 else f"{path}/{index}", absent=True)
        if answer is not None:
            yield _instance(answer)


def _listed(client: httpx.Client, path: str) -> Iterator[tuple[int, Instance]]:
    """The first elements of a mapped task."""
    offset = 0
    while offset < _MOST:
        query = f"{path}/listMapped?order_by=map_index&limit={_PAGE}&offset={offset}"
        answer = _asked(client, "GET", query, absent=True) or {}
        page, total = answer.get("task_instances"), answer.get("total_entries")
        if not isinstance(page, list) or not page:
            return
        for one in page:
            yield _instance(one)
        offset += len(page)
        if isinstance(total, int) and offset >= total:
            return


def _instance(found: object) -> tuple[int, Instance]:
    """Map index and instance from the API's words."""
    if not isinstance(found, Mapping):
        raise RestTrouble("its answer is no task instance")
    fields, index, tries, seconds = (
        found.get(key) for key in ("rendered_fields", "map_index", "try_number", "duration")
    )
    started, queued = _time(found.get("start_date")), _time(found.get("queued_when"))
    times = Times(
        tries if isinstance(tries, int) else None,
        started.isoformat() if started else "",
        float(seconds) if isinstance(seconds, int | float) else None,
        (started - queued).total_seconds() if started and queued else None,
    )
    shown = fields if isinstance(fields, Mapping) else {}
    return index if isinstance(index, int) else -1, Instance(shown, times)


def _time(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise RestTrouble(f"its answer has no time: {text[:40]!r}") from error


def _connection(name: str) -> Any:
    try:
        return compat.connection(name)
    except Exception as error:  # a secrets backend raises what it likes, and a report must come
        raise RestTrouble(f"connection {name!r} cannot be read: {type(error).__name__}: {error}") from error


def _base(name: str, given: Any) -> str:
    """The URL of the API server, with a closing slash; host and scheme as in Airflow's HTTP connections."""
    host = str(given.host or "").rstrip("/")
    if not host:
        raise RestTrouble(f"connection {name!r} has no host")
    if "://" not in host:
        known = [one for one in (given.schema, given.conn_type) if one in ("http", "https")]
        host = f"{known[0] if known else 'http'}://{host}"
    parts = urlsplit(host)
    if given.port:
        parts = parts._replace(netloc=f"{parts.netloc}:{given.port}")
    return parts.geturl() + "/"


def _token(client: httpx.Client, given: Any) -> str:
    if given.password and not given.login:
        return str(given.password)
    if given.login:
        body = {"username": given.login, "password": given.password or ""}
        answer = _asked(client, "POST", "auth/token", body)
    else:
        answer = _asked(client, "GET", "auth/token")
    token = answer.get("access_token") if answer is not None else None
    if not isinstance(token, str):
        raise RestTrouble("auth/token gave no access_token")
    return token


def _asked(
    client: httpx.Client,
    method: str,
    path: str,
    body: Mapping[str, str] | None = None,
    *,
    absent: bool = False,
) -> Mapping[str, Any] | None:
    """What the API answers.

    :param absent: None where it answers that there is nothing of this name.
    """
    where = path if body is not None or path == "auth/token" else f"api/v2/{path}"
    answer = client.request(method, where, json=body)
    if answer.status_code == 404 and absent:
        return None
    if not answer.is_success:
        raise RestTrouble(f"{method} {answer.request.url.path} is answered with {answer.status_code}")
    try:
        found = answer.json()
    except ValueError as error:
        raise RestTrouble(f"{method} {answer.request.url.path} is not answered with JSON") from error
    if not isinstance(found, Mapping):
        raise RestTrouble(f"{method} {answer.request.url.path} is not answered with an object")
    return found
