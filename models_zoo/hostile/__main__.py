"""Train what is missing of the trained models. `python -m models_zoo.hostile`; ten minutes on one thread."""

import torch
from rich.progress import track

from models_zoo.hostile.trained import keep, missing

if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in track(missing(), "training"):
        print(name, keep(name), flush=True)
