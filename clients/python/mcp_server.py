"""A downstream MCP server by the official SDK, for test_mcp.py: `mcp_server.py NAME`, over standard input and output."""

import os
import sys
import time

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import Completion, ToolAnnotations

NAME = sys.argv[1]
server = MCPServer(NAME)


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
async def look_up(word: str, wait: float = 0.0) -> str:
    """Looks a word up in the dictionary and gives its meaning."""
    await anyio.sleep(wait)
    return f"{NAME}: {word}"


@server.tool()
async def write_down(word: str, wait: float = 0.0) -> str:
    """Writes a word down in the notebook, for good."""
    await anyio.sleep(wait)
    return f"{NAME}: {word}"


@server.tool()
async def count(steps: int, context: Context) -> str:
    """Counts up to a number and tells how far it is."""
    for step in range(1, steps + 1):
        await context.report_progress(step, steps)
    return f"{NAME}: {steps}"


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def process() -> int:
    """The number of this server's process."""
    return os.getpid()


@server.resource(f"note://{NAME}", mime_type="text/plain")
def own_note() -> str:
    """A note that no other server has."""
    return f"{NAME}: a note of its own"


@server.resource("note://shared", mime_type="text/plain")
def shared_note() -> str:
    """A note that every server has, each another one."""
    return f"{NAME}: a note of many"


@server.resource(NAME + "-word://{word}")
def meaning(word: str) -> str:
    """What a word means."""
    return f"{NAME}: {word}"


@server.prompt()
def explain(word: str) -> str:
    """Asks for a word to be explained."""
    return f"{NAME}: explain {word}"


@server.completion()
async def completed(of, argument, context):
    words = [word for word in ("tree", "true", "house") if word.startswith(argument.value)]
    return Completion(values=words)


if __name__ == "__main__":
    # A line that is none of the protocol's, as some servers print.
    print(f"{NAME} began at {time.time()}", file=sys.stderr)
    server.run()
