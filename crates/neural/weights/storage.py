"""The weights as they were trained, stored in fewer bits, to see what that costs.

    pip install numpy
    cargo run --release -p cortica-train -- --data DIR --out DIR/768.safetensors --floats f32.safetensors
    python crates/neural/weights/storage.py f32.safetensors OUT_DIR
    cargo run --release -p cortica-train -- --data DIR --measure OUT_DIR/i4.safetensors --out OUT_DIR/i4

Writes f16.safetensors (rounded to f16, stored as f32), i8.safetensors (as the trainer rounds) and
i4.safetensors (whole numbers of -7 to 7 with a scale for each output, stored as i8), and prints the bytes
that each would take. A file that is i8 already, such as the shipped one, is taken too: what f32 and f16 then
say is of weights that were rounded once.
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
    for name in [name for name in tensors if name.endswith(".scale")]:
        weight = name.replace(".scale", ".weight")
        tensors[weight] = tensors[weight].astype("<f4") * tensors.pop(name)[:, None]
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


def rounded(array, largest):
    """Whole numbers up to `largest`, and the scale of each row."""
    scale = (np.abs(array).max(axis=1) / np.float32(largest)).astype("<f4")
    scale[scale == 0] = 1
    return np.rint(array / scale[:, None]).astype("i1"), scale


def main():
    path, out = Path(sys.argv[1]), Path(sys.argv[2])
    trained = read(path)
    files = {name: {} for name in ("f16", "i8", "i4")}
    weights = scales = beside = 0
    for name, array in trained.items():
        if name.endswith(".weight") and len(array) > 1:
            weights += array.size
            scales += 4 * len(array)
            files["f16"][name] = array.astype("<f2").astype("<f4")
            for file, largest in [("i8", 127), ("i4", 7)]:
                values, scale = rounded(array, largest)
                files[file][name] = values
                files[file][name.replace(".weight", ".scale")] = scale
        else:
            beside += array.nbytes
            for file in files.values():
                file[name] = array
    for name, tensors in files.items():
        write(out / f"{name}.safetensors", tensors)
    for name, bits, more in [("f32", 32, 0), ("f16", 16, 0), ("i8", 8, scales), ("i4", 4, scales)]:
        print(f"{name}: {weights * bits // 8 + more + beside} bytes")


main()
