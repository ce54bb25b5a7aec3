"""The official MCP SDK in front of `fingerpost mcp` and behind it: three downstream servers, of which one is killed and one is
slow while the client works. Nothing may be lost: every call brings an answer, or an error that says why there is none. Resources,
prompts and completions of all of them are there before and after.

Over standard input and output and over streamable HTTP, with a session (`legacy`) and without one (2026-07-28, `auto`).
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from conftest import gateway_only
from mcp import Client, MCPError, StdioServerParameters
from mcp_types import PromptReference

pytestmark = gateway_only

SERVER = Path(__file__).with_name("mcp_server.py")
LIMIT = 1.5
ROUNDS = 20


def configuration(folder):
    """`steady` does the work of the others where that does no harm."""
    server = {"command": sys.executable, "start": "60s"}
    servers = [
        {"name": "steady", "args": [str(SERVER), "steady"], **server},
        {"name": "killed", "args": [str(SERVER), "killed"], **server},
        {"name": "slow", "args": [str(SERVER), "slow"], "timeout": f"{int(LIMIT * 1000)}ms", **server},
    ]
    section = {
        "servers": servers,
        "settle": "60s",
        "backups": [
            {"tool": "killed::look_up", "instead": ["steady::look_up"]},
            {"tool": "slow::look_up", "instead": ["steady::look_up"]},
        ],
        # The slow one is slow to some calls only.
        "breaker": {"failures": 0},
    }
    file = folder / "fingerpost.yaml"
    file.write_text(json.dumps({"mcp": section}))
    return file


def command(folder, *more):
    return [os.environ["FINGERPOST_BIN"], "mcp", "--config", str(configuration(folder)), "--expose", "all", *more]


@contextlib.contextmanager
def reached(transport, folder):
    """What a `Client` connects to."""
    if transport == "stdio":
        program, *arguments = command(folder)
        yield StdioServerParameters(command=program, args=arguments)
        return
    line = command(folder, "--http", "127.0.0.1:0", "--json")
    with subprocess.Popen(line, stdout=subprocess.PIPE) as process:
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()
            assert process.wait(timeout=20) == 0


def text(result):
    return "".join(block.text for block in result.content)


async def look(client):
    """Resources and prompts of all servers, as if they were one's."""
    names = ("steady", "killed", "slow")
    listed = {str(resource.uri) for resource in (await client.list_resources()).resources}
    own = {f"note://{name}" for name in names}
    # What each of them has is told apart.
    assert listed == {"fingerpost://tools/stats"} | own | {f"{name}+note://shared" for name in names}
    for uri, by in (("note://slow", "slow: a note of its own"), ("killed+note://shared", "killed: a note of many")):
        [contents] = (await client.read_resource(uri)).contents
        assert (contents.text, str(contents.uri)) == (by, uri)
    templates = (await client.list_resource_templates()).resource_templates
    assert {template.uri_template for template in templates} == {f"{name}-word://{{word}}" for name in names}
    [contents] = (await client.read_resource("steady-word://tree")).contents
    assert contents.text == "steady: tree"
    for uri, way_out in (("note://shared", "`steady+note://shared`"), ("note://nobody", "`steady+note://nobody`")):
        with pytest.raises(MCPError, match=re.escape(way_out)):
            await client.read_resource(uri)

    prompts = {prompt.name: prompt for prompt in (await client.list_prompts()).prompts}
    assert set(prompts) == {f"{name}__explain" for name in names}
    got = await client.get_prompt("slow__explain", {"word": "tree"})
    assert got.messages[0].content.text == "slow: explain tree"
    of = PromptReference(type="ref/prompt", name="slow__explain")
    completed = await client.complete(of, {"name": "word", "value": "tr"})
    assert completed.completion.values == ["tree", "true"]


async def work(client):
    listed = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert {"search_tools", "call_tool", "tool_stats"} < set(listed)
    for server in ("steady", "killed", "slow"):
        assert {f"{server}__look_up", f"{server}__write_down", f"{server}__process"} < set(listed)
    assert listed["killed__look_up"].annotations.read_only_hint is True

    found = await client.call_tool("search_tools", {"query": "what does this word mean", "k": 3})
    names = [tool["name"] for tool in found.structured_content["tools"]]
    assert all(name.endswith("__look_up") for name in names) and len(names) == 3, names

    steps = []

    async def progress(step, total, message):
        steps.append((step, total))

    assert text(await client.call_tool("steady__count", {"steps": 3}, progress_callback=progress)) == "steady: 3"
    assert sorted(steps) == [(1, 3), (2, 3), (3, 3)]

    await look(client)
    pid = (await client.call_tool("killed__process", {})).structured_content["result"]
    answers = {}

    async def ask(key, tool, arguments):
        # Half directly, half through call_tool.
        if len(answers) % 2:
            answers[key] = await client.call_tool(tool, arguments)
        else:
            answers[key] = await client.call_tool("call_tool", {"name": tool, "arguments": arguments})

    async with anyio.create_task_group() as group:
        for i in range(ROUNDS):
            word = f"w{i}"
            group.start_soon(ask, ("steady", "look_up", i), "steady__look_up", {"word": word})
            group.start_soon(ask, ("killed", "look_up", i), "killed__look_up", {"word": word, "wait": 0.05})
            group.start_soon(ask, ("killed", "write_down", i), "killed__write_down", {"word": word, "wait": 0.05})
            # Now and then too slow for the limit, on its first server.
            wait = 2 * LIMIT if i % 5 == 0 else 0.0
            group.start_soon(ask, ("slow", "write_down", i), "slow__write_down", {"word": word, "wait": wait})
            if i == ROUNDS // 2:
                os.kill(pid, signal.SIGKILL)
            await anyio.sleep(0.02)

    assert len(answers) == 4 * ROUNDS
    unanswered = []
    for (server, tool, i), answer in answers.items():
        if answer.is_error:
            unanswered.append((server, tool, i, text(answer)))
        else:
            by, word = text(answer).split(": ")
            # What may be repeated may be another's answer; what may not is the server's own.
            assert word == f"w{i}" and by in ({server, "steady"} if tool == "look_up" else {server})
    for server, tool, i, why in unanswered:
        # Nothing but what must not be done twice stays without an answer, and it says how it stands.
        is_told = "It may have been executed all the same" in why or "It was not executed." in why
        assert tool == "write_down" and is_told, (server, tool, i, why)
        assert f"{server}::write_down: " in why
        assert server == "killed" or i % 5 == 0, (server, i, why)
    late = [i for server, _, i, _ in unanswered if server == "slow"]
    assert sorted(late) == list(range(0, ROUNDS, 5))

    # A slow one that may be repeated is taken over by another one, and the answer says by whom.
    answer = await client.call_tool("slow__look_up", {"word": "late", "wait": LIMIT + 0.3})
    assert text(answer) == "steady: late"
    assert answer.meta["io.fingerpost/rerouted"]["answered"] == "steady::look_up"

    # The killed one is there again.
    with anyio.fail_after(30):
        while True:
            answer = await client.call_tool("killed__process", {})
            if not answer.is_error:
                break
            await anyio.sleep(0.1)
    assert answer.structured_content["result"] != pid
    stats = (await client.call_tool("tool_stats", {})).structured_content
    assert {server["name"]: server["state"] for server in stats["servers"]} == dict.fromkeys(["steady", "killed", "slow"], "up")
    told = {tool["tool"]: tool for tool in stats["tools"]}
    assert told["slow::write_down"]["endings"]["late"] == len(late)
    assert told["slow::look_up"]["rerouted"] == 1
    await look(client)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_nothing_is_lost_while_one_server_is_killed_and_one_is_slow(transport, mode, tmp_path):
    async def run(target):
        async with Client(target, mode=mode) as client:
            with anyio.fail_after(120):
                await work(client)

    with reached(transport, tmp_path) as target:
        anyio.run(run, target)
