"""The three networks in onnxruntime, with the weights of a file of ours, on one thread, beside ours.

    pip install onnx onnxruntime numpy
    cargo build --release -p cortica-neural --example latency
    python benches/peers/onnxruntime_networks.py networks.safetensors target/release/examples/latency

Checks first that onnxruntime gives what PyTorch gave for the golden files of crates/neural. Then
both are timed in turn, ROUNDS times: single calls, bound to their buffers, and batches of 64. What
is printed is the median over the rounds of each round's median. i8 weights are given to onnxruntime as
the f32 values they stand for. Its times hold what Python takes to call it; the last line says how much that is at
most, by a network that copies one value.
"""

import json
import re
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

CODE, WINDOW = 64, 8
ROUNDS = 9
GOLDEN = Path(__file__).parents[2] / "crates/neural/tests/golden"


def read(path):
    whole = Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", whole)
    header = json.loads(whole[8 : 8 + length])
    kinds = {"F32": "<f4", "I8": "i1"}
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = (8 + length + at for at in entry["data_offsets"])
            tensors[name] = np.frombuffer(whole[start:end], kinds[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def weights_of(path):
    stored = read(path)
    meant = {name: array for name, array in stored.items() if not name.endswith(".scale")}
    for name, array in stored.items():
        if name.endswith(".scale"):
            weight = name.replace(".scale", ".weight")
            meant[weight] = stored[weight].astype("<f4") * array[:, None]
    return meant


class Graph:
    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, kind, *inputs, **attributes):
        name = f"n{len(self.nodes)}"
        inputs = [self.constant(at) if isinstance(at, np.ndarray) else at for at in inputs]
        outputs = ["", name] if kind == "LSTM" else [name]
        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return name

    def gemm(self, x, weights, layer):
        return self.add("Gemm", x, weights[layer + ".weight"], weights[layer + ".bias"], transB=1)

    def slice(self, x, start, end, axis):
        return self.add("Slice", x, *(np.array([at], dtype="i8") for at in (start, end, axis)))

    def session(self, inputs, output, shape):
        value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        named = self.add("Identity", output)
        graph = helper.make_graph(
            self.nodes, "network", [value("x", inputs)], [value(named, shape)], self.constants
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def encoder(w, batch):
    g, d = Graph(), w["encoder.first.weight"].shape[1]
    both = g.gemm(g.add("LpNormalization", "x", axis=1, p=2), w, "encoder.first")
    bend = g.add("Relu", g.slice(both, CODE, 1 << 30, 1))
    code = g.add("Add", g.slice(both, 0, CODE, 1), g.gemm(bend, w, "encoder.second"))
    return g.session([batch, d], g.add("LpNormalization", code, axis=1, p=2), [batch, CODE])


def predictor(w, batch, steps=WINDOW):
    g, state = Graph(), w["predictor.recurrent.weight"].shape[1]
    # Ours stand in the order i, f, o, g; those of ONNX in i, o, f, c.
    order = np.concatenate([np.arange(k * state, (k + 1) * state) for k in (0, 2, 1, 3)])
    bias = np.concatenate([w["predictor.input.bias"][order], np.zeros(4 * state, "<f4")])
    hidden = g.add(
        "LSTM",
        "x",
        w["predictor.input.weight"][order][None],
        w["predictor.recurrent.weight"][order][None],
        bias[None],
        hidden_size=state,
    )
    axis = np.array([0], dtype="i8")
    last = g.add("Squeeze", g.slice("x", steps - 1, steps, 0), axis)
    shown = g.add("Concat", g.add("Squeeze", hidden, axis), last, axis=1)
    code = g.add("LpNormalization", g.gemm(shown, w, "predictor.output"), axis=1, p=2)
    return g.session([steps, batch, CODE], code, [batch, CODE])


def detector(w, batch):
    g, width = Graph(), w["detector.lift.weight"].shape[0]

    def earlier(back):
        padded = g.add("Pad", "x", np.array([0, back, 0, 0, 0, 0], dtype="i8"))
        return g.slice(padded, 0, WINDOW, 1)

    parts = [g.add("Mul", "x", np.array(8, "<f4"))]
    parts.append(g.add("Mul", g.add("Mul", "x", earlier(1)), np.array(64, "<f4")))
    for back in range(1, WINDOW):
        product = g.add("Mul", "x", earlier(back))
        parts.append(g.add("ReduceSum", product, np.array([2], dtype="i8"), keepdims=1))
    y = g.add("Transpose", g.add("Concat", *parts, axis=2), perm=[0, 2, 1])
    y = g.add("Conv", y, w["detector.lift.weight"][:, :, None], w["detector.lift.bias"])
    for at, dilation in enumerate([1, 2, 4]):
        kernel = w[f"detector.layer{at}.weight"].reshape(width, 3, width).transpose(0, 2, 1)
        bias = w[f"detector.layer{at}.bias"]
        added = g.add("Conv", y, kernel, bias, dilations=[dilation], pads=[2 * dilation, 0])
        y = g.add("Relu", g.add("Add", y, g.add("Relu", added)))
    last = g.add("Squeeze", g.slice(y, WINDOW - 1, WINDOW, 2), np.array([2], dtype="i8"))
    judged = g.gemm(g.add("Relu", g.gemm(last, w, "detector.hidden")), w, "detector.output")
    return g.session([batch, WINDOW, CODE], g.add("Sigmoid", judged), [batch, 1])


def nothing():
    return Graph().session([1], "x", [1])


def run(session, x):
    return session.run(None, {"x": np.ascontiguousarray(x)})[0]


def check():
    golden = read(GOLDEN / "golden.safetensors")
    for name, suffix in [("networks", ""), ("networks_i8", "_i8")]:
        w = weights_of(GOLDEN / f"{name}.safetensors")
        count = len(golden["features"])
        off = np.abs(run(encoder(w, count), golden["features"]) - golden["codes" + suffix]).max()
        for at, length in enumerate(golden["lengths"]):
            window = golden["windows"][at, WINDOW - length :, None]
            got = run(predictor(w, 1, int(length)), window)
            off = max(off, np.abs(got - golden["predictions" + suffix][at]).max())
        got = run(detector(w, count), golden["windows"])[:, 0]
        off = max(off, np.abs(got - golden["exceptions" + suffix][:, -1]).max())
        print(f"{name}: within {off:.1e} of PyTorch")
        assert off < 1e-5


def times(session, x, calls):
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output(session.get_outputs()[0].name)
    for _ in range(calls // 10):
        session.run_with_iobinding(binding)
    taken = []
    for _ in range(calls):
        started = time.perf_counter_ns()
        session.run_with_iobinding(binding)
        taken.append((time.perf_counter_ns() - started) / 1e3)
    return np.array(taken)


SIZES = {"encoder": lambda n, d: (n, d), "predictor": lambda n, _: (WINDOW, n, CODE), "detector": lambda n, _: (n, WINDOW, CODE)}
MAKERS = {"encoder": encoder, "predictor": predictor, "detector": detector}


def theirs(w):
    """Microseconds of a call by its name, each a pair of a session and its input."""
    rng = np.random.default_rng(1)
    d = w["encoder.first.weight"].shape[1]
    calls = {}
    for name, make in MAKERS.items():
        for n in (1, 64):
            x = (rng.standard_normal(SIZES[name](n, d)) / 8).astype("<f4")
            calls[name, n] = (make(w, n), x)
    return calls


def ours(binary, path):
    """Microseconds of a call, from what the example prints."""
    text = subprocess.run([binary, path], check=True, capture_output=True, text=True).stdout
    single = re.findall(r"^(.{9,10}) +([0-9.]+) us", text, re.M)
    batch = re.findall(r"^(.{9,10}) +([0-9.]+) k samples/s", text, re.M)
    taken = {(name.strip(), 1): float(time) for name, time in single}
    return taken | {(name.strip(), 64): 64e3 / float(rate) for name, rate in batch}


def main():
    print(f"onnxruntime {ort.__version__}")
    check()
    path, binary = sys.argv[1:]
    calls = theirs(weights_of(path))
    all_ours, all_theirs, empty = [], [], []
    for _ in range(ROUNDS):
        empty.append(np.median(times(nothing(), np.zeros(1, "<f4"), 3_000)))
        all_ours.append(ours(binary, path))
        round_of = {key: np.median(times(*call, 3_000 if key[1] == 1 else 300)) for key, call in calls.items()}
        round_of["all three", 1] = sum(taken for (_, n), taken in round_of.items() if n == 1)
        all_theirs.append(round_of)
    print("| | ours, us | onnxruntime, us | ratio | range over rounds |\n|---|---|---|---|---|")
    for key in all_theirs[0]:
        mine, other = (np.array([taken[key] for taken in rounds]) for rounds in (all_ours, all_theirs))
        ratios = other / mine
        name = key[0] + (", a batch of 64" if key[1] == 64 else "")
        print(
            f"| {name} | {np.median(mine):.2f} | {np.median(other):.2f} "
            f"| {np.median(ratios):.2f} | {ratios.min():.2f} to {ratios.max():.2f} |"
        )
    print(f"a call of onnxruntime that copies one value: {np.median(empty):.2f} us")


main()
