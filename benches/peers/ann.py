"""Approximate nearest neighbours by other libraries, on one thread, beside ours.

    python -m venv VENV && VENV/bin/pip install numpy hnswlib usearch faiss-cpu scalable-vs rabitqlib
    cargo build --release -p cortica-cli
    export OMP_NUM_THREADS=1
    VENV/bin/python benches/peers/ann.py DIR WORK build      # once; again for what is missing
    VENV/bin/python benches/peers/ann.py DIR WORK search     # one round; again for more of them
    VENV/bin/python benches/peers/ann.py DIR WORK table

DIR is laid out like crates/cli/data. All have the same parameters: M 16 (32 links on the base level), 128
candidates when building, one thread. WORK keeps what was built, what that cost, and each round. In a
round every index is searched in turn at each of EFS, and `cortica bench` runs once for each of OURS, so
that a machine that slows down slows all of them. The table gives medians over the rounds.

What is compared, and what is not. Recall is that of the true neighbours, computed here in f32 and f64. A
peer is asked for all queries in one call of its own batch interface on one thread, which costs it no
Python for each query; its latencies are of single calls through Python. Ours are single recalls through
the whole engine, of episodes. A peer's memory is what the process grew by (its copy of the vectors
included) or, where that is more, the size of what it saves. Building counts from the first row
to the last; of ours, linking alone, since storing also writes a log.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

M, EF_BUILD = 16, 128
EFS = [10, 16, 24, 32, 48, 64, 96, 128, 192, 256]
OURS = ["f32", "i8", "blocks"]
CORTICA = Path(os.environ.get("CORTICA", Path(__file__).parents[2] / "target/release/cortica"))
TOLERANCE = 1e-6
LEAST_S = 0.4


def unit(rows):
    rows = rows.astype(np.float32)
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


class Hnswlib:
    def build(self, rows):
        import hnswlib

        self.index = hnswlib.Index(space="cosine", dim=rows.shape[1])
        self.index.init_index(max_elements=len(rows), M=M, ef_construction=EF_BUILD, random_seed=0)
        self.index.add_items(rows, num_threads=1)

    def save(self, path):
        self.index.save_index(str(path))

    def load(self, path, rows):
        import hnswlib

        self.index = hnswlib.Index(space="cosine", dim=rows.shape[1])
        self.index.load_index(str(path))

    def search(self, queries, k, ef):
        self.index.set_ef(max(ef, k))
        return self.index.knn_query(queries, k=k, num_threads=1)[0]


class Usearch:
    def __init__(self, dtype):
        self.dtype = dtype

    def empty(self, rows):
        from usearch.index import Index

        self.index = Index(
            ndim=rows.shape[1], metric="cos", dtype=self.dtype, connectivity=M, expansion_add=EF_BUILD
        )

    def build(self, rows):
        self.empty(rows)
        self.index.add(np.arange(len(rows), dtype=np.uint64), rows, threads=1)

    def save(self, path):
        self.index.save(str(path))

    def load(self, path, rows):
        self.empty(rows)
        self.index.load(str(path))

    def search(self, queries, k, ef):
        self.index.expansion_search = max(ef, k)
        return self.index.search(queries, k, threads=1).keys.reshape(len(queries), -1)


class Faiss:
    def __init__(self, kind):
        self.kind = kind

    def build(self, rows):
        import faiss

        d = rows.shape[1]
        if self.kind == "f32":
            self.index = faiss.IndexHNSWFlat(d, M, faiss.METRIC_INNER_PRODUCT)
        else:
            bits = faiss.ScalarQuantizer.QT_8bit
            self.index = faiss.IndexHNSWSQ(d, bits, M, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = EF_BUILD
        self.index.train(rows)
        self.index.add(rows)

    def save(self, path):
        import faiss

        faiss.write_index(self.index, str(path))

    def load(self, path, rows):
        import faiss

        faiss.omp_set_num_threads(1)
        self.index = faiss.read_index(str(path))

    def search(self, queries, k, ef):
        self.index.hnsw.efSearch = max(ef, k)
        return self.index.search(queries, k)[1]


class Svs:
    """Vamana has one level; its degree is that of the base level of the others."""

    def __init__(self, bits):
        self.bits = bits

    def build(self, rows):
        import svs

        parameters = svs.VamanaBuildParameters(
            alpha=0.95, graph_max_degree=2 * M, window_size=EF_BUILD
        )
        data = rows
        if self.bits:
            file = WORK / "rows.fvecs"
            svs.write_vecs(rows, str(file))
            loader = svs.VectorDataLoader(str(file), svs.DataType.float32, dims=rows.shape[1])
            data = svs.LVQLoader(loader, primary=self.bits[0], residual=self.bits[1])
        self.index = svs.Vamana.build(parameters, data, svs.DistanceType.MIP, num_threads=1)

    save = None  # Its own form is three folders; it is built anew in each round instead.

    def search(self, queries, k, ef):
        self.index.search_window_size = max(ef, k)
        return self.index.search(queries, k)[0]


class RabitqHnsw:
    """Its codes are made around centroids: 16, by its own k-means, whose time counts."""

    def build(self, rows):
        import rabitqlib

        means = rabitqlib.RaBitQKMeans(rows.shape[1], 16)
        means.train(rows)
        self.index = rabitqlib.HnswIndex(
            rows.shape[1], len(rows), M=M, ef_construction=EF_BUILD, nbits=5, metric="l2"
        )
        self.index.build(rows, means.centroids, means.assignments, num_threads=1)

    def save(self, path):
        self.index.save(str(path))

    def load(self, path, rows):
        import rabitqlib

        self.index = rabitqlib.HnswIndex.load(str(path))

    def search(self, queries, k, ef):
        return self.index.search(queries, k, ef=max(ef, k), num_threads=1)[0]


class Symqg:
    def build(self, rows):
        import rabitqlib

        self.index = rabitqlib.SymqgIndex(rows.shape[1], 2 * M, metric="l2")
        self.index.build(rows, EF_BUILD, num_threads=1)

    def save(self, path):
        self.index.save(str(path))

    def load(self, path, rows):
        import rabitqlib

        self.index = rabitqlib.SymqgIndex.load(str(path))

    def search(self, queries, k, ef):
        return self.index.search(queries, k, max(ef, k), num_threads=1)[0]


PEERS = {
    "hnswlib f32": Hnswlib(),
    "usearch f32": Usearch("f32"),
    "usearch i8": Usearch("i8"),
    "faiss HNSW f32": Faiss("f32"),
    "faiss HNSW 8 bit": Faiss("8bit"),
    "svs Vamana f32": Svs(None),
    "svs Vamana LVQ4x8": Svs((4, 8)),
    "rabitqlib HNSW 5 bit": RabitqHnsw(),
    "rabitqlib SymphonyQG": Symqg(),
}


def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def build(name, rows):
    """In a process of its own, so that memory is that of one index."""
    peer, before = PEERS[name], resident()
    started, cpu = time.perf_counter(), time.process_time()
    peer.build(rows)
    built = {"s": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}
    built["bytes"] = resident() - before
    if peer.save:
        path = file_of(name)
        peer.save(path)
        built["bytes"] = max(built["bytes"], path.stat().st_size)
    return built


def file_of(name):
    return WORK / (name.replace(" ", "_") + ".index")


def recalls(found, scores, k):
    kth = -np.partition(-scores, k - 1, axis=1)[:, k - 1]
    good = 0
    for query, rows in enumerate(found):
        rows = np.unique(np.asarray(rows, dtype=np.int64))
        rows = rows[(rows >= 0) & (rows < scores.shape[1])]
        good += min(k, int((scores[query, rows] >= kth[query] - TOLERANCE).sum()))
    return good / (k * len(found))


def rate(search, count):
    done, wall, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < LEAST_S:
        search()
        done += count
    return done / (time.process_time() - cpu)


def curve(peer, queries, scores):
    points = []
    for ef in EFS:
        point = {"ef": ef}
        for k in (10, 100):
            search = lambda: peer.search(queries, k, ef)
            point[f"recall_at_{k}"] = recalls(search(), scores, k)
            point["qps_cpu" if k == 10 else "qps_cpu_of_100"] = rate(search, len(queries))
            single = []
            for query in queries:
                started = time.perf_counter()
                peer.search(query[None], k, ef)
                single.append(1e6 * (time.perf_counter() - started))
            p50, p99 = np.percentile(single, [50, 99])
            if k == 10:
                point["p50_us"], point["p99_us"] = p50, p99
            else:
                point["p99_us_of_100"] = p99
        points.append(point)
    return points


def ours(data, codes):
    command = [CORTICA, "bench", "--data", data, "--json", "--codes", codes]
    command += ["--build-width", str(EF_BUILD)]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def at_recall(points, recall, wanted, figure):
    """Between the two points around it, by the logarithm of what is missing from a recall of 1."""
    points = sorted(points, key=lambda point: point["ef"])
    for low, high in zip(points, points[1:]):
        a, b = low[recall], high[recall]
        if a < wanted <= b:
            depth = lambda share: np.log(max(1 - share, 1e-6))
            share = (depth(a) - depth(wanted)) / (depth(a) - depth(b))
            return float(np.exp((1 - share) * np.log(low[figure]) + share * np.log(high[figure])))
    return points[0][figure] if points[0][recall] >= wanted else None


def median(values):
    values = [value for value in values if value is not None]
    return float(np.median(values)) if values else None


def table():
    rounds = [json.loads(file.read_text()) for file in sorted(WORK.glob("round-*.json"))]
    built = json.loads((WORK / "built.json").read_text())
    print("| index | build rows/CPU s | bytes/row | QPS/CPU s at recall@10 0.955 | at 0.99 | "
          "at recall@100 0.955 | P50 us | P99 us | P99 us of 100 |")
    print("|---|---|---|---|---|---|---|---|---|")
    names = list(dict.fromkeys(name for one in rounds for name in one["curves"]))
    for name in names:
        curves = [one["curves"][name] for one in rounds if name in one["curves"]]
        cells = []
        costs = [one["built"][name] for one in rounds if name in one.get("built", {})]
        cost = costs or ([built[name]] if name in built else [])
        cells.append(median([each["rows"] / each["cpu_s"] for each in cost]))
        cells.append(median([each["bytes"] / each["rows"] for each in cost]))
        for recall, wanted, figure in [
            ("recall_at_10", 0.955, "qps_cpu"),
            ("recall_at_10", 0.99, "qps_cpu"),
            ("recall_at_100", 0.955, "qps_cpu_of_100"),
            ("recall_at_10", 0.955, "p50_us"),
            ("recall_at_10", 0.955, "p99_us"),
            ("recall_at_100", 0.955, "p99_us_of_100"),
        ]:
            cells.append(median([at_recall(points, recall, wanted, figure) for points in curves]))
        shown = ["not reached" if cell is None else f"{cell:,.0f}" for cell in cells]
        print(f"| {name} | " + " | ".join(shown) + " |")
    machine = next((one["machine"] for one in rounds if one.get("machine")), None)
    print(f"\n{len(rounds)} rounds; {json.dumps(machine)}")


def main():
    global WORK
    data, WORK, what = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    only = sys.argv[4:]
    WORK.mkdir(parents=True, exist_ok=True)
    if what == "table":
        return table()
    rows = unit(np.load(data / "X.npy"))
    if what == "build-one":
        return print(json.dumps(build(only[0], rows)))
    costs = WORK / "built.json"
    built = json.loads(costs.read_text()) if costs.exists() else {}
    names = [name for name in PEERS if not only or name in only]
    if what == "build":
        for name in names:
            if name in built:
                continue
            command = [sys.executable, __file__, str(data), str(WORK), "build-one", name]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                print(f"{name}: {done.stderr.strip().splitlines()[-1:]}", flush=True)
                continue
            built[name] = json.loads(done.stdout.splitlines()[-1]) | {"rows": len(rows)}
            print(name, built[name], flush=True)
            costs.write_text(json.dumps(built))
        return
    queries = unit(np.load(data / "q.npy"))
    scores = (queries.astype(np.float64) @ rows.T.astype(np.float64)).astype(np.float64)
    done = {"curves": {}, "built": {}, "machine": None}
    for codes in OURS if not only else [code for code in OURS if f"cortica {code}" in only]:
        report = ours(data, codes)
        name = f"cortica {codes}"
        done["machine"] = report["machine"]
        done["curves"][name] = report["approximate"]
        done["built"][name] = {
            "rows": 1,
            "cpu_s": 1 / report["store"]["index_rows_cpu_s"],
            # Beside links and codes, the vectors themselves.
            "bytes": report["store"]["index_bytes"] / report["n"] + 4 * report["d"],
        }
    for name in names:
        if name not in built:
            continue
        peer = PEERS[name]
        if peer.save:
            peer.load(file_of(name), rows)
        else:
            peer.build(rows)
        done["curves"][name] = curve(peer, queries, scores)
        peer.index = None
        print(name, done["curves"][name][5], flush=True)
    number = len(list(WORK.glob("round-*.json")))
    (WORK / f"round-{number}.json").write_text(json.dumps(done))


if __name__ == "__main__":
    main()
