"""A linear probe with timm and a script: what bench/transfer.py compares with `convscale train --recipe linear-probe`.

    python bench/timm_probe.py WEIGHTS TRAIN.parquet TEST.parquet

WEIGHTS are timm's mobilenetv2_100 with TensorFlow's padding and eps.
"""

import io
import sys

import numpy as np
import pyarrow.parquet
import timm
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

weights, train, test = sys.argv[1:]
model = timm.create_model(
    "mobilenetv2_100", checkpoint_path=weights, pad_type="same", bn_eps=1e-3, num_classes=1000
).eval()
transform = timm.data.create_transform(
    input_size=(3, 224, 224), interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3, crop_pct=0.875
)


class Images(torch.utils.data.Dataset):
    def __init__(self, path):
        self.table = pyarrow.parquet.read_table(path)

    def __len__(self):
        return len(self.table)

    def __getitem__(self, index):
        content = self.table["image"][index]["bytes"].as_py()
        return transform(Image.open(io.BytesIO(content)).convert("RGB")), self.table["label"][index].as_py()


@torch.inference_mode()
def features(path):
    found, labels = [], []
    for pixels, label in torch.utils.data.DataLoader(Images(path), batch_size=64):
        found.append(model.forward_head(model.forward_features(pixels), pre_logits=True))
        labels.append(label)
    return torch.cat(found).numpy(), torch.cat(labels).numpy()


def probe(strength):
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=200))


x, y = features(train)
fit_x, held_x, fit_y, held_y = train_test_split(x, y, test_size=0.2, stratify=y, random_state=0)
strengths = [1 / (decay * len(fit_y)) for decay in (1, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4)]
best = max(strengths, key=lambda strength: probe(strength).fit(fit_x, fit_y).score(held_x, held_y))
test_x, test_y = features(test)
print(np.mean(probe(best).fit(x, y).predict(test_x) == test_y))
