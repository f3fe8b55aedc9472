"""Reads an exported folder where Unrolled cannot be imported and no pickle is read, and prints
the largest difference from the scores that the run's own model gave."""

import json
import pickle
import sys
from pathlib import Path


class Blocked:
    """Refuses to import anything of Unrolled's, or what only it needs."""

    def find_spec(self, name: str, *_: object) -> None:
        if name.split(".")[0] in ("unrolled", "hydra", "omegaconf", "pytorch_lightning"):
            raise ImportError(f"{name} is not installed here")


def refuse(*_: object, **__: object) -> None:
    raise RuntimeError("a pickle was read")


sys.meta_path.insert(0, Blocked())

import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

pickle.load = pickle.loads = torch.load = refuse
folder = Path(sys.argv[1])
config = json.loads((folder / "config.json").read_text())
model = torch.export.load(folder / "model.pt2").module()
weights = load_file(folder / "model.safetensors")
for parameter in model.parameters():
    # The program's own would hide weights that are not loaded.
    parameter.data.zero_()
model.load_state_dict(weights)
check = load_file(folder / "check.safetensors")
largest, call = 0.0, 0
while f"{call}.inputs" in check:
    inputs = check[f"{call}.inputs"]
    with torch.inference_mode():
        if config["states"]:
            states = [check[f"{call}.{name}"] for name in config["states"]]
            scores, states = model(inputs, states)
            pairs = zip(config["states"], states, strict=True)
            found = {"scores": scores, **{f"new_{name}": part for name, part in pairs}}
        else:
            found = {"scores": model(inputs, check[f"{call}.lengths"])}
    for name, tensor in found.items():
        largest = max(largest, float((tensor - check[f"{call}.{name}"]).abs().max()))
    call += 1
ids = []
if (folder / "tokenizer.json").is_file():
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(sys.argv[2]).ids
print(json.dumps({"calls": call, "difference": largest, "ids": ids}))
