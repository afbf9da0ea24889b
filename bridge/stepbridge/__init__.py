"""stepbridge: typed, cached steps for Airflow DAGs that already exist."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepbridge.codecs.handles import Directory, File, Pickle
    from stepbridge.failures import StepbridgeError
    from stepbridge.loading import load
    from stepbridge.resources import Resources
    from stepbridge.secrets import Secret

__version__ = "0.1.0"
__all__ = ["Directory", "File", "Pickle", "Resources", "Secret", "StepbridgeError", "__version__", "load"]

_HOMES = {
    "Directory": "stepbridge.codecs.handles",
    "File": "stepbridge.codecs.handles",
    "Pickle": "stepbridge.codecs.handles",
    "Resources": "stepbridge.resources",
    "Secret": "stepbridge.secrets",
    "StepbridgeError": "stepbridge.failures",
    "load": "stepbridge.loading",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that ``import stepbridge`` stays cheap."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
