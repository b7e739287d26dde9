"""ONNX Runtime and Pillow: a folder of photos to labels.

Usage: onnxruntime_folder.py MODEL FOLDER THREADS READERS

With 0 readers each batch is read and then run; else so many threads read the next batch while one runs.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from preprocess import preprocess

BATCH = 32
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[3])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
(name,) = [value.name for value in session.get_inputs()]
paths = sorted(Path(sys.argv[2]).glob("*.jpg"))
readers = int(sys.argv[4])


def batches():
    """Lists of (1, 3, 224, 224)."""
    chunks = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
    if readers == 0:
        yield from ([preprocess(path) for path in chunk] for chunk in chunks)
        return
    with ThreadPoolExecutor(readers) as pool:
        ahead = []
        for chunk in chunks:
            ahead.append([pool.submit(preprocess, path) for path in chunk])
            if len(ahead) > 1:
                yield [task.result() for task in ahead.pop(0)]
        yield [task.result() for task in ahead.pop()]


logits = np.concatenate([session.run(None, {name: np.concatenate(images)})[0] for images in batches()])
print(json.dumps({path.name: (int(row.argmax()), float(row.max())) for path, row in zip(paths, logits, strict=True)}))
