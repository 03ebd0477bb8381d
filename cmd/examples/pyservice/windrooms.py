"""Rooms: shards that a service asks for and that end. netcode/rpc/ROOMS.md describes the dictionaries, the errors and what may
be repeated.

    made = await client.service.rooms.create("arena", key="match-7", players=["ann", "ben"])
    made["room"], made["state"], made["addresses"]["udp"], made["tickets"]["ann"]["ticket"]
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

from windrequest import DEFAULT_TIMEOUT, INTERNAL, INVALID_ARGUMENT, UNAVAILABLE, ServiceError

if TYPE_CHECKING:
    from windcall import Caller

ROOMS = "rooms"  # the type of service under which the nodes that host rooms answer


class Rooms:
    """What a service asks the nodes that host rooms. Each call waits at most `timeout` seconds, and no longer than the sender of
    the request that the handler answers. Raises ServiceError."""

    def __init__(self, caller: "Caller") -> None:
        self._caller = caller

    async def create(
        self, game: str, *, options: Optional[Dict[str, Any]] = None, key: str = "", idle: str = "", limit: str = "", labels: Optional[Dict[str, str]] = None,
        players: Sequence[str] = (), seed: int = 0, keep: str = "", standbys: int = 0, wait: str = "", timeout: float = DEFAULT_TIMEOUT,
    ) -> Dict[str, Any]:
        """Asks for a room and returns it as soon as it runs, with a ticket for each player, or once it has ended. One `key` makes
        one room. If no node takes the room within `wait` ("2s") or in time, the error says why, and the room stays wanted."""
        fields = {
            "options": options, "key": key, "idle": idle, "limit": limit, "labels": labels, "players": list(players), "seed": seed, "keep": keep,
            "standbys": standbys, "wait": wait,
        }
        return await self._ask("RoomCreateRequest", {"game": game, **{k: v for k, v in fields.items() if v}}, timeout)

    async def close(self, room: str, *, timeout: float = DEFAULT_TIMEOUT) -> Dict[str, Any]:
        """Ends a room and returns it once its log is sealed. A room that is over stays as it is."""
        return await self._ask("RoomCloseRequest", {"room": room}, timeout)

    async def remove(self, room: str, *, unarchived: bool = False, timeout: float = DEFAULT_TIMEOUT) -> Dict[str, Any]:
        """Removes the log of a room that has ended, and returns the room once the log is gone; with `unarchived` also if the room
        asked for an archive that is not there yet."""
        return await self._ask("RoomRemoveRequest", {"room": room, **({"unarchived": True} if unarchived else {})}, timeout)

    async def list(
        self, *, state: str = "", label: Optional[Dict[str, str]] = None, game: str = "", ids: Optional[Sequence[str]] = None, players: bool = False,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> List[Dict[str, Any]]:
        """Returns the rooms that match, by id; with `players`, the names of those who are there."""
        found: List[Dict[str, Any]] = []
        if ids is not None and not ids:
            return found
        fields = {"state": state, "labels": label, "game": game, "rooms": list(ids or ()), "players": players, "after": ""}
        while True:
            answer = await self._ask("RoomListRequest", {k: v for k, v in fields.items() if v}, timeout, effect=False)
            found += answer["rooms"]
            if not answer.get("more") or not answer["rooms"]:
                return found
            fields["after"] = found[-1]["room"]

    async def ticket(self, room: str, player: str, *, timeout: float = DEFAULT_TIMEOUT) -> Dict[str, Any]:
        """Returns a ticket with which one player may join a room that runs, once: `ticket` (base64), `addresses`, `seconds`."""
        return await self._ask("RoomTicketRequest", {"room": room, "player": player}, timeout)

    async def _ask(self, message: str, fields: Dict[str, Any], timeout: float, effect: bool = True) -> Dict[str, Any]:
        try:
            payload = json.dumps(fields, allow_nan=False).encode()
        except (TypeError, ValueError) as e:
            raise ServiceError(INVALID_ARGUMENT, f"{message} cannot be encoded: {e}", not_begun=True) from None
        try:
            _, answer = await self._caller.ask_any(ROOMS, message, payload, "", timeout, effect)
        except ServiceError as e:
            if e.code != UNAVAILABLE or not e.not_begun:
                raise
            raise ServiceError(UNAVAILABLE, f"no node that hosts rooms answers: start one whose --capacity is not 0 ({e.text})", not_begun=True) from None
        try:
            made = json.loads(answer.data)
            if isinstance(made, dict):
                return made
        except ValueError:
            pass
        raise ServiceError(INTERNAL, f"the answer to {message} is not a JSON object", maybe=True)
