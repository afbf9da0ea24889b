"""What the biopsy DAGs share: reading, preparing and scoring; also a small command line for the Bash task."""

import argparse
import hashlib
import json
from pathlib import Path

import fsspec
import joblib
import pandas as pd

LABEL = "malignant"
RATIOS = {
    "compactness_per_area": ("mean compactness", "mean area"),
    "worst_growth": ("worst area", "mean area"),
}


def read_measurements():
    """569 biopsies, 30 measurements each, as scikit-learn ships them."""
    from sklearn.datasets import load_breast_cancer

    table = load_breast_cancer(as_frame=True).frame
    table[LABEL] = 1 - table.pop("target")
    return table


def add_ratios(table):
    table = table.copy()
    for name, (above, below) in RATIOS.items():
        table[name] = table[above] / table[below]
    return table


def split_label(table):
    return table.drop(columns=[LABEL]), table[LABEL]


def in_folder(folder, name):
    """The path of *name* below *folder*, which is made where it is missing."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder) / name


def load_model(where):
    """The model at a local path or at any URI that fsspec opens."""
    with fsspec.open(where, "rb") as file:
        return joblib.load(file)


def score(model, holdout):
    """Probabilities of the holdout rows, rounded so that they compare."""
    measured, _ = split_label(pd.read_parquet(holdout))
    return [round(float(p), 9) for p in load_model(model).predict_proba(measured)[:, 1]]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--holdout", required=True)
    wanted = parser.parse_args()
    scores = score(wanted.model, wanted.holdout)
    digest = hashlib.sha256(json.dumps(scores).encode()).hexdigest()[:16]
    print(json.dumps({"rows": len(scores), "flagged": sum(p >= 0.5 for p in scores), "digest": digest}))
