"""Thousands of random edits, runs, expiries and losses against a model: no stale hit, no wrong hit.

The model keeps, for each distinct piece of work, what its result is and what has since been done to the entry
and its artifact. It knows the work by the plain values themselves and never computes a key or a digest.
"""

from __future__ import annotations

import random
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stepbridge import documents, publishing
from stepbridge.artifact import Draft, DraftFile
from stepbridge.cache.key import Key, build_key
from stepbridge.cache.lookup import Hit, Miss, look_up
from stepbridge.contract import CacheEntry, CacheTarget, Fields, Inline, Items, Outside, Stored, Value
from stepbridge.failures import ObjectExists
from stepbridge.hashing import digest, digest_bytes
from stepbridge.store.base import Store

START = datetime(2024, 5, 1, tzinfo=UTC)
MAX_AGES = (None, None, timedelta(hours=6), timedelta(days=3))
CODES = ("x + 1", "x + 2", "x * 2")
DATA = (1, 1.0, True, "1", None, [1], [[1, 2], [3]], [[1], [2, 3]], {"ab": {"c": 1}}, {"a": {"bc": 1}}, (1,))
FILES = (b"", b"a", b"b", b"ab")
IMAGES = ("", "repo@sha256:1", "repo@sha256:2")

HARMS = (
    "entry deleted",
    "entry cut",
    "entry garbage",
    "entry of another",
    "artifact payload deleted",
    "artifact manifest deleted",
    "artifact all deleted",
    "artifact cut",
    "artifact longer",
)


@dataclass(frozen=True)
class Work:
    """What a step is told to do, as its user sees it; two that differ here are different work.

    :param loud: a parameter that is ignored.
    :param pin: ``cache_version``; where it is given the code does not count.
    """

    step: str = "dag.a"
    code: str = CODES[0]
    data: int = 0
    file: int = 0
    outside: str = "v1"
    image: str = ""
    mode: str = "fast"
    salt: str = ""
    pin: str = ""
    numpy: str = "2.0"
    loud: bool = False
    retries: int = 0

    @property
    def counted(self) -> tuple[object, ...]:
        """All that a result may depend on."""
        code: object = ("pinned", self.pin) if self.pin else (self.code, self.numpy)
        return (
            self.step,
            code,
            (self.data, self.file, self.outside),
            self.image,
            self.mode,
            self.salt,
        )

    @property
    def result(self) -> bytes:
        """What a run gives: another text for other work, and another under a pin for other code."""
        return repr((self.counted, self.code, self.numpy)).encode()


@dataclass
class Known:
    """What the model knows of the entry of one piece of work.

    :param harm: what was done to it or its artifact since; empty while it is sound.
    """

    result: bytes
    created: datetime
    source: str
    where: CacheTarget
    artifact: str
    harm: str = ""


@dataclass
class Counts:
    """What has happened, to see that all of it did."""

    steps: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)


class World:
    """A store, a clock, a step under edit, and the model."""

    def __init__(self, store: Store, scratch: Path, seed: int) -> None:
        self.store = store
        self.scratch = scratch
        self.chance = random.Random(seed)
        self.now = START
        self.work = Work()
        self.known: dict[tuple[object, ...], Known] = {}
        self.counts = Counts()
        self.runs = 0
        scratch.mkdir()

    # the cache, used as planner, operator and runner do --------------------------------------------------

    def key(self) -> Key:
        work = self.work
        inputs: dict[str, Value] = {
            "data": inline(DATA[work.data]),
            "file": draft(FILES[work.file], None),
            "many": Items("list", (draft(FILES[work.file], None), inline(DATA[work.data]))),
            "named": Fields({"o": Outside("s3://bucket/o", 7, {"version": work.outside})}),
            "loud": Inline("json", work.loud),
        }
        return build_key(
            step=work.step,
            interface="(data, file, many, named, loud) -> File",
            inputs=inputs,
            code=digest(work.code),
            parts={"train": digest(work.code)},
            requires={"numpy": work.numpy},
            image=work.image,
            environment={"MODE": work.mode},
            version=work.pin,
            salt=work.salt,
            ignore=("loud",),
        )

    def target(self) -> CacheTarget:
        key = self.key()
        return CacheTarget(self.work.step, key.digest, key.record)

    def run(self, target: CacheTarget, *, replace_entry: bool) -> None:
        """What runner and operator do after a miss: artifact, entry, a dead entry replaced."""
        self.runs += 1
        source = f"runs/d/{self.runs}/t/-1/1/"
        made = draft(self.work.result, self.scratch)
        artifact = publishing.publish(self.store, made)
        entry = CacheEntry(
            target.step,
            target.key,
            Stored(artifact),
            {"copy": Items("list", (Stored(artifact), Inline("json", 1)))},
            target.record,
            source,
            self.now.isoformat(),
            f"{self.runs:032x}",
        )
        data = documents.dump(entry)
        try:
            self.store.put(target.path, data, create=True)
        except ObjectExists:
            assert replace_entry, "an entry that the look-up did not see"
            self.store.put(target.path, data)
        self.known[self.work.counted] = Known(self.work.result, self.now, source, target, artifact.digest)
        self.heal(artifact.digest)

    def heal(self, artifact: str) -> None:
        """Publishing made the artifact whole again: other entries that hold it are sound too."""
        for known in self.known.values():
            if known.artifact == artifact and known.harm.startswith("artifact"):
                known.harm = ""

    # operations ------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Look up; a hit must be the one the model allows, a miss the one it demands; then run."""
        target = self.target()
        max_age = self.chance.choice(MAX_AGES)
        known = self.known.get(self.work.counted)
        found = look_up(self.store, target, max_age=max_age, now=self.now)
        old = known is not None and max_age is not None and self.now - known.created > max_age
        if known is None or known.harm or old:
            why = "first" if known is None else known.harm or "old"
            assert isinstance(found, Miss), (why, self.work)
            assert found.reason
            assert not found.failed, found
            assert found.dead == (known is not None and known.harm != "entry deleted"), (why, found)
            self.counts.ends[f"miss: {why}"] += 1
            self.run(target, replace_entry=found.dead)
            again = look_up(self.store, target, max_age=max_age, now=self.now)
            assert isinstance(again, Hit), (why, again)
            found = again
            known = self.known[self.work.counted]
        else:
            assert isinstance(found, Hit), (known, found)
            self.counts.ends["hit"] += 1
        assert found.entry.source == known.source
        assert found.entry.created == known.created.isoformat()
        assert self.content(found.entry) == known.result
        if not self.work.pin:
            assert known.result == self.work.result

    def content(self, entry: CacheEntry) -> bytes:
        assert isinstance(entry.output, Stored)
        manifest = publishing.read_manifest(self.store, entry.output.artifact.digest)
        path = publishing.fetch(self.store, manifest, self.scratch / "fetched")
        data = path.read_bytes()
        path.unlink()
        return data

    def refresh(self) -> None:
        """``cache="refresh"``: run whatever is there, and replace it."""
        self.run(self.target(), replace_entry=True)

    def edit(self) -> None:
        """Change one thing of the step; mostly to what it was at some time, so that entries are met again."""
        chance = self.chance
        changes: dict[str, object] = {
            "step": chance.choice(("dag.a", "dag.b")),
            "code": chance.choice(CODES),
            "data": chance.randrange(len(DATA)),
            "file": chance.randrange(len(FILES)),
            "outside": chance.choice(("v1", "v2")),
            "image": chance.choice(IMAGES),
            "mode": chance.choice(("fast", "slow")),
            "salt": chance.choice(("", "s")),
            "pin": chance.choice(("", "", "1", "2")),
            "numpy": chance.choice(("2.0", "2.1")),
            "loud": chance.choice((True, False)),
            "retries": chance.randrange(3),
        }
        name = chance.choice(list(changes))
        self.counts.steps[f"edit {name}"] += 1
        self.work = replace(self.work, **{name: changes[name]})  # type: ignore[arg-type]

    def back_to_known(self) -> None:
        """Back to work that was done before, under a new mind about what is ignored."""
        if self.known:
            counted = self.chance.choice(list(self.known))
            step, code, (data, file, outside), image, mode, salt = counted  # type: ignore[misc]
            pin, rest = (code[1], {}) if code[0] == "pinned" else ("", {"code": code[0], "numpy": code[1]})
            self.work = Work(step, data=data, file=file, outside=outside, image=image, mode=mode, salt=salt)
            self.work = replace(self.work, pin=pin, loud=self.chance.random() < 0.5, **rest)
            assert self.work.counted == counted

    def time_passes(self) -> None:
        self.now += timedelta(minutes=self.chance.choice((1, 60, 360, 361, 1440, 4321)))

    def harm(self) -> None:
        """A lifecycle rule, a crash or a hand deletes or damages something of one entry."""
        sound = [known for known in self.known.values() if not known.harm]
        if not sound:
            return
        known = self.chance.choice(sound)
        what = self.chance.choice(HARMS)
        if what.startswith("artifact"):
            self.harm_artifact(what, known.artifact)
        elif not self.harm_entry(what, known):
            return
        self.counts.steps[what] += 1
        for one in self.known.values():
            if one is known or (what.startswith("artifact") and one.artifact == known.artifact):
                one.harm = one.harm or what

    def harm_entry(self, what: str, known: Known) -> bool:
        """Whether there was a way to do it."""
        place = known.where.path
        match what:
            case "entry deleted":
                self.store.delete(place)
            case "entry cut":
                data = self.store.get(place)
                self.store.put(place, data[: self.chance.randrange(len(data) - 2)])
            case "entry garbage":
                self.store.put(place, self.chance.randbytes(self.chance.randrange(200)))
            case "entry of another":
                other = self.chance.choice(list(self.known.values()))
                if other is known or other.harm.startswith("entry"):
                    return False
                self.store.put(place, self.store.get(other.where.path))
        return True

    def harm_artifact(self, what: str, artifact: str) -> None:
        payload, manifest = (
            f"artifacts/{artifact[:2]}/{artifact}/{name}" for name in ("out.bin", "manifest.json")
        )
        match what:
            case "artifact payload deleted":
                self.store.delete(payload)
            case "artifact manifest deleted":
                self.store.delete(manifest)
            case "artifact all deleted":
                self.store.delete(payload)
                self.store.delete(manifest)
            case "artifact cut":
                self.store.put(payload, self.store.get(payload)[:-1])
            case "artifact longer":
                self.store.put(payload, self.store.get(payload) + b"x")

    def step(self) -> None:
        operations = (
            (self.ask, 40),
            (self.edit, 30),
            (self.back_to_known, 8),
            (self.harm, 14),
            (self.time_passes, 5),
            (self.refresh, 3),
        )
        (operation,) = self.chance.choices(
            [one for one, _ in operations], [weight for _, weight in operations]
        )
        self.counts.steps[operation.__name__] += 1
        operation()


def inline(value: object) -> Inline:
    return Inline("python", ["t", list(value)]) if isinstance(value, tuple) else Inline("json", value)


def draft(content: bytes, folder: Path | None) -> Draft:
    """A file on this machine; without *folder* only what a key needs of it."""
    content_digest = digest_bytes(content)
    source = folder / "out.bin" if folder is not None else Path("nowhere")
    if folder is not None:
        source.write_bytes(content)
    file = DraftFile("out.bin", str(source), len(content), content_digest)
    return Draft(content_digest, "stepbridge.File", "file", "out.bin", (file,))


def play(store: Store, scratch: Path, steps: int, seed: int) -> Counts:
    """*steps* steps in a new world; the message of a failure says how to repeat it."""
    world = World(store, scratch, seed)
    for number in range(steps):
        try:
            world.step()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, step {number}: {error}") from error
    return world.counts


def test_a_thousand_steps(file_store: Store, tmp_path: Path) -> None:
    counts = play(file_store, tmp_path / "scratch", 1_000, secrets.randbelow(10**9))
    assert counts.ends["hit"] > 20
    assert counts.ends["miss: first"] > 20


@pytest.mark.slow
def test_ten_thousand_steps(file_store: Store, tmp_path: Path) -> None:
    began = time.monotonic()
    counts = play(file_store, tmp_path / "scratch", 10_000, secrets.randbelow(10**9))
    print(counts, f"{time.monotonic() - began:.1f} s")
    assert counts.ends["hit"] > 500
    for harm in (*HARMS, "first", "old"):
        assert counts.ends[f"miss: {harm}"], counts.ends


@pytest.mark.slow
def test_ten_thousand_steps_on_a_server(moto_store: Store, tmp_path: Path) -> None:
    play(moto_store, tmp_path / "scratch", 10_000, secrets.randbelow(10**9))
