"""Ask supportbot something, and print every paragraph of the answer once.

Whatever happens to the connection or to the server meanwhile:

    python3 ask.py http://localhost:8000 "I need help. It has a flashing red light."
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

TRIES = 60  # in a row that may fail
SILENCE = 30.0  # seconds; a server that is well says something every 10
AGAIN_LATER = {409, 429, 500, 502, 503, 504}


def ask(url: str, text: str) -> str:
    """Print the answer; returns its outcome."""
    session = call(f"{url}/api/session/new", {})["session_id"]
    message_id = str(uuid.uuid4())
    shown: list[str] = []
    mine = say(url, session, message_id, text)
    count, answering = 0, False  # paragraphs of its reply that stand
    for event in events(url, session):
        kind = event["type"]
        if kind == "reply_started":
            answering, count = event["to"] == mine, 0
        elif kind == "reply_revised" and answering:
            count = event["keep"]
        elif kind == "paragraph_said" and answering:
            if shown[count : count + 1] != [event["text"]]:
                if shown[count:]:
                    print(f"(what follows replaces all behind paragraph {count})")
                shown[count:] = [event["text"]]
                print(event["text"], flush=True)
            count += 1
        elif kind == "reply_ended" and answering:
            outcome: str = event["outcome"]
            if outcome != "cut" or event["unavailable"]:
                if event["detail"]:
                    print(event["detail"])
                return outcome
            # The server was interrupted: once more.
            mine = say(url, session, message_id, text)
    return "deleted"


def say(url: str, session: str, message_id: str, text: str) -> int:
    """Have the message stored, once, as its id says; returns its number."""
    body = {"message": text, "message_id": message_id}
    stored = call(f"{url}/api/session/@me/messages", body, session)
    return int(stored["seq"])


def events(url: str, session: str) -> Iterator[Any]:
    """The events of a session from the first on, each once; ends if it is deleted."""
    last, failed = "0", 0
    while True:
        headers = {"Session-Id": session, "Last-Event-ID": last}
        asked = Request(f"{url}/api/session/@me/events", headers=headers)
        try:
            with urlopen(asked, timeout=SILENCE) as stream:
                if stream.status == 204:
                    return
                kind = id = data = ""
                for line in stream:
                    name, _, value = line.decode().rstrip("\n").partition(": ")
                    if name == "id":
                        id = value
                    elif name == "event":
                        kind = value
                    elif name == "data":
                        data = value
                    elif not name and data:  # an empty line ends an event
                        if id:  # it is one of the transcript
                            last, failed = id, 0
                            yield json.loads(data)
                        elif kind == "end":
                            return
                        kind = id = data = ""
        except (OSError, HTTPException) as error:
            failed = wait(error, failed)
        else:
            time.sleep(1)  # the server goes, and another one comes


def call(url: str, body: object, session: str = "") -> Any:
    """Post JSON until it is taken; returns the JSON of the answer."""
    headers = {"Content-Type": "application/json", "Session-Id": session}
    failed = 0
    while True:
        try:
            sent = Request(url, json.dumps(body).encode(), headers)
            with urlopen(sent, timeout=SILENCE) as answer:
                return json.load(answer)
        except (OSError, HTTPException) as error:
            failed = wait(error, failed)


def wait(error: Exception, failed: int) -> int:
    """Wait before another try, if it is of any use; how many tries have failed."""
    seconds = 1.0
    if isinstance(error, HTTPError):
        with error:
            if error.code not in AGAIN_LATER:
                raise error
            seconds = float(error.headers.get("Retry-After") or seconds)
    if failed + 1 >= TRIES:
        raise error
    time.sleep(seconds)
    return failed + 1


if __name__ == "__main__":
    sys.exit(0 if ask(sys.argv[1].rstrip("/"), sys.argv[2]) == "complete" else 1)
