"""Secrets as references: where a secret lies and how the step sees it; never its value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from stepbridge.failures import TypeProblem

HIDDEN_VARIABLES = "STEPBRIDGE_SECRET_VARIABLES"
"""The environment variable that names, by commas, those whose values the pod takes from Secrets."""
HIDDEN_FILES = "STEPBRIDGE_SECRET_FILES"
"""The environment variable that names, by colons, files and folders that the pod mounts from Secrets."""
_ENV = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")


@dataclass(frozen=True)
class Secret:
    """One secret a step may read.

    :param name: of the Kubernetes Secret, or the AWS secret's name or ARN.
    :param key: the member; empty for the whole AWS secret.
    :param env: the environment variable that holds it, or
    :param file: the absolute path of the file that holds it.
    :param source: ``kubernetes``, or ``aws`` for AWS Secrets Manager, read where the step runs by its own
        role.
    :raises TypeProblem: SB111 where it names no place, two places or an impossible one.
    """

    name: str
    key: str = ""
    env: str = ""
    file: str = ""
    source: Literal["kubernetes", "aws"] = "kubernetes"

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise TypeProblem(
                "SB111",
                problem,
                place=f"Secret({self.name!r}, {self.key!r})",
                hint="write Secret('db', 'password', env='DB_PASSWORD') or file='/run/secrets/db'",
            )

    def _problem(self) -> str:
        if not self.name:
            return "the secret has no name"
        if bool(self.env) == bool(self.file):
            return "exactly one of env and file says how the step sees it"
        if self.env and not _ENV.match(self.env):
            return f"{self.env!r} is not a name of an environment variable"
        if self.file and not self.file.startswith("/"):
            return f"{self.file!r} is not an absolute path"
        if self.source not in ("kubernetes", "aws"):
            return f"{self.source!r} is no source of secrets"
        if self.source == "kubernetes" and not self.key:
            return "a Kubernetes Secret needs a key"
        return ""
