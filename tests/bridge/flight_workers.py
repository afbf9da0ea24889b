"""Many processes that want the result of one key: each waits for its turn, runs and commits as a runner does.

``python flight_workers.py '{"settings": ..., "count": 64, ...}'`` (see :class:`Race`) starts them by fork,
before any has used the store, lets them go at once, and prints one JSON line for each: what it got and how.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stepbridge import documents, hashing, publishing
from stepbridge.artifact import Draft, DraftFile
from stepbridge.cache.flight import Held, wait_turn
from stepbridge.cache.lease import Heart, Lease
from stepbridge.cache.lookup import Miss
from stepbridge.contract import CacheEntry, CacheTarget, Stored, StoreSettings
from stepbridge.failures import ObjectExists
from stepbridge.store.base import Store
from stepbridge.store.opening import open_store

TARGET = CacheTarget("dag.train", "ab" * 32)
POINTS = ("held", "begun", "during", "ran", "uploaded", "committed")
"""Where a winner may die: lease taken; run noted; in it; over; artifact there; entry there."""


@dataclass(frozen=True)
class Race:
    """What is raced for.

    :param folder: for the notes of who ran, who died.
    :param ttl: of the lease, :param work: how long a run takes, seconds.
    :param die: where the first winner kills itself; empty for nowhere.
    """

    settings: dict[str, Any]
    folder: str
    count: int
    ttl: float
    work: float
    die: str = ""

    def note(self, name: str, text: str) -> None:
        """Append a line that no other process can tear."""
        file = os.open(f"{self.folder}/{name}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{text}\n".encode())
        os.close(file)

    def at(self, point: str) -> None:
        """Die here, if it is here and none has died yet."""
        if point != self.die:
            return
        try:
            os.close(os.open(f"{self.folder}/died", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


def commit(store: Store, race: Race, miss: Miss) -> None:
    """The result as a runner leaves it: payload, manifest, entry; a dead entry is replaced."""
    content = f"made by {os.getpid()} {secrets.token_hex(8)}".encode()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model.bin"
        source.write_bytes(content)
        digest = hashing.digest_bytes(content)
        file = DraftFile("model.bin", str(source), len(content), digest)
        draft = Draft(digest, "stepbridge.File", "file", "model.bin", (file,))
        artifact = publishing.publish(store, draft)
    race.at("uploaded")
    now = datetime.now(UTC).isoformat()
    source_run = f"runs/d/r/t/-1/{os.getpid()}/"
    entry = CacheEntry(
        TARGET.step, TARGET.key, Stored(artifact), {}, {}, source_run, now, secrets.token_hex(16)
    )
    try:
        store.put(TARGET.path, documents.dump(entry), create=not miss.dead)
    except ObjectExists:
        race.note("beside", str(os.getpid()))


def contend(race: Race) -> dict[str, Any]:
    """One contender, to its result."""
    store = open_store(documents.from_json(StoreSettings, race.settings, place="settings"))
    lease = Lease(store, TARGET, f"process {os.getpid()}", ttl=race.ttl)
    began = time.monotonic()
    turn = wait_turn(store, TARGET, lease)
    if isinstance(turn, Held):
        heart = Heart(lease, race.ttl / 4)
        heart.start()
        race.at("held")
        race.note("runs", str(os.getpid()))
        race.at("begun")
        time.sleep(race.work / 2)
        race.at("during")
        time.sleep(race.work / 2)
        race.at("ran")
        commit(store, race, turn.miss)
        race.at("committed")
        heart.stop()
        lease.release()
        if heart.lost:
            race.note("lost", str(os.getpid()))
        found = documents.load(CacheEntry, store.get(TARGET.path), place="entry")
    else:
        found = turn.entry
    assert isinstance(found.output, Stored)
    manifest = publishing.read_manifest(store, found.output.artifact.digest)
    with tempfile.TemporaryDirectory() as folder:
        content = publishing.fetch(store, manifest, Path(folder)).read_text()
    return {
        "pid": os.getpid(),
        "ran": isinstance(turn, Held),
        "content": content,
        "seconds": time.monotonic() - began,
    }


def child(race: Race, gate: int, out: int) -> None:
    """Wait for the gate, contend, write the line; never returns."""
    status = 1
    try:
        os.read(gate, 1)
        os.write(out, (json.dumps(contend(race)) + "\n").encode())
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def main(race: Race) -> int:
    import obstore  # noqa: F401 - loaded once, before the forks
    from obstore.store import S3Store  # noqa: F401

    gate, opener = os.pipe()
    results, out = os.pipe()
    children = []
    for _ in range(race.count):
        pid = os.fork()
        if pid == 0:
            os.close(opener)
            try:
                child(race, gate, out)
            except BaseException as error:  # noqa: BLE001 - shown, and the exit status tells
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
                os._exit(1)
        children.append(pid)
    os.close(out)
    os.close(opener)
    with os.fdopen(results, "rb") as lines:
        for line in lines:
            sys.stdout.write(line.decode())
    ends = [os.waitpid(pid, 0)[1] for pid in children]
    print(json.dumps({"killed": sum(os.WIFSIGNALED(end) for end in ends), "ends": ends}))
    return 0


def arguments(race: Race) -> list[str]:
    """The command line that starts the race."""
    return [sys.executable, __file__, json.dumps(asdict(race))]


if __name__ == "__main__":
    sys.exit(main(Race(**json.loads(sys.argv[1]))))
