"""Train a biopsy classifier every day: the pipeline as it is."""

import os
from datetime import datetime, timedelta
from pathlib import Path

import joblib
import pandas as pd
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, TaskGroup, task
from biopsy import add_ratios, in_folder, load_model, read_measurements, split_label
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import recall_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split

from stepbridge import File
from stepbridge_airflow import StepOperator

HERE = Path(__file__).resolve().parent
FOLDER = os.environ.get("BIOPSY_DATA", "/tmp/biopsy") + "/{{ dag.dag_id }}/{{ ds }}"
SEED = 7
GRID = {"max_depth": [4, None], "min_samples_leaf": [1, 3]}
MIN_AUC = 0.97

default_args = {"owner": "screening", "retries": 1, "retry_delay": timedelta(seconds=5)}


def extract(folder, **context):
    table = read_measurements()
    context["ti"].xcom_push(key="rows", value=len(table))
    path = in_folder(folder, "raw.parquet")
    table.to_parquet(path)
    return str(path)


def build_features(raw, folder, share, **context):
    table = add_ratios(pd.read_parquet(raw))
    train_rows, holdout_rows = train_test_split(
        table, test_size=share, random_state=SEED, stratify=table["malignant"]
    )
    holdout = in_folder(folder, "holdout.parquet")
    holdout_rows.to_parquet(holdout)
    context["ti"].xcom_push(key="holdout", value=str(holdout))
    features = in_folder(folder, "features.parquet")
    train_rows.to_parquet(features)
    return str(features)


def train_model(features: File, folder, **context) -> File:
    measured, label = split_label(pd.read_parquet(features))
    forest = RandomForestClassifier(n_estimators=context["params"]["trees"], random_state=SEED)
    folds = StratifiedKFold(n_splits=5, shuffle=True, random_state=SEED)
    search = GridSearchCV(forest, GRID, scoring="roc_auc", cv=folds).fit(measured, label)
    best = {**search.best_params_, "auc": round(float(search.best_score_), 9)}
    context["ti"].xcom_push(key="best", value=best)
    model_path = in_folder(folder, "model.joblib")
    joblib.dump(search.best_estimator_, model_path)
    return str(model_path)


def evaluate(**context):
    ti = context["ti"]
    model = load_model(ti.xcom_pull(task_ids="train"))
    holdout = pd.read_parquet(ti.xcom_pull(task_ids="build_features", key="holdout"))
    measured, label = split_label(holdout)
    probability = model.predict_proba(measured)[:, 1]
    recall = recall_score(label, probability >= 0.5)
    ti.xcom_push(key="recall", value=round(float(recall), 9))
    return {"auc": round(float(roc_auc_score(label, probability)), 9), "rows": len(holdout)}


def report(rows, best, **context):
    ti = context["ti"]
    quality, decision = ti.xcom_pull(task_ids=["quality.evaluate", "decide"])
    recall = ti.xcom_pull(task_ids="quality.evaluate", key="recall")
    return f"{context['ds']}: {rows} rows, {best}, auc {quality['auc']:.4f}, recall {recall:.4f}: {decision}"


with DAG(
    dag_id=Path(__file__).stem,
    start_date=datetime(2024, 1, 1),
    schedule=None,
    catchup=False,
    default_args=default_args,
    params={"trees": 100},
    tags=["biopsy"],
):

    @task
    def check(path):
        table = pd.read_parquet(path)
        if table.isna().any().any():
            raise ValueError(f"{path} has missing measurements")
        return {"columns": len(table.columns), "malignant": int(table["malignant"].sum())}

    @task
    def decide(quality, checked):
        return "promote" if quality["auc"] >= MIN_AUC and checked["malignant"] > 0 else "keep"

    extracted = PythonOperator(
        task_id="extract",
        python_callable=extract,
        op_kwargs={"folder": FOLDER},
    )
    checked = check(extracted.output)
    features = PythonOperator(
        task_id="build_features",
        python_callable=build_features,
        op_kwargs={"raw": "{{ ti.xcom_pull(task_ids='extract') }}", "folder": FOLDER, "share": 0.25},
    )
    train = StepOperator(
        task_id="train",
        python_callable=train_model,
        op_kwargs={"features": "{{ ti.xcom_pull(task_ids='build_features') }}", "folder": FOLDER},
        cache="auto",
        ignore=("folder",),
    )
    with TaskGroup("quality") as quality:
        evaluated = PythonOperator(task_id="evaluate", python_callable=evaluate)
        BashOperator(
            task_id="score_holdout",
            bash_command=(
                f"python {HERE}/biopsy.py --model '{{{{ ti.xcom_pull(task_ids='train') }}}}'"
                " --holdout '{{ ti.xcom_pull(task_ids='build_features', key='holdout') }}'"
            ),
        )
    summary = PythonOperator(
        task_id="report",
        python_callable=report,
        op_kwargs={
            "rows": "{{ ti.xcom_pull(task_ids='extract', key='rows') }}",
            "best": "{{ ti.xcom_pull(task_ids='train', key='best') }}",
        },
    )

    extracted >> features >> train >> quality
    decide(evaluated.output, checked) >> summary
    quality >> summary
