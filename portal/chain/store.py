"""The chain's database: one SQLite file that py-evm sees as an atomic key-value store.

A block and all that it implies are one SQLite transaction, and a transaction sent by a client is on
disk before it is acknowledged: `kill -9` loses neither.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eth.abc import AtomicWriteBatchAPI
from eth.db.atomic import AtomicDBWriteBatch
from eth.db.backends.base import BaseAtomicDB

from portal.chain.errors import StateInUse

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pool (
    place INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB UNIQUE NOT NULL, raw BLOB NOT NULL
);
"""


class Store(BaseAtomicDB):
    """Key-value entries for py-evm, and the pool of transactions that wait for a block.

    Not thread-safe: its user holds one lock around all calls.
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside reach the disk together, or none does."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def atomic_batch(self) -> Iterator[AtomicWriteBatchAPI]:
        with AtomicDBWriteBatch._commit_unless_raises(self) as batch:
            yield batch

    def __getitem__(self, key: bytes) -> bytes:
        row = self._db.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return bytes(row[0])

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO entries VALUES (?, ?)", (key, bytes(value)))

    def __delitem__(self, key: bytes) -> None:
        if self._db.execute("DELETE FROM entries WHERE key = ?", (key,)).rowcount == 0:
            raise KeyError(key)

    def _exists(self, key: bytes) -> bool:
        found = self._db.execute("SELECT 1 FROM entries WHERE key = ?", (key,)).fetchone()
        return found is not None

    def pool_add(self, hash_: bytes, raw: bytes) -> None:
        self._db.execute("INSERT OR IGNORE INTO pool (hash, raw) VALUES (?, ?)", (hash_, raw))

    def pool_remove(self, hash_: bytes) -> None:
        self._db.execute("DELETE FROM pool WHERE hash = ?", (hash_,))

    def pool_size(self) -> int:
        (size,) = self._db.execute("SELECT COUNT(*) FROM pool").fetchone()
        return int(size)

    def pool(self) -> list[bytes]:
        """Raw transactions, first come first."""
        return [bytes(raw) for (raw,) in self._db.execute("SELECT raw FROM pool ORDER BY place")]


def lock_state(state: Path) -> int:
    """Hold the state directory for this process; the kernel lets go when it dies.

    Raises `StateInUse` naming the process that holds it.
    """
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise StateInUse(f"the chain in {state} already runs as process {holder}") from exc
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
