"""What a code is: its page for ``migrate explain``."""

from __future__ import annotations

from dataclasses import dataclass

from stepbridge_migrate.model import Disposition


@dataclass(frozen=True)
class Code:
    """One stable code and its page for ``migrate explain``.

    :param disposition: what a site with such a finding becomes; AUTO for a mere remark.
    :param why: what would go wrong, in full sentences.
    :param do: what to change, step by step.
    :param before: an example that has it.
    :param after: the same, mended; empty where there is none.
    """

    id: str
    title: str
    disposition: Disposition
    why: str
    do: str
    before: str = ""
    after: str = ""
