"""Writes the golden files beside it: weights, inputs, and what PyTorch makes of them.

    pip install torch numpy && python make.py

Written from the papers with PyTorch's own layers (Linear, LSTM, conv1d), not from the Rust code.
Made with PyTorch 2.15.0 on x86-64. Computed in f64, stored as f32.
"""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

HERE = Path(__file__).parent
D, HIDDEN, STATE, WIDTH, JUDGE = 40, 64, 32, 16, 16
CODE, WINDOW, CHANNELS = 64, 8, 2 * 64 + 7
STREAM, RESET = 80, 56  # Codes of a stream, and after how many of them the state forgets.
DTYPES = {np.dtype("<f4"): "F32", np.dtype("i1"): "I8"}


def write_sealed(path, metadata, tensors):
    """A safetensors file whose metadata begins with the CRC-32 of all other bytes."""
    header = {"__metadata__": {"checksum": "0" * 8, **metadata}}
    data = b""
    for name, array in tensors.items():
        array = np.ascontiguousarray(array)
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": DTYPES[array.dtype], "shape": list(array.shape), "data_offsets": offsets}
        data += array.tobytes()
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    whole = struct.pack("<Q", len(text)) + text + data
    at = 8 + len(b'{"__metadata__":{"checksum":"')
    seal = zlib.crc32(whole[:at] + whole[at + 8 :])
    path.write_bytes(whole[:at] + b"%08x" % seal + whole[at + 8 :])


def make_weights(rng):
    def matrix(outputs, inputs):
        return (rng.standard_normal((outputs, inputs)) * 1.5 / np.sqrt(inputs)).astype("<f4")

    def vector(length):
        return (rng.standard_normal(length) * 0.2).astype("<f4")

    shapes = {
        "encoder.first": (CODE + HIDDEN, D),
        "encoder.second": (CODE, HIDDEN),
        "predictor.input": (4 * STATE, CODE),
        "predictor.recurrent": (4 * STATE, STATE),
        "predictor.output": (CODE, STATE + CODE),
        "detector.lift": (WIDTH, CHANNELS),
        "detector.layer0": (WIDTH, 3 * WIDTH),
        "detector.layer1": (WIDTH, 3 * WIDTH),
        "detector.layer2": (WIDTH, 3 * WIDTH),
        "detector.hidden": (JUDGE, WIDTH),
        "detector.output": (1, JUDGE),
    }
    weights = {}
    for name, shape in shapes.items():
        weights[name + ".weight"] = matrix(*shape)
        if name != "predictor.recurrent":
            weights[name + ".bias"] = vector(shape[0])
    return weights


def quantise(weights):
    """Matrices as i8 with a scale for each row; and what they stand for."""
    stored, meant = {}, {}
    for name, array in weights.items():
        stored[name] = meant[name] = array
        if name.endswith(".weight") and name != "detector.output.weight":
            scale = (np.abs(array).max(axis=1) / 127).astype("<f4")
            values = np.rint(array / scale[:, None]).clip(-127, 127).astype("i1")
            stored[name] = values
            stored[name.replace(".weight", ".scale")] = scale
            meant[name] = values.astype("f8") * scale[:, None].astype("f8")
    return stored, meant


def run(weights, features, windows, lengths, stream):
    w = {name: torch.tensor(np.asarray(array, dtype="f8")) for name, array in weights.items()}

    def linear(name, x):
        return F.linear(x, w[name + ".weight"], w[name + ".bias"])

    # Encoder.
    x = F.normalize(torch.tensor(features, dtype=torch.float64), dim=1)
    both = linear("encoder.first", x)
    codes = both[:, :CODE] + linear("encoder.second", F.relu(both[:, CODE:]))
    codes = F.normalize(codes, dim=1)

    # Predictor: PyTorch's gates stand in the order i, f, g, o; ours i, f, o, g.
    lstm = torch.nn.LSTM(CODE, STATE, batch_first=True, dtype=torch.float64)
    i, f, o, g = (slice(k * STATE, (k + 1) * STATE) for k in range(4))
    order = lambda rows: torch.cat([rows[i], rows[f], rows[g], rows[o]])
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(order(w["predictor.input.weight"]))
        lstm.weight_hh_l0.copy_(order(w["predictor.recurrent.weight"]))
        lstm.bias_ih_l0.copy_(order(w["predictor.input.bias"]))
        lstm.bias_hh_l0.zero_()
    windows = torch.tensor(windows, dtype=torch.float64)
    predictions = []
    for window, length in zip(windows, lengths):
        window = window[WINDOW - length :].unsqueeze(0)
        hidden = lstm(window)[0][0, -1]
        shown = torch.cat([hidden, window[0, -1]]).unsqueeze(0)
        predictions.append(F.normalize(linear("predictor.output", shown), dim=1)[0])

    # A state that carries through a whole stream, and one that begins anew in the midst of it.
    def carried(codes):
        hidden = lstm(codes.unsqueeze(0))[0][0]
        return F.normalize(linear("predictor.output", torch.cat([hidden, codes], dim=1)), dim=1)

    stream = torch.tensor(stream, dtype=torch.float64)
    carried = torch.cat([carried(stream), carried(stream[RESET:])])

    # Detector, over whole windows with zero codes in front of the shorter ones.
    before = F.pad(windows, (0, 0, 1, 0))[:, :WINDOW]
    dots = []
    for back in range(1, WINDOW):
        shifted = F.pad(windows, (0, 0, back, 0))[:, :WINDOW]
        dots.append((windows * shifted).sum(-1, keepdim=True))
    steps = torch.cat([8 * windows, 64 * windows * before, *dots], dim=-1)
    y = linear("detector.lift", steps).transpose(1, 2)
    for at, dilation in enumerate([1, 2, 4]):
        name = f"detector.layer{at}"
        # Stored tap by tap, the oldest first; conv1d wants [outputs, channels, taps].
        kernel = w[name + ".weight"].reshape(WIDTH, 3, WIDTH).transpose(1, 2)
        added = F.conv1d(F.pad(y, (2 * dilation, 0)), kernel, w[name + ".bias"], dilation=dilation)
        y = F.relu(y + F.relu(added))
    judged = linear("detector.output", F.relu(linear("detector.hidden", y.transpose(1, 2))))
    exceptions = torch.sigmoid(judged)[..., 0]
    as_f32 = lambda tensor: tensor.detach().numpy().astype("<f4")
    return as_f32(codes), as_f32(torch.stack(predictions)), as_f32(exceptions), as_f32(carried)


def main():
    rng = np.random.default_rng(20260101)
    weights = make_weights(rng)
    metadata = {
        "format": "cortica-networks",
        "version": "1",
        "data": "none: random weights",
    }
    features = rng.standard_normal((12, D)).astype("<f4") * np.logspace(-3, 3, 12)[:, None].astype("<f4")
    windows = rng.standard_normal((12, WINDOW, CODE))
    windows = (windows / np.linalg.norm(windows, axis=2, keepdims=True)).astype("<f4")
    # Some streams that drift, as real ones do.
    windows[6:] = np.cumsum(windows[6:], axis=1)
    windows[6:] /= np.linalg.norm(windows[6:], axis=2, keepdims=True)
    lengths = [8, 8, 8, 5, 3, 1, 8, 8, 7, 6, 4, 2]
    for window, length in zip(windows, lengths):
        window[: WINDOW - length] = 0
    # Drawn after all else, so that everything else stays as it was.
    stream = np.cumsum(rng.standard_normal((STREAM, CODE)), axis=0)
    stream = (stream / np.linalg.norm(stream, axis=1, keepdims=True)).astype("<f4")
    golden = {
        "features": features,
        "windows": windows,
        "lengths": np.array(lengths, dtype="i1"),
        "stream": stream,
    }
    stored, meant = quantise(weights)
    for suffix, meant in [("", weights), ("_i8", meant)]:
        codes, predictions, exceptions, carried = run(meant, features, windows, lengths, stream)
        golden["codes" + suffix] = codes
        golden["predictions" + suffix] = predictions
        golden["exceptions" + suffix] = exceptions
        golden["carried" + suffix] = carried
    write_sealed(HERE / "networks.safetensors", metadata, weights)
    write_sealed(HERE / "networks_i8.safetensors", metadata, stored)
    write_sealed(HERE / "golden.safetensors", {"by": "PyTorch"}, golden)


main()
