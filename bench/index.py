"""The measurements of bench/index.sh: see there."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import time

import hnswlib
import numpy
import usearch.index

M, EF_CONSTRUCTION, K = 16, 200, 10
EFS = [10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128, 160, 192, 256, 320, 400, 512]
TARGETS = [0.95, 0.99]


def clustered(count, dim, queries, seed=1, centres=1000):
    rng = numpy.random.default_rng(seed)
    middle = rng.normal(size=(centres, dim)).astype("f4")
    of = rng.integers(0, centres, count + queries)
    all_ = middle[of] + 0.7 * rng.normal(size=(count + queries, dim)).astype("f4")
    return all_[:count].copy(), all_[count:].copy()


def glove(shared):
    folder = pathlib.Path(shared) / "data" / "vectors"
    if not folder.exists():
        print("skipped: glove100 (no shared data)", flush=True)
        return None
    read = lambda name: numpy.fromfile(folder / name, "<i2").reshape(-1, 100).astype("f4") / 4096
    return read("glove100_base_20000.i16"), read("glove100_query_500.i16")


def truth(base, queries):
    found = []
    norms = (base.astype("f8") ** 2).sum(1)
    for part in numpy.array_split(queries, max(1, len(queries) // 100)):
        d = norms[None, :] - 2 * part.astype("f8") @ base.T.astype("f8")
        near = numpy.argpartition(d, K, axis=1)[:, :K]
        found.append(near)
    return numpy.concatenate(found)


def recall(found, true):
    return float(numpy.mean([len(set(f) & set(t)) / K for f, t in zip(found, true)]))


class Hnswlib:
    name = "hnswlib"

    def __init__(self, scratch, base, **_):
        self.base, self.path = base, scratch / "hnswlib.bin"

    def build(self):
        self.index = hnswlib.Index("l2", self.base.shape[1])
        self.index.init_index(len(self.base), M=M, ef_construction=EF_CONSTRUCTION, random_seed=100)
        self.index.set_num_threads(1)
        start = time.process_time()
        self.index.add_items(self.base, num_threads=1)
        seconds = time.process_time() - start
        self.index.save_index(str(self.path))
        return seconds

    def bytes(self):
        return self.path.stat().st_size / len(self.base)

    def search(self, queries, ef):
        self.index.set_ef(ef)
        start = time.process_time()
        labels, _ = self.index.knn_query(queries, K, num_threads=1)
        return labels, time.process_time() - start


class Usearch:
    name = "usearch"

    def __init__(self, scratch, base, **_):
        self.base, self.path = base, scratch / "usearch.bin"

    def build(self):
        self.index = usearch.index.Index(
            ndim=self.base.shape[1], metric="l2sq", dtype="f32", connectivity=M, expansion_add=EF_CONSTRUCTION
        )
        start = time.process_time()
        self.index.add(numpy.arange(len(self.base)), self.base, threads=1)
        seconds = time.process_time() - start
        self.index.save(str(self.path))
        return seconds

    def bytes(self):
        return self.path.stat().st_size / len(self.base)

    def search(self, queries, ef):
        self.index.expansion_search = ef
        start = time.process_time()
        matches = self.index.search(queries, K, threads=1)
        return matches.keys, time.process_time() - start


class Fingerpost:
    def __init__(self, scratch, base, precision="f32", **_):
        self.name = "fingerpost" if precision == "f32" else f"fingerpost {precision}"
        self.precision, self.scratch, self.base = precision, scratch, base
        self.path = scratch / f"fingerpost-{precision}.index"

    def run(self, *words):
        ran = subprocess.run([os.environ["FINGERPOST_BIN"], "index", *map(str, words), "--json"], capture_output=True, text=True)
        if ran.returncode:
            raise SystemExit(ran.stderr)
        return json.loads(ran.stdout)

    def build(self):
        numpy.save(self.scratch / "base.npy", self.base)
        built = self.run(
            "build", self.scratch / "base.npy", "--out", self.path, "--metric", "l2", "--precision", self.precision,
            "--m", M, "--ef-construction", EF_CONSTRUCTION, "--threads", 1,
        )
        self.stats = built["stats"]
        return built["seconds"]

    def bytes(self):
        return self.stats["bytes_per_vector"]

    def search(self, queries, ef):
        numpy.save(self.scratch / "queries.npy", queries)
        found = self.run("search", self.path, "--queries", self.scratch / "queries.npy", "--k", K, "--ef", ef)
        self.evaluations = found["evaluations"] / len(queries)
        return found["neighbours"], found["seconds"]


def at_recall(points, target):
    """CPU seconds a query at a recall, between the two nearest settings, on the logarithm."""
    points = sorted(points)
    for (r0, s0), (r1, s1) in zip(points, points[1:]):
        if r0 <= target <= r1:
            share = (target - r0) / (r1 - r0) if r1 > r0 else 0
            return float(numpy.exp(numpy.log(s0) + share * (numpy.log(s1) - numpy.log(s0))))
    return points[0][1] if points and points[0][0] > target else None


def compare(name, base, queries, arguments):
    true = truth(base, queries)
    kinds = [Hnswlib, Usearch, Fingerpost]
    makers = [lambda **k: Hnswlib(**k), lambda **k: Usearch(**k), lambda **k: Fingerpost(**k)]
    makers += [lambda p=p, **k: Fingerpost(precision=p, **k) for p in ("int8", "int8-rerank")]
    peers = [make(scratch=arguments.scratch, base=base) for make in makers]
    rows = {peer.name: {"build_seconds": [], "points": {}} for peer in peers}
    for _ in range(arguments.rounds if len(base) <= 20_000 else 1):
        for peer in peers:
            rows[peer.name]["build_seconds"].append(peer.build())
    for _ in range(arguments.rounds):
        for ef in EFS:
            for peer in peers:
                found, seconds = peer.search(queries, ef)
                rows[peer.name]["points"].setdefault(ef, []).append((recall(found, true), seconds / len(queries)))
    for peer in peers:
        row = rows[peer.name]
        row["bytes_per_vector"] = peer.bytes()
        row["build_seconds"] = statistics.median(row["build_seconds"])
        row["points"] = {
            ef: (statistics.median(r for r, _ in p), statistics.median(s for _, s in p)) for ef, p in row["points"].items()
        }
        for target in TARGETS:
            seconds = at_recall(row["points"].values(), target)
            row[f"queries_per_second_at_{target}"] = None if seconds is None else 1 / seconds
    ours, theirs = rows["fingerpost"], rows["hnswlib"]
    ratio = lambda key: (ours[key] or 0) / theirs[key] if theirs[key] else None
    result = {
        "set": name,
        "rows": rows,
        "ratio_to_hnswlib": {
            **{f"queries_at_{t}": ratio(f"queries_per_second_at_{t}") for t in TARGETS},
            "build_seconds": ratio("build_seconds"),
        },
        "int8_memory_of_f32": rows["fingerpost int8"]["bytes_per_vector"] / ours["bytes_per_vector"],
        "int8_recall_loss": {
            ef: ours["points"][ef][0] - rows["fingerpost int8"]["points"][ef][0] for ef in EFS
        },
        "int8_rerank_recall_loss": {
            ef: ours["points"][ef][0] - rows["fingerpost int8-rerank"]["points"][ef][0] for ef in EFS
        },
    }
    print(f"\n{name}: {len(base)} x {base.shape[1]}")
    for peer, row in rows.items():
        rates = "  ".join(f"q/s at {t}: {row[f'queries_per_second_at_{t}'] or 0:8.0f}" for t in TARGETS)
        print(f"  {peer:24} build {row['build_seconds']:7.2f} s  {rates}  {row['bytes_per_vector']:6.0f} B a vector")
    print("  ratio to hnswlib:", {k: round(v, 3) if v else v for k, v in result["ratio_to_hnswlib"].items()})
    print(f"  int8: {result['int8_memory_of_f32']:.3f} of the memory; recall lost at ef 64:"
          f" {result['int8_recall_loss'][64]:.4f}, ranked again {result['int8_rerank_recall_loss'][64]:.4f}", flush=True)
    return result


def growth(arguments):
    """Distances and CPU a query at recall .95 as the set grows a hundredfold: one normal cloud of 16 components."""
    rows = []
    for count in [10_000, 30_000, 100_000, 300_000, 1_000_000]:
        base, queries = clustered(count, 16, 300, seed=2, centres=1)
        true = truth(base, queries)
        peer = Fingerpost(scratch=arguments.scratch, base=base)
        seconds = peer.build()
        points, evaluations = [], []
        for ef in EFS:
            found, took = peer.search(queries, ef)
            points.append((recall(found, true), took / len(queries)))
            evaluations.append((points[-1][0], peer.evaluations))
            if points[-1][0] > 0.97:
                break
        row = {
            "vectors": count, "build_seconds": seconds,
            "evaluations_at_0.95": at_recall(evaluations, 0.95), "seconds_a_query_at_0.95": at_recall(points, 0.95),
        }
        rows.append(row)
        print("  growth:", row, flush=True)
    return rows


def picture(results, path):
    """Recall against queries a second, a panel a set."""
    width, height, out = 520, 360, []
    colours = ["#1f77b4", "#ff7f0e", "#d62728", "#2ca02c", "#9467bd"]
    for panel, result in enumerate(results):
        left = 70 + panel * width
        rates = [1 / s for row in result["rows"].values() for _, s in row["points"].values()]
        low, high = numpy.log10(min(rates)), numpy.log10(max(rates))
        x = lambda r: left + (max(r, 0.8) - 0.8) / 0.2 * (width - 110)
        y = lambda q: 30 + (high - numpy.log10(q)) / (high - low) * (height - 90)
        out.append(f'<text x="{left}" y="20" font-weight="bold">{result["set"]}: queries per CPU second over recall@10</text>')
        for r in (0.8, 0.85, 0.9, 0.95, 0.99):
            out.append(f'<line x1="{x(r):.1f}" y1="30" x2="{x(r):.1f}" y2="{height - 60}" stroke="#ddd"/>'
                       f'<text x="{x(r) - 12:.1f}" y="{height - 44}">{r}</text>')
        for power in range(int(numpy.ceil(low)), int(high) + 1):
            out.append(f'<text x="{left - 58}" y="{y(10.0**power) + 4:.1f}">{10**power:,}</text>')
        for colour, (name, row) in zip(colours, result["rows"].items()):
            points = sorted(p for p in row["points"].values() if p[0] >= 0.8)
            line = " ".join(f"{x(r):.1f},{y(1 / s):.1f}" for r, s in points)
            out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for i, (colour, name) in enumerate(zip(colours, result["rows"])):
            out.append(f'<text x="{left + 10}" y="{height - 150 + 16 * i}" fill="{colour}">{name}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width * len(results) + 40}" height="{height}" font-family="sans-serif" font-size="12">'
    path.write_text(head + '<rect width="100%" height="100%" fill="white"/>' + "".join(out) + "</svg>\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--scratch", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--short", action="store_true", help="a small generated set only: that it runs, not how fast")
    parser.add_argument("--growth", action="store_true")
    arguments = parser.parse_args()
    if arguments.growth:
        rows = growth(arguments)
        (arguments.out / "index-growth.json").write_text(json.dumps(rows, indent=1) + "\n")
        return
    results = []
    if arguments.short:
        arguments.rounds = 1
        results.append(compare("clustered, short", *clustered(4_000, 64, 200), arguments))
    else:
        if sets := glove(os.environ["FINGERPOST_SHARED"]):
            results.append(compare("glove100", *sets, arguments))
        results.append(compare("clustered 128", *clustered(100_000, 128, 500), arguments))
    picture(results, arguments.out / "index.svg")
    (arguments.out / "index.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
