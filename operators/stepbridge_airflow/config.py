"""The ``[stepbridge]`` section of airflow.cfg as one frozen value."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from stepbridge.contract import StoreSettings
from stepbridge.failures import OperatorProblem
from stepbridge_airflow.compat import conf
from stepbridge_airflow.provider_info import OPTIONS

SECTION = "stepbridge"
_YES = {"true": True, "t": True, "1": True, "yes": True, "false": False, "f": False, "0": False, "no": False}


@dataclass(frozen=True)
class Settings:
    """What the installation says; see ``provider_info.OPTIONS`` for each field."""

    store: StoreSettings
    backend: str
    image: str
    namespace: str
    service_account: str
    pod_python: str
    run_limit: float
    repeat_delay: float
    api_patience: float
    look_interval: float
    accelerators: Path | None
    gpu_labels: tuple[str, ...]
    inline_limit: int
    roots: tuple[Path, ...]
    python: str
    grace: float
    compare_limit: float

    def in_pods(self, backend: str | None) -> bool:
        """Whether a step that asks for *backend*, or for none, runs in a pod."""
        return (backend or self.backend) == "pod"


def read(*, store: str | None = None) -> Settings:
    """The settings as Airflow's configuration and environment give them.

    :param store: another root than the configured one.
    :raises OperatorProblem: SB502 naming the option that is not valid.
    """
    return Settings(
        store=_store(store),
        backend=_backend(),
        image=_text("image"),
        namespace=_text("namespace"),
        service_account=_text("service_account"),
        pod_python=_text("pod_python"),
        run_limit=run_limit(),
        repeat_delay=_number("repeat_delay"),
        api_patience=_number("api_patience"),
        look_interval=_number("look_interval"),
        accelerators=Path(_text("accelerators")) if _text("accelerators") else None,
        gpu_labels=_names("gpu_labels"),
        inline_limit=int(_number("inline_limit")),
        roots=tuple(Path(part) for part in _text("roots").split(os.pathsep) if part),
        python=_text("python") or sys.executable,
        grace=_number("grace"),
        compare_limit=compare_limit(),
    )


def _backend() -> str:
    named = _text("backend")
    if named not in {"", "pod", "local"}:
        raise _problem("backend", named, "write pod, local or nothing")
    return named or ("pod" if _text("image") or _text("namespace") else "local")


def _store(root: str | None) -> StoreSettings:
    encryption = _text("encryption")
    if encryption not in {"", "AES256", "aws:kms"}:
        raise _problem("encryption", encryption, "write AES256, aws:kms or nothing")
    style = _text("path_style").lower()
    if style and style not in _YES:
        raise _problem("path_style", style, "write true, false or nothing")
    chosen = root or _text("store") or _default_root()
    if not chosen.startswith(("s3://", "file://")):
        raise _problem("store", chosen, "write s3://bucket/prefix or file:///folder")
    return StoreSettings(
        root=chosen.rstrip("/"),
        endpoint=_text("endpoint"),
        region=_text("region"),
        encryption=encryption,
        kms_key=_text("kms_key"),
        path_style=_YES[style] if style else None,
    )


def _default_root() -> str:
    home = os.environ.get("AIRFLOW_HOME") or "~/airflow"
    return f"file://{Path(home).expanduser().absolute() / SECTION}"


def _text(option: str) -> str:
    return str(conf.get(SECTION, option, fallback=OPTIONS[option]["default"]) or "").strip()


def gpu_models() -> tuple[str, ...]:
    """The only GPU models that a step may ask for; empty: any. Read when a DAG is."""
    return _names("gpu_models")


def shadow_pool() -> str:
    """The pool of shadows; empty for Airflow's default pool. Read when a DAG is."""
    return _text("shadow_pool")


def rest_connection() -> str:
    """The Airflow connection to Airflow's REST API; empty for none."""
    return _text("rest_connection")


def run_limit() -> float:
    """Seconds after which a step's run ends where nothing else says so."""
    return _number("run_limit") or float(OPTIONS["run_limit"]["default"])


def compare_limit() -> float:
    """Seconds after which a shadow's comparison is given up."""
    return _number("compare_limit") or float(OPTIONS["compare_limit"]["default"])


def _names(option: str) -> tuple[str, ...]:
    return tuple(part for part in _text(option).replace(",", " ").split() if part)


def _number(option: str) -> float:
    text = _text(option)
    try:
        number = float(text)
    except ValueError as error:
        raise _problem(option, text, "write a number") from error
    if number < 0:
        raise _problem(option, text, "write a number that is not negative")
    return number


def _problem(option: str, value: str, hint: str) -> OperatorProblem:
    return OperatorProblem(
        "SB502",
        f"{value!r} is not a value of {option}",
        place=f"[{SECTION}] {option} (AIRFLOW__{SECTION.upper()}__{option.upper()})",
        hint=hint,
    )
