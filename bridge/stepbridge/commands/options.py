"""Options that several commands share, and the store they name."""

from __future__ import annotations

import argparse
import os

from stepbridge.failures import StepbridgeError
from stepbridge.store.base import Store

_STORE_VARIABLE = "AIRFLOW__STEPBRIDGE__STORE"


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add ``--store``."""
    parser.add_argument(
        "--store",
        default=os.environ.get(_STORE_VARIABLE, ""),
        help=f"the store's root URI; default: the environment variable {_STORE_VARIABLE}",
    )


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add ``--format``."""
    parser.add_argument("--format", choices=("text", "json"), default="text")


def open_root(root: str) -> Store:
    """The store at *root*.

    :raises StepbridgeError: SB311 where none is named.
    """
    from stepbridge.store.opening import store_at

    if not root:
        raise StepbridgeError(
            "SB311", "no store is named", place="--store", hint=f"give --store URI or set {_STORE_VARIABLE}"
        )
    return store_at(root)
