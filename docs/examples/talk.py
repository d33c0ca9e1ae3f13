"""Talk to supportbot over a WebSocket, and print every paragraph of the answers once.

Whatever happens to the connection or to the server meanwhile:

    pip install websockets
    python3 talk.py ws://localhost:8000/ws "I need help. It has a flashing red light."

Several messages are said at once, and answered in order.
"""

from __future__ import annotations

import json
import random
import sys
import time
import uuid
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

TRIES = 60  # in a row that may fail
LONGEST = 10.0  # seconds between two of them
OUR_MISTAKE = {1002, 1003, 1007, 1009}  # to come back with the same helps nobody
AGAIN_LATER = {429, 500, 502, 503, 504}
GONE = {
    "The session is not found. Please start a new session.",
    "The session is closed. Please start a new session.",
}
NOT_NOW = "Unable to process the request. Please try again later."
INTERRUPTED = "This answer was interrupted on our side; please ask again."


class Talk:
    """One session, on as many connections as it takes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = ""
        self.waiting: dict[str, str] = {}  # messages without an answer, by their ids
        self.last = 0  # what has numbers up to this one has come
        self.past = 0  # the newest number when the session was resumed
        self.shown: list[str] = []  # paragraphs of the answer that is coming
        self.count = 0  # so many of them stand
        self.whole = True  # all answers
        self.failed = 0  # tries in a row

    def say(self, *texts: str) -> bool:
        """Print the answers to some messages; returns whether they are whole."""
        self.waiting = {str(uuid.uuid4()): text for text in texts}
        while self.waiting:
            try:
                with connect(self.url, close_timeout=1) as socket:
                    self.begin(socket)
                    for id in list(self.waiting):  # the same ids, so nothing is doubled
                        self.post(socket, id)
                    while self.waiting:
                        self.take(socket, json.loads(socket.recv()))
                    self.act(socket, "chatbot_session_end")
            except (ConnectionClosed, InvalidHandshake, OSError) as error:
                self.wait(error)
        return self.whole

    def begin(self, socket: ClientConnection) -> None:
        """Go on with the session, or start one."""
        if self.session:
            asked = {"after": self.last, "stream": True}
            self.act(socket, "chatbot_session_resume", **asked)
            answer = json.loads(socket.recv())
            if answer["type"] == "session_resume":
                self.past = answer["data"]["last_seq"]
                return
            if answer["data"] not in GONE:
                raise ConnectionError(answer["data"])
            print("(That session is gone; a new one goes on.)")
        socket.send(json.dumps({"action": "chatbot_session_start"}))
        answer = json.loads(socket.recv())
        if answer["type"] != "session_start":
            raise ConnectionError(answer["data"])
        self.session = answer["data"]["session_id"]
        self.last = self.past = self.count = 0

    def post(self, socket: ClientConnection, id: str) -> None:
        message = {"user_message": self.waiting[id], "message_id": id, "stream": True}
        self.act(socket, "chatbot_post_message", **message)

    def act(self, socket: ClientConnection, action: str, **fields: object) -> None:
        socket.send(json.dumps({"action": action, "session_id": self.session} | fields))

    def take(self, socket: ClientConnection, told: Any) -> None:
        """Do what a message of the server is about."""
        kind, body, id = told["type"], told["data"], told.get("message_id")
        seq = told.get("seq", 0)
        if id not in self.waiting:
            return  # its answer came already
        if kind == "message_chunk":
            seq = body["seq"]
            self.show(body["text"])
        elif kind == "message_revised":
            seq, self.count = body["seq"], body["keep"]
        elif kind == "message":
            self.over(id)
        elif kind == "error":
            self.take_error(socket, id, body, seq, told.get("detail"))
        if seq:
            self.last, self.failed = max(self.last, seq), 0

    def take_error(
        self, socket: ClientConnection, id: str, why: str, seq: int, detail: str | None
    ) -> None:
        if why in GONE:
            raise ConnectionError(why)  # the next connection starts a new one
        if 0 < seq <= self.past:
            self.count = 0  # so an earlier try ended; we have asked again since
        elif detail == INTERRUPTED or (why == NOT_NOW and not seq):
            self.count = 0
            self.wait(ConnectionError(detail or why))
            self.post(socket, id)
        else:
            print(detail or why)
            self.whole = False
            self.over(id)

    def show(self, text: str) -> None:
        if self.shown[self.count : self.count + 1] != [text]:
            if self.shown[self.count :]:
                print(f"(What follows replaces all behind paragraph {self.count}.)")
            self.shown[self.count :] = [text]
            print(text, flush=True)
        self.count += 1

    def over(self, id: str) -> None:
        """A message has its answer."""
        if self.shown[self.count :]:
            print(f"(What stands behind paragraph {self.count} does not count.)")
        del self.waiting[id]
        self.shown, self.count = [], 0

    def wait(self, error: Exception) -> None:
        """Wait before another try, if it is of any use."""
        seconds = min(LONGEST, 0.5 * 2.0**self.failed) * random.uniform(0.5, 1)
        if isinstance(error, InvalidStatus):
            if error.response.status_code not in AGAIN_LATER:
                raise error
            seconds += float(error.response.headers.get("Retry-After", 0))
        closed = error.rcvd if isinstance(error, ConnectionClosed) else None
        self.failed += 1
        if self.failed == TRIES or (closed and closed.code in OUR_MISTAKE):
            raise error
        time.sleep(seconds)


if __name__ == "__main__":
    sys.exit(0 if Talk(sys.argv[1]).say(*sys.argv[2:]) else 1)
