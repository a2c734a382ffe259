"""A ``.wandb`` file -> its records as bytes, every one that is whole.

The format is LevelDB's log (https://github.com/google/leveldb/blob/main/doc/log_format.md) behind a
7-byte header: blocks of 32 KiB hold chunks of (crc32, length, type), a record is one FULL chunk or
FIRST, MIDDLE..., LAST. The crc is zlib's, seeded with that of the type byte. The header is the same
in every SDK from 0.10 to 0.31.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from etl.sources.reading import Reject

HEADER = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
BLOCK = 32 * 1024
_CHUNK = struct.Struct("<IHB")
_BAD, _FULL, _FIRST, _MIDDLE, _LAST = 0, 1, 2, 3, 4
_SEEDS = [zlib.crc32(bytes([kind])) for kind in range(5)]


@dataclass(slots=True)
class Walk:
    """Records of one file from byte *start*, and afterwards where it ended and what was bad.

    ``end`` is the byte behind the last whole record; a later read goes on there.
    """

    data: bytes
    start: int  # of data in the file
    end: int
    rejects: list[Reject]

    def __init__(self, data: bytes, start: int) -> None:
        self.data, self.start, self.end, self.rejects = data, start, start, []

    def records(self) -> Iterator[tuple[int, bytes]]:
        """Yield (place in the file, bytes) of each whole record; damage costs its own block."""
        begun = 0
        pieces: list[bytes] = []
        for at, kind, chunk in self._chunks():
            if kind == _BAD:
                reason = f"{chunk.decode()}; went on at the next 32 KiB block"
                self._reject(begun if pieces else at, self._block_end(at), reason)
                self.end = self.start + self._block_end(at)
                pieces = []
                continue
            if kind in (_FULL, _FIRST):
                if pieces:
                    self._reject(begun, at, "a record without its end")
                begun, pieces = at, [chunk]
            elif pieces:
                pieces.append(chunk)
            else:
                stop = at + _CHUNK.size + len(chunk)
                self._reject(at, stop, "a record without its beginning")
            if kind in (_FULL, _LAST) and pieces:
                self.end = self.start + at + _CHUNK.size + len(chunk)
                yield self.start + begun, b"".join(pieces)
                pieces = []
        self._reject_tail()

    def _chunks(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield (place in data, kind, bytes) of each chunk; a bad one as (place, _BAD, reason)."""
        data, size, at = self.data, len(self.data), 0
        while True:
            if self._block_end(at) - at < _CHUNK.size:
                at = self._block_end(at)
            body = at + _CHUNK.size
            if body > size:
                return
            crc, length, kind = _CHUNK.unpack_from(data, at)
            if crc == length == kind == 0:
                return  # zeros that were never written over
            stop = body + length
            if not _FULL <= kind <= _LAST or stop > self._block_end(at):
                yield at, _BAD, b"a chunk header that is not valid"
                at = self._block_end(at)
            elif stop > size:
                return
            elif zlib.crc32(data[body:stop], _SEEDS[kind]) != crc:
                yield at, _BAD, b"a checksum that does not match"
                at = self._block_end(at)
            else:
                yield at, kind, data[body:stop]
                at = stop

    def _block_end(self, at: int) -> int:
        return at + BLOCK - (self.start + at) % BLOCK

    def _reject_tail(self) -> None:
        rejected = (r.at_byte + len(r.raw) for r in self.rejects)
        begin = max(self.end, *rejected, self.start) - self.start
        if self.data[begin:].strip(b"\0"):
            reason = "cut within a record: the run is still being written, or was killed"
            self._reject(begin, len(self.data), reason)

    def _reject(self, begin: int, end: int, reason: str) -> None:
        if end > begin:
            self.rejects.append(Reject(self.start + begin, reason, self.data[begin:end]))
