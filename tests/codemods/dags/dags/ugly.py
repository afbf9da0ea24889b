"""Shapes that broke tools."""
from airflow import DAG
from airflow.operators.python import *
from airflow.operators.python import PythonOperator
from functools import partial
import random, os, uuid
from datetime import datetime
import team.helpers as th

client = __import__("json")
MODULE_DICT = {"rows": 1}
common = dict(depends_on_past=False)
common["retries"] = 1


def score(ds, params, value=0, **kwargs):
    key = kwargs.pop("which")
    return helper(key, **kwargs)


def helper(key, **rest):
    random.seed(1)
    return rest["ti"].xcom_pull(key=key), uuid.uuid4(), os.environ["HOME"], datetime.now()


def whole(**context):
    third_party(context)


def make(n):
    def run(**context):
        for k in ("a", "b"):
            context["ti"].xcom_push(key=k, value=n)

    return run


def third_party(x):
    return client.dumps(x)


class Job:
    def __init__(self, n):
        self.n = n

    def __call__(self):
        return self.n

    def run(self):
        return self.n


def on_failure(context):
    SlackOperator(task_id="alert", message="x").execute(context)
    alert = PythonOperator(task_id="alert_too", python_callable=print)
    return alert.execute(context)


with DAG(
    dag_id=os.path.basename(__file__).replace(".py", ""),
    start_date=datetime(2024, 1, 1),
    default_args={"on_failure_callback": on_failure, "owner": "me"},
    render_template_as_native_obj=True,
) as dag:
    score = PythonOperator(task_id="score", python_callable=score, op_kwargs={**MODULE_DICT, "params": "{{ dag_run.conf }}"})
    w = PythonOperator(task_id="whole", python_callable=whole, **common)
    t1, t2 = PythonOperator(task_id="t1", python_callable=make(1)), PythonOperator(task_id="t2", python_callable=Job(2).run)
    (PythonOperator)(
        # which
        task_id=("t3"),
        python_callable=partial(helper, "key"),
        op_kwargs=MODULE_DICT,
    )
    BranchPythonOperator(task_id="b", python_callable=lambda ok: "t1" if ok else "t2", op_args=["{{ ti.xcom_pull('t1') }}"])
    m = PythonOperator.partial(task_id="mapped", python_callable=th.Tools.clean).expand(op_args=score.output)
    if (n := PythonOperator(task_id="walrus", python_callable=Job(1))):
        pass
    PythonOperator(task_id="reader", python_callable=print, op_args=[score.output["rows"], "{{ ti.xcom_pull(task_ids=['whole', 't1'], key='k') }}"])
    OPS = {"py": PythonOperator}
    OPS["py"](task_id="by_key", python_callable=print)
    for op in (PythonOperator,):
        op(task_id="by_loop", python_callable=print)
    Part = partial(PythonOperator, python_callable=print)
    Part(task_id="by_partial")
    x = [PythonOperator(task_id=f"{a}_{b}", python_callable=globals()[f"{a}"], op_args=[y.output for y in (t1, t2)]) for a in ["make"] for b in range(2)]
    SomeVendorThing(task_id="vendor")
