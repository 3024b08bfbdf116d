"""Somebody who fetches the checkpoint again and again and forgets none: what was ever shown must stay true."""

from __future__ import annotations

import threading
from typing import Self

import httpx

from wattseal.core.checkpoint import Checkpoint, open_checkpoint
from wattseal.core.merkle import consistency_path, verify_consistency
from wattseal.core.note_key import Verifier
from wattseal.core.tiles import NodeReader, Tile

_EVERY_S = 0.02


class Watcher:
    """All checkpoints that `url` showed, in order."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.notes: list[str] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(60)

    def _watch(self) -> None:
        with httpx.Client(base_url=self._url, timeout=20) as client:
            while not self._stopping.wait(_EVERY_S):
                self.look(client)

    def look(self, client: httpx.Client) -> None:
        """Fetch once."""
        try:
            answer = client.get("/log/checkpoint")
        except httpx.TransportError:
            return
        if answer.status_code == 200 and answer.text not in self.notes[-1:]:
            self.notes.append(answer.text)

    def check(self, client: httpx.Client, log: Verifier) -> Checkpoint:
        """Fetch the last one, and prove from the log's public tiles that it extends each that was ever seen."""
        self.look(client)

        def tile_bytes(tile: Tile) -> bytes:
            return client.get(f"/log/{tile.path}").raise_for_status().content

        seen = [open_checkpoint(note.encode(), log).checkpoint for note in self.notes]
        last = seen[-1]
        nodes = NodeReader(tile_bytes, last.size)
        assert [one.size for one in seen] == sorted(one.size for one in seen)
        for older in seen:
            path = consistency_path(nodes, older.size, last.size)
            verify_consistency(older.size, older.root, last.size, last.root, path)
        return last
