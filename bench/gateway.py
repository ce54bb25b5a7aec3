"""Measures proxies in interleaved rounds. Started by gateway.sh, which installs what is needed.

For each proxy and round, with the same generator, upstream and request bytes:
  load    N requests at 32 connections: CPU of all processes of the proxy per request, requests a second
  single  M requests at one connection: p50 less the p50 of the upstream asked directly
  stream  S streams at one connection: median time to the first event less that of the upstream asked directly
The figures that count are ratios to nginx (where it is not measured, to Envoy alone) within a round, and their median over the rounds.
"""

import argparse
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
SCRATCH = pathlib.Path(os.environ["BENCH_SCRATCH"])
TESTKIT = pathlib.Path(os.environ["TESTKIT_BIN"])
NAMES = {
    "nginx": "nginx, plain proxy",
    "envoy": "Envoy, plain proxy",
    "picker": "Envoy, Fingerpost as picker",
    "bare": "bare hyper proxy",
    "plain": "Fingerpost (i) plain",
    "heuristic": "Fingerpost (ii) 10 decisions",
    "embedding": "Fingerpost (iii) + embedding",
}
# Bars: ratio to nginx, except memory (MiB) and start (seconds).
BARS = {
    "plain": {"cpu": 1.2, "p50": 1.2, "first": 1.3, "rss_mib": 40, "start_s": 0.2},
    "heuristic": {"cpu": 1.6, "p50": 1.4, "first": 1.3, "rss_mib": 40, "start_s": 0.2},
    "embedding": {"cpu": 2.5, "p50": 1.8, "first": 1.3, "rss_mib": 40, "start_s": 0.2},
}
PROXY_CORE, OTHER_CORE = "1", "0"
# No round is begun after so many seconds.
MEASURING_S = 300


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def pinned(core, command):
    return ["taskset", "-c", core, *map(str, command)]


def answers(port):
    """Whether a first HTTP answer comes back."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as s:
            s.sendall(b"GET /healthz HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")
            return s.recv(12).startswith(b"HTTP/1.1 ")
    except OSError:
        return False


class Process:
    """A server that is started, found ready and stopped."""

    def __init__(self, name, core, command, port, env=None, beside=None):
        self.name, self.port, self.beside = name, port, beside
        self.log = SCRATCH / f"{name}.log"
        begun = time.monotonic()
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(
                pinned(core, command), stdout=log, stderr=log, env={**os.environ, **(env or {})}
            )
        while not answers(port):
            if self.child.poll() is not None or time.monotonic() - begun > 20:
                tail = self.log.read_text(errors="replace")[-2000:]
                self.stop()
                sys.exit(f"gateway.py: {name} did not start ({' '.join(map(str, command))}):\n{tail}")
            time.sleep(0.001)
        self.start_s = time.monotonic() - begun

    def pids(self):
        found, queue = self.beside.pids() if self.beside else [], [self.child.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    children = pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text()
                    queue += [int(child) for child in children.split()]
            except OSError:
                pass
        return found

    def cpu_seconds(self):
        """Time on a core of all threads of all processes: from schedstat (nanoseconds), else from stat (ticks)."""
        total = 0.0
        for pid in self.pids():
            try:
                tasks = [pathlib.Path(f"/proc/{pid}/task/{t}/schedstat") for t in os.listdir(f"/proc/{pid}/task")]
                total += sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
            except OSError:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return total

    def rss_mib(self):
        total = 0
        for pid in self.pids():
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1])
        return total / 1024

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        if self.beside:
            self.beside.stop()


def request_body(stream):
    """A chat request of about 0.8 kB whose model name routing must resolve."""
    body = {
        "model": "auto",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant who answers in plain words and keeps to the point."},
            {
                "role": "user",
                "content": "My grandmother walked every summer from the village up to the mountain pass and wrote "
                "down which flowers stood beside the path. I have her notebooks and would like to do the same walk next "
                "year with my daughter. Some of the names she used are old and I do not find them in my field guide. "
                "Please explain how I could match the old names with those in use today, which collections keep such "
                "lists, and what a child of nine might enjoy noting on the way besides the flowers. A short list of "
                "steps is enough, we have the whole winter to prepare.",
            },
        ],
        "temperature": 0.7,
        "max_tokens": 256,
        "stream": stream,
    }
    return json.dumps(body, separators=(",", ":"))


def load(port, body, requests, connections, warmup, expect=None):
    command = [TESTKIT / "loadgen", "--target", f"127.0.0.1:{port}", "--body", body, "--requests", requests,
               "--connections", connections, "--warmup", warmup, "--seconds", 60]
    if expect:
        command += ["--expect", expect]
    done = subprocess.run(pinned(OTHER_CORE, command), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"gateway.py: the generator failed on port {port}: {done.stderr.strip()}")
    report = json.loads(done.stdout)
    if report["errors"] or report["requests"] != requests:
        sys.exit(f"gateway.py: wrong answers on port {port}: {report['errors']} errors, "
                 f"{report['requests']} of {requests} answered: {report['told']}")
    return report


def filled(source, target, **fill):
    """A configuration with its places filled in."""
    # A folder each: the embedded store belongs to one process.
    fill = {"DIR": SCRATCH, "STORE": SCRATCH / f"store-{target}", **fill}
    text = (HERE / "configs" / source).read_text()
    for key, value in fill.items():
        text = text.replace(f"@{key}@", str(value))
    config = SCRATCH / f"{target}-{source}"
    config.write_text(text)
    return config


def start(target, upstream):
    """Starts a proxy, with what it asks beside it."""
    port, http, grpc = free_port(), free_port(), free_port()
    fill = {"PORT": port, "UPSTREAM": upstream, "GRPC": grpc}
    fingerpost, envoy = os.environ["FINGERPOST_BIN"], os.environ["ENVOY"]
    envoy_flags = ["--concurrency", 1, "--log-level", "warn", "--disable-hot-restart", "--use-dynamic-base-id"]
    beside = None
    if target == "bare":
        command = [TESTKIT / "bare-proxy", "--listen", f"127.0.0.1:{port}", "--upstream", f"127.0.0.1:{upstream}"]
    elif target == "nginx":
        command = [os.environ["NGINX"], "-p", SCRATCH, "-c", filled("nginx.conf", target, **fill)]
    elif target == "envoy":
        command = [envoy, "-c", filled("envoy.yaml", target, **fill), *envoy_flags]
    elif target == "picker":
        picker = [fingerpost, "extproc", "--config", filled("plain.yaml", target, **fill), "--listen", f"127.0.0.1:{http}",
                  "--grpc", f"127.0.0.1:{grpc}"]
        beside = Process("fingerpost-picker", PROXY_CORE, picker, http)
        command = [envoy, "-c", filled("picker.yaml", target, **fill), *envoy_flags]
    else:
        command = [fingerpost, "serve", "--config", filled(f"{target}.yaml", target, **fill), "--listen", f"127.0.0.1:{port}"]
    return Process(target, PROXY_CORE, command, port, beside=beside)


def measure(args, targets, bodies, started):
    upstream_port = free_port()
    upstream = Process("upstream", OTHER_CORE, [TESTKIT / "scripted-upstream", "--bench", "--listen",
                       f"127.0.0.1:{upstream_port}", "--chunks", 3, "--gap-us", 500], upstream_port)
    started.append(upstream)
    proxies, starts = {}, {}
    for target in targets:
        times = []
        for i in range(args.starts):
            proxy = start(target, upstream_port)
            times.append(proxy.start_s)
            if i + 1 < args.starts:
                proxy.stop()
        started.append(proxy)
        proxies[target], starts[target] = proxy, statistics.median(times)
    rounds, ends = [], time.monotonic() + MEASURING_S
    for number in range(args.rounds):
        if time.monotonic() > ends:
            print(f"stopped after {number} rounds: the time is up", file=sys.stderr)
            break
        order = targets if number % 2 == 0 else targets[::-1]
        single = lambda port: load(port, bodies["whole"], args.single, 1, 50)["total"]["p50_us"]
        stream = lambda port: load(port, bodies["stream"], args.streams, 1, 10, "[DONE]")["first"]["p50_us"]
        results = {}
        for target in order:
            proxy = proxies[target]
            # The warm-up is a run of its own: its CPU must not be counted.
            load(proxy.port, bodies["whole"], args.requests // 10, 32, 0)
            before = proxy.cpu_seconds()
            report = load(proxy.port, bodies["whole"], args.requests, 32, 0)
            cpu = (proxy.cpu_seconds() - before) / args.requests * 1e6
            # The direct figures are taken beside each proxy's, since the machine's pace may drift within a round.
            results[target] = {
                "cpu_us": cpu,
                "per_second": report["per_second"],
                "p50_added_us": single(proxy.port) - single(upstream_port),
                "first_added_us": stream(proxy.port) - stream(upstream_port),
            }
        direct = load(upstream_port, bodies["whole"], args.requests, 32, 0)
        results["direct"] = {"per_second": direct["per_second"]}
        rounds.append(results)
        print(f"round {number + 1} of {args.rounds}: " + ", ".join(
            f"{t} {results[t]['cpu_us']:.1f}" for t in targets) + " us of CPU a request", file=sys.stderr)
    rss = {target: proxies[target].rss_mib() for target in targets}
    return rounds, starts, rss


def base_of(targets):
    """What the others are compared with."""
    return next((base for base in ("nginx", "envoy") if base in targets), None)


def summary(rounds, starts, rss, targets):
    def median(target, key, against=None):
        values = []
        for r in rounds:
            value = r[target][key]
            if against:
                # A difference of two medians can come out at or below zero on a noisy machine: no ratio then.
                if r[against][key] <= 0:
                    continue
                value /= r[against][key]
            values.append(value)
        return statistics.median(values) if values else None

    out = {}
    for target in targets:
        row = {key: median(target, key) for key in ("cpu_us", "per_second", "p50_added_us", "first_added_us")}
        row["rss_mib"], row["start_s"] = rss[target], starts[target]
        if base := base_of(targets):
            row["cpu"] = median(target, "cpu_us", base)
            row["p50"] = median(target, "p50_added_us", base)
            row["first"] = median(target, "first_added_us", base)
        bars = BARS.get(target, {})
        row["bars"] = {
            key: {"bar": bar, "measured": row.get(key), "met": row.get(key) is not None and row[key] <= bar}
            for key, bar in bars.items()
        }
        out[target] = row
    return out


def show(figures, direct):
    form = "{:<30}{:>10}{:>9}{:>11}{:>10}{:>9}{:>11}{:>9}{:>9}{:>9}"
    times = f"x {base_of(figures) or '-'}"
    print(form.format("", "CPU us/rq", times, "rq/s", "+p50 us", times, "+event us", times, "MiB", "start s"))
    number = lambda value, digits: "-" if value is None else f"{value:.{digits}f}"
    for target, row in figures.items():
        print(form.format(NAMES[target], number(row["cpu_us"], 1), number(row.get("cpu"), 2), number(row["per_second"], 0),
                          number(row["p50_added_us"], 1), number(row.get("p50"), 2), number(row["first_added_us"], 1),
                          number(row.get("first"), 2), number(row["rss_mib"], 1), number(row["start_s"], 3)))
    print(f"upstream asked directly: {direct:.0f} requests a second")
    for target, row in figures.items():
        for key, bar in row["bars"].items():
            verdict = "met" if bar["met"] else "MISSED"
            print(f"bar {NAMES[target]}: {key} at most {bar['bar']}, measured {number(bar['measured'], 3)}: {verdict}")


def picture(figures, path):
    """Bars of CPU a request, with the bound of each Fingerpost configuration as a tick."""
    width, left, line = 760, 230, 34
    nginx = figures.get("nginx", {}).get("cpu_us")
    most = max([row["cpu_us"] for row in figures.values()] + [2.5 * nginx if nginx else 0]) * 1.1
    scale = (width - left - 20) / most
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{60 + line * len(figures)}" '
             'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>'
             '<text x="10" y="24" font-size="15">CPU microseconds a request, 32 connections, one core</text>']
    for i, (target, row) in enumerate(figures.items()):
        y = 42 + i * line
        colour = "#2f6f4f" if target in BARS else "#9aa5ad"
        bar = row["cpu_us"] * scale
        parts.append(f'<text x="10" y="{y + 16}">{NAMES[target]}</text>'
                     f'<rect x="{left}" y="{y}" width="{bar:.1f}" height="22" fill="{colour}"/>'
                     f'<text x="{left + bar + 8:.1f}" y="{y + 16}">{row["cpu_us"]:.1f}</text>')
        if nginx and target in BARS:
            x = left + BARS[target]["cpu"] * nginx * scale
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 3}" y2="{y + 25}" stroke="#c0392b" stroke-width="2"/>')
    parts.append("</svg>\n")
    path.write_text("".join(parts))


def main():
    parser = argparse.ArgumentParser(prog="bench/gateway.sh")
    parser.add_argument("--short", action="store_true", help="a few seconds: proves that it runs, measures little")
    parser.add_argument("--targets", default="nginx,envoy,bare,plain,heuristic,embedding", help="which proxies, in this order")
    parser.add_argument("--rounds", type=int)
    args = parser.parse_args()
    targets = args.targets.split(",")
    for target in targets:
        if target not in NAMES:
            parser.error(f"unknown target {target!r}; known: {', '.join(NAMES)}")
    if os.sched_getaffinity(0) < {int(PROXY_CORE), int(OTHER_CORE)}:
        sys.exit("gateway.py: two cores are needed")
    args.rounds = args.rounds or (1 if args.short else 9)
    args.requests, args.single, args.streams, args.starts = (
        (2000, 300, 50, 1) if args.short else (20000, 1500, 120, 5))
    bodies = {}
    for kind in ("whole", "stream"):
        bodies[kind] = SCRATCH / f"{kind}.json"
        bodies[kind].write_text(request_body(kind == "stream"))
    started = []
    try:
        rounds, starts, rss = measure(args, targets, bodies, started)
    finally:
        for process in started:
            process.stop()
    figures = summary(rounds, starts, rss, targets)
    direct = statistics.median(r["direct"]["per_second"] for r in rounds)
    show(figures, direct)
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    body_bytes = bodies["whole"].stat().st_size
    name = "extproc" if targets == ["envoy", "picker"] else "gateway"
    (out / f"{name}.json").write_text(json.dumps(
        {"short": args.short, "body_bytes": body_bytes, "direct_per_second": direct, "targets": figures, "rounds": rounds},
        indent=1) + "\n")
    picture(figures, out / f"{name}.svg")
    print(f"wrote {out / name}.json and {out / name}.svg")


if __name__ == "__main__":
    main()
