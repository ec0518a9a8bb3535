"""Building a real release: all cores, a report of what is skipped or doubtful, no half build left behind.

A reader (such as `affectnet`) describes each split as entries and a function that makes an example of one; `Building`
does the rest, alike for every release, and `builder.ReleaseBuilder` ties it to TFDS.
"""

import collections
import concurrent.futures
import contextlib
import csv
import dataclasses
import fcntl
import os
import pathlib
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TextIO, TypeVar

import cv2
import tqdm

from emotion_gcn_jax.errors import UserError, counted

REPORT_COLUMNS = ("split", "where", "id", "reason", "detail")
"""The report's columns: where the release names the entry, the example's id, why there is none, and what was found."""

# Entries in work at once, for each thread: enough that none waits for a slow neighbour, few enough for the memory.
_AHEAD = 4
_THREADS = "building"

Item = TypeVar("Item")
Result = TypeVar("Result")
Example = dict[str, Any]


class Skip(Exception):
    """Why an entry becomes no example.

    Attributes:
        reason: a few words, the same for all entries of a kind; the summary counts them.
        detail: what was found.
        lost: whether the entry is a loss; it is none if another entry gives the same example, or if it never was one.
    """

    def __init__(self, reason: str, detail: str = "", *, lost: bool = True) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail, self.lost = reason, detail, lost


class Doubtful(NamedTuple):
    """An example that is kept although something speaks against it; the summary warns of it.

    Attributes:
        example: its features.
        reason: a few words, the same for all examples of a kind.
        detail: what was found.
    """

    example: Example
    reason: str
    detail: str


class Entry(NamedTuple):
    """What a release says of one example-to-be.

    Attributes:
        id: what the example will be called; of several with one id, in one split, the first is built.
        where: where the release names it, such as "training.csv line 2".
        content: what `ReleaseSplit.make` makes the example of; or why there will be none.
    """

    id: str
    where: str
    content: Any | Skip


@dataclasses.dataclass(frozen=True)
class ReleaseSplit:
    """A split of a release, as its reader found it.

    Attributes:
        entries: all that should become examples, in the release's order; iterated once.
        total: how many they are.
        make: the features of an example, without its id, from an entry's content, or a Doubtful with them; runs in
            threads, may raise Skip.
        not_examples: how many more the release holds that are no examples by their nature, by a word for the kind.
        warnings: sentences about the split to print before it is built, as of `unlikely_counts`.
    """

    entries: Iterable[Entry]
    total: int
    make: Callable[[Any], Example | Doubtful]
    not_examples: Mapping[str, int] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Building:
    """One build of one config, under way; `Building.start` begins it."""

    def __init__(self, title: str, report: TextIO, max_lost_share: float) -> None:
        self._title = title
        self._report = report
        self._max_lost_share = max_lost_share
        self._tallies: list[_Tally] = []

    @classmethod
    @contextlib.contextmanager
    def start(cls, config_dir: pathlib.Path, own_folder: str, max_lost_share: float) -> Iterator["Building"]:
        """Opens the report, clears what killed builds of this config have left, and prints the summary at the end.

        The report, `DATA_DIR/DATASET/reports/CONFIG_skipped.csv`, is written line by line: it tells what was found
        however the build ends.

        Args:
            config_dir: the config's folder in the TFDS data directory, DATA_DIR/DATASET/CONFIG.
            own_folder: the name of the folder in it that this build writes.
            max_lost_share: the share of a split's entries that may be lost.

        Raises:
            UserError: if another process is building this config at the moment, or, while building, for a split that
                loses more than that share.
        """
        title = f"{config_dir.parent.name}/{config_dir.name}"
        path = config_dir.parent / "reports" / f"{config_dir.name}_skipped.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", newline="", encoding="utf-8", buffering=1) as report:
            try:
                fcntl.flock(report, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it however a process ends
            except BlockingIOError:
                raise UserError(
                    f"Expected to be the only build of {title} in {config_dir.parent.parent}, and found another one at "
                    "work: wait for it, or stop it."
                ) from None
            report.truncate(0)
            csv.writer(report).writerow(REPORT_COLUMNS)
            _clear_unfinished(config_dir, own_folder, title)
            building = cls(title, report, max_lost_share)
            yield building
            _say(building.summary())

    def examples(self, name: str, split: ReleaseSplit) -> Iterator[tuple[str, Example]]:
        """Yields (id, example) of a split's entries in their order, made by all cores; reports those without.

        Raises:
            UserError: for more losses than may be, as soon as that is certain, and for a split without any example.
        """
        for warning in split.warnings:
            _say(f"{self._title} {name}: {warning}")
        tally = _Tally(f"{self._title} {name}", split)
        self._tallies.append(tally)
        report = csv.writer(self._report)
        named: set[str] = set()
        results = in_order(lambda entry: _made(split, entry), split.entries)
        with contextlib.closing(results):  # now, not when one of its own threads collects it
            for entry, made in tqdm.tqdm(
                results, total=split.total, desc=tally.title, unit=" entries", mininterval=1.0, leave=False
            ):
                if entry.id in named and not isinstance(made, Skip):
                    made = Skip("listed before", "another file of the same name", lost=False)
                if isinstance(made, Skip):
                    report.writerow((name, entry.where, entry.id, made.reason, made.detail))
                    (tally.lost if made.lost else tally.left_aside)[made.reason] += 1
                    self._check_losses(tally)
                    continue
                if isinstance(made, Doubtful):
                    report.writerow((name, entry.where, entry.id, f"kept: {made.reason}", made.detail))
                    tally.doubtful[made.reason] += 1
                    made = made.example
                tally.examples += 1
                named.add(entry.id)
                yield entry.id, {"id": entry.id, **made}
        if not tally.examples:
            raise UserError(f"{tally}: expected examples, and found none: see {self._report.name}.")

    def summary(self) -> str:
        """What became of every split so far, a line each, and where the report is."""
        return "\n".join([*map(str, self._tallies), f"What was skipped, and why: {self._report.name}"])

    def _check_losses(self, tally: "_Tally") -> None:
        if tally.lost.total() > self._max_lost_share * tally.split.total:
            raise UserError(
                f"{tally}: expected to lose at most {self._max_lost_share:.2%} of {tally.split.total:,} entries: see "
                f"{self._report.name} and complete the release, or allow more by a config with a larger max_lost_share."
            )


@dataclasses.dataclass
class _Tally:
    """What became of a split's entries."""

    title: str
    split: ReleaseSplit
    examples: int = 0
    doubtful: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    lost: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    left_aside: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def __str__(self) -> str:
        parts = [counted(self.examples, "example")]
        if total := self.doubtful.total():
            parts.append(f"Warning: {total:,} of them doubtful, look at their images ({_listed(self.doubtful)})")
        for what, counts in (
            ("lost", self.lost),
            ("left aside", self.left_aside),
            ("no examples by their nature", self.split.not_examples),
        ):
            if total := sum(counts.values()):
                parts.append(f"{total:,} {what} ({_listed(counts)})")
        return f"{self.title}: {'; '.join(parts)}"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items()))


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None
) -> Generator[tuple[Item, Result], None, None]:
    """Yields (item, function(item)) in the items' order, computed by threads a few items ahead.

    Threads are enough, because decoding, warping, resizing and encoding an image let go of Python's lock.

    Args:
        function: of an item; what it raises is raised here in its turn.
        items: may be endless; only a few more than are asked for are taken at a time.
        threads: None for as many as there are processors.
    """
    cv2.setNumThreads(0)  # every thread has an image of its own: more threads within would only contend
    threads = threads or os.cpu_count() or 1
    pending: collections.deque[tuple[Item, concurrent.futures.Future[Result]]] = collections.deque()
    pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix=_THREADS)
    try:
        for item in items:
            pending.append((item, pool.submit(function, item)))
            if len(pending) >= _AHEAD * threads:
                done, future = pending.popleft()
                yield done, future.result()
        for done, future in pending:
            yield done, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def unlikely_counts(expected: Mapping[str, int], found: Mapping[str, int], *, slack: int) -> tuple[str, ...]:
    """Compares a split's class counts with those of the known release.

    Args:
        expected: the release's own, by class.
        found: those of this copy.
        slack: the difference up to which a count is taken for the release's.

    Returns:
        One sentence with the classes that differ by more, expected and found; or nothing.
    """
    different = [
        f"{name} {expected[name]:,}, found {found.get(name, 0):,}"
        for name in expected
        if abs(expected[name] - found.get(name, 0)) > slack
    ]
    if not different:
        return ()
    return (f"Warning: the counts cannot be the known release's: expected {'; '.join(different)}.",)


def _made(split: ReleaseSplit, entry: Entry) -> Example | Doubtful | Skip:
    if isinstance(entry.content, Skip):
        return entry.content
    try:
        return split.make(entry.content)
    except Skip as skip:
        return skip
    except Exception as error:
        error.add_note(f"This was raised while the example {entry.id!r} was made ({entry.where}).")
        raise


def _clear_unfinished(config_dir: pathlib.Path, own_folder: str, title: str) -> None:
    for folder in sorted(config_dir.glob("incomplete.*")):
        if folder.name != own_folder:
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            shutil.rmtree(folder)
            _say(f"{title}: found and deleted {folder}, {size / 1e6:.1f} MB that a killed build had left.")


def _say(line: str) -> None:
    """Prints a line above the progress bars."""
    tqdm.tqdm.write(line)
