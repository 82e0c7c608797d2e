"""A weight file of ours with its matrices rounded once more, to see what that costs.

    pip install numpy
    python crates/neural/weights/storage.py 768.safetensors OUT_DIR
    cargo run --release -p cortica-train -- --data DIR --measure OUT_DIR/i4.safetensors --out OUT_DIR/i4

Writes f32.safetensors (the values i8 stands for, run without rounding of inputs), f16.safetensors (those
rounded to f16, stored as f32), and i4.safetensors (whole numbers of -7 to 7 with a scale for each output,
stored as i8), and prints the bytes each would take.
"""

import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np

DTYPES = {"F32": "<f4", "I8": "i1"}


def read(path):
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        start, end = (8 + length + at for at in entry["data_offsets"])
        array = np.frombuffer(whole[start:end], DTYPES[entry["dtype"]])
        tensors[name] = array.reshape(entry["shape"])
    return tensors


def write(path, tensors):
    """Sealed: the metadata begins with the CRC-32 of all other bytes."""
    about = {"checksum": "0" * 8, "format": "cortica-networks", "version": "1"}
    header, data = {"__metadata__": about}, b""
    for name, array in tensors.items():
        array = np.ascontiguousarray(array)
        dtype = "I8" if array.dtype == np.int8 else "F32"
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": offsets}
        data += array.tobytes()
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    whole = struct.pack("<Q", len(text)) + text + data
    at = 8 + len(b'{"__metadata__":{"checksum":"')
    seal = zlib.crc32(whole[:at] + whole[at + 8 :])
    path.write_bytes(whole[:at] + b"%08x" % seal + whole[at + 8 :])


def main():
    path, out = Path(sys.argv[1]), Path(sys.argv[2])
    stored = read(path)
    files = {name: {} for name in ("f32", "f16", "i4")}
    weights = 0
    beside = {"scale": 0, "other": 0}
    for name, array in stored.items():
        if name.endswith(".scale"):
            beside["scale"] += array.nbytes
        elif array.dtype == np.int8:
            weights += array.size
            scale = stored[name.replace(".weight", ".scale")]
            meant = (array.astype("<f4") * scale[:, None]).astype("<f4")
            files["f32"][name] = meant
            files["f16"][name] = meant.astype("<f2").astype("<f4")
            step = np.abs(meant).max(axis=1) / 7
            step[step == 0] = 1
            files["i4"][name] = np.rint(meant / step[:, None]).astype("i1")
            files["i4"][name.replace(".weight", ".scale")] = step.astype("<f4")
        else:
            beside["other"] += array.nbytes
            for file in files.values():
                file[name] = array
    for name, tensors in files.items():
        write(out / f"{name}.safetensors", tensors)
    scaled = beside["scale"] + beside["other"]
    print(f"f32: {4 * weights + beside['other']} bytes")
    print(f"f16: {2 * weights + beside['other']} bytes")
    print(f"i8: {weights + scaled} bytes")
    print(f"i4: {weights // 2 + scaled} bytes")


main()
