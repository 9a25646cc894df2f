#!/usr/bin/env python3
"""Write config.json and model.safetensors (f16) from a checkpoint: python export.py CHECKPOINT OUT_DIR"""
import sys

import torch

from model import Llama, export

c = torch.load(sys.argv[1], weights_only=True)
m = Llama()
m.load_state_dict(c["model"])
export(m, sys.argv[2])
print("exported", c["state"])
