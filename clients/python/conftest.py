"""What all client tests share: where the servers are, which models there are, how the upstream is told what to do.

The upstream obeys a mark in the user's text (`script(...)`), so a test needs no state outside its own request.
With CLIENTS_DIRECT=1 the clients talk to the scripted upstream itself, each in its native format only: that checks
the upstream and the tests, without a gateway.
"""

import base64
import json
import os
import struct
import time
import urllib.request
import zlib

import anthropic
import openai
import pytest

DIRECT = os.environ.get("CLIENTS_DIRECT") == "1"
SCRIPTED = os.environ["SCRIPTED_URL"]
URL = SCRIPTED if DIRECT else os.environ["FINGERPOST_URL"]
KEY = os.environ["SCRIPTED_KEY"]
# A client's key must not reach the provider; asked directly, the provider wants its own.
CLIENT_KEY = KEY if DIRECT else "the-clients-own-key"

# Native format first, then the one that must be translated.
OPENAI_MODELS = ["gpt-scripted"] if DIRECT else ["gpt-scripted", "claude-scripted"]
ANTHROPIC_MODELS = ["claude-scripted"] if DIRECT else ["claude-scripted", "gpt-scripted"]

BREAKS = ["reset", "eof", "clean_eof", "error_event"]
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string", "examples": ["Bern"]}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
CACHED_USAGE = {"input": 100, "cached": 60, "output": 7}

gateway_only = pytest.mark.skipif(DIRECT, reason="only a gateway does this")


def script(**behaviour):
    """A mark that tells the upstream what to do with the request whose text it is in."""
    return "[[script:" + json.dumps(behaviour) + "]]"


def faulty(model):
    """The model of the same format that tests may break."""
    return model.replace("scripted", "faulty")


def is_anthropic(model):
    """Whether the upstream of a model speaks Anthropic's format."""
    return model.startswith("claude")


def broken_stream(how):
    """A stream of 40 words that breaks after five events."""
    return script(chunks=40, fault={"at": {"events": 5}, "how": how})


class Scripted:
    """The upstream as its own test interface shows it."""

    def _get(self, command):
        with urllib.request.urlopen(f"{SCRIPTED}/_scripted/{command}", timeout=30) as answer:
            return json.load(answer)

    def counters(self):
        return self._get("counters")

    def last(self):
        """The body of the last request."""
        return self._get("requests")[-1]["body"]

    def last_headers(self):
        return dict(self._get("requests")[-1]["headers"])

    def wait_for_cancel(self, before):
        """Waits until one more answer was cancelled than in the counters `before`."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if self.counters()["cancelled"] > before["cancelled"]:
                return True
            time.sleep(0.02)
        return False


@pytest.fixture(scope="session")
def upstream():
    return Scripted()


@pytest.fixture(scope="session")
def openai_client():
    return openai.OpenAI(base_url=f"{URL}/v1", api_key=CLIENT_KEY, max_retries=0, timeout=60)


@pytest.fixture(scope="session")
def anthropic_client():
    return anthropic.Anthropic(base_url=URL, api_key=CLIENT_KEY, max_retries=0, timeout=60)


def png():
    """A picture of one red dot, base64."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    data += chunk(b"IDAT", zlib.compress(b"\x00\xff\x00\x00")) + chunk(b"IEND", b"")
    return base64.b64encode(data).decode()


@pytest.fixture(scope="session")
def picture():
    return png()
