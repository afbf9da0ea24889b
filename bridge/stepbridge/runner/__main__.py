"""``python -m stepbridge.runner <uri of request.json> --digest <sha256> [--store <json>]``: runs one attempt.

``--store`` takes the fields of ``StoreSettings`` as JSON (root, endpoint, region, path_style, ...) for a
store that the environment alone does not describe; its root is ignored, the URI says it. The variable
``STEPBRIDGE_WORKDIR`` names the directory for temporary files, ``STEPBRIDGE_TERMINATION_LOG`` the file for
the short failure message. ``STEPBRIDGE_GPU_PATIENCE`` gives the seconds that a GPU's driver may need to get
ready, 60; ``STEPBRIDGE_GPU_CHECK=off`` leaves the check of GPUs out.

Exit status, the same as the ``kind`` in ``error.json``:

====  =============================================================================================
0     ``result.json`` is written
1     ``user``: the function raised, or asked for failure
2     the command line is wrong; nothing was read or written
3     ``config``: a module, argument, annotation or setting is wrong; another try will not help
4     ``infra``: the store, the request, the code bundle, or the process died
5     ``oom``: out of memory
6     ``timeout``: over ``limits.timeout``
7     ``preflight``: a GPU that was asked for is not there
8     ``interrupted``: SIGTERM, SIGINT or SIGHUP
10    the function raised ``AirflowSkipException`` (``signal`` is ``skip``)
====  =============================================================================================
"""

from __future__ import annotations

import os
import signal
import sys

from stepbridge import documents
from stepbridge.contract import StoreSettings
from stepbridge.failures import StepbridgeError
from stepbridge.runner import linux
from stepbridge.runner.attempt import Call, Run
from stepbridge.runner.processes import Signals

_USAGE = "usage: python -m stepbridge.runner URI --digest SHA256 [--store JSON]"


def main(arguments: list[str]) -> int:
    """Run the attempt that *arguments* name; the exit status."""
    options = _parse(arguments)
    if options is None:
        print(_USAGE, file=sys.stderr)
        return 2
    parent = os.environ.pop("STEPBRIDGE_PARENT", "")
    if parent.isdigit():
        linux.die_with_parent(signal.SIGTERM, int(parent))
    try:
        settings = None
        if "store" in options:
            settings = documents.load(StoreSettings, options["store"].encode(), place="--store")
    except StepbridgeError as error:
        print(error, file=sys.stderr)
        return 2
    signals = Signals()
    signals.install()
    return Run(Call(options["uri"], options["digest"], settings), signals).execute()


def _parse(arguments: list[str]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word in {"--digest", "--store"} and rest:
            found[word[2:]] = rest.pop(0)
        elif not word.startswith("-") and "uri" not in found:
            found["uri"] = word
        else:
            return None
    return found if {"uri", "digest"} <= set(found) else None


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Nothing is left to be done, and a thread that hangs in a request must not hold the process.
    os._exit(status)
