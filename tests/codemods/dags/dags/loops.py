"""Loops, comprehensions, factories, computed ids; several DAGs in a file."""
import datetime as dt

from airflow import DAG
from airflow.operators.python import PythonOperator

TABLES = ["users", "orders"]
SOURCES = {"eu": {"id": 1, "names": ["a", "b"]}, "us": {"id": 2, "names": ["c"]}}
common = {"retries": 2, "pool": "db", "execution_timeout": dt.timedelta(hours=1)}
more = dict(common, queue="q")


def load(table, **context):
    before = context["ti"].xcom_pull(task_ids=f"extract_{table}")
    return before


def extract(table):
    return table


def closure(name):
    def inner():
        return name

    return inner


with DAG("loops", start_date=dt.datetime(2024, 1, 1)) as dag:
    for table in TABLES:
        first = PythonOperator(task_id=f"extract_{table}", python_callable=extract, op_args=[table], **common)
        second = PythonOperator(
            task_id="load_" + table,
            python_callable=load,
            op_kwargs={"table": table},  # by name
            **more,
        )
        first >> second
    for index in range(3):
        PythonOperator(task_id="n_%02d" % index, python_callable=extract, op_args=[index])
    for name, (key, conf) in zip(["x", "y"], SOURCES.items()):
        for part in conf["names"]:
            PythonOperator(task_id="{}_{}_{}".format(name, key, part), python_callable=closure(part))
    made = [PythonOperator(task_id=f"list_{t}", python_callable=extract, op_args=[t]) for t in TABLES]
    some = {t: PythonOperator(task_id=f"some_{t}", python_callable=extract) for t in TABLES if t != "users"}
    for row in open(__file__).readlines()[:1]:
        PythonOperator(task_id=f"row_{len(row)}", python_callable=extract)
    functions = {"f": extract}
    for label, function in functions.items():
        PythonOperator(task_id=label, python_callable=function)
    if len(TABLES) > 1:
        PythonOperator(task_id="maybe", python_callable=extract)


def build(region, schedule=None):
    with DAG(f"region_{region}", schedule=schedule, start_date=dt.datetime(2024, 1, 1)) as built:
        start = PythonOperator(task_id="start", python_callable=lambda: region)
        for item in SOURCES[region]["names"]:
            start >> PythonOperator(task_id=f"part_{item}", python_callable=globals()["extract"])
    return built


for region in SOURCES:
    globals()[f"region_{region}"] = build(region)

other = DAG("other", start_date=dt.datetime(2024, 1, 1))
kwargs = {"python_callable": extract, "dag": other}
PythonOperator(task_id="in_common", **kwargs)
last = PythonOperator(task_id="last", python_callable=extract, dag=other)
