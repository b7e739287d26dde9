"""npresnet: a folder of photos to labels.  Usage: npresnet_folder.py WEIGHTS FOLDER THREADS [draft]"""

import json
import sys

import npresnet

preprocess = {"draft": True} if "draft" in sys.argv[4:] else None
model = npresnet.load(sys.argv[1], threads=int(sys.argv[3]), preprocess=preprocess)
found = {path[-8:]: (result.index, float(result.logits.max())) for path, result in model.stream(sys.argv[2])}
print(json.dumps(found))
