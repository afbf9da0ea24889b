"""SM3xx: the edit is made, and a person should know or add something."""

from __future__ import annotations

from stepbridge_migrate.model import Disposition
from stepbridge_migrate.pages.page import Code


def _page(code: str, title: str, why: str, do: str, before: str = "", after: str = "") -> Code:
    return Code(code, title, Disposition.WARN, why, do, before, after)


PAGES = (
    _page(
        "SM301",
        "the step's image must have the requirements",
        "The old task made a virtual environment for itself. A step takes its libraries from where it runs: "
        "its image, or the interpreter of the local backend. The step lacks them until that has them.",
        "Build an image with these requirements and stepbridge, and name it: `--image registry/train:3`.",
        """read = PythonVirtualenvOperator(
    task_id="read", python_callable=read, requirements=["pandas==2.2.3"]
)
""",
        """read = StepOperator(task_id="read", python_callable=read, image="registry/read:1")
""",
    ),
    _page(
        "SM302",
        "the step's Python is that of its image",
        "``python_version`` chose the interpreter of the virtual environment. A step runs with the one of "
        "its image, which must be 3.11 or newer.",
        "Take an image with that Python.",
        """read = PythonVirtualenvOperator(task_id="read", python_callable=read, python_version="3.12")
""",
    ),
    _page(
        "SM303",
        "the callable writes to the outside",
        "It changes something that is neither its result nor an XCom: a table, a bucket, a service. A "
        "cutover changes nothing about that. A shadow runs the callable a second time in each run, so it "
        "writes twice; a cache hit would not write at all.",
        "Before a shadow, make sure that writing twice does no harm, or let an argument say where to write "
        "and give the shadow another. Leave `cache` off.",
        """def report(rows):
    requests.post(URL, json=rows)
""",
    ),
    _page(
        "SM304",
        "the callable uses local files",
        "A step has an empty working directory that goes away, and in a pod none of the worker's disk. A "
        "path that another task reads is no longer the same file.",
        "Return a `File`, or write to shared storage by absolute path. Files beside the DAG file: "
        "`--set files='[\"settings.json\"]'`.",
        """def extract():
    frame.to_csv("/tmp/rows.csv")
    return "/tmp/rows.csv"
""",
        """def extract() -> File:
    frame.to_csv("rows.csv")
    return File("rows.csv")
""",
    ),
    _page(
        "SM305",
        "the callable reads environment variables",
        "A step in a pod has the environment of its image and what it is given, and not the worker's.",
        'Give what is needed: `--set environment=\'{"REGION": "eu"}\'`; for secrets `secrets=[Secret(...)]`, '
        "see docs/pods.md.",
        """def region():
    return os.environ["REGION"]
""",
    ),
    _page(
        "SM306",
        "the step's image must have Airflow and the provider",
        "Hooks, and whatever else the callable imports of Airflow, are shipped by nobody: they must be "
        "installed where the step runs. The connections that are named in the code reach the step.",
        "Install the provider in the image, or let a task before the step fetch the data.",
        """def load():
    return PostgresHook("warehouse").get_records(SQL)
""",
    ),
    _page(
        "SM307",
        "the callable's source was not found",
        "What it reads, and whether it can be shipped, is known only when the step runs. Most such "
        "functions are the project's own, from a folder that is on Airflow's path and not below the root.",
        "Name the folder with `--root`, and add it to the setting `roots` if it is not among Airflow's "
        "folders.",
        """from company_lib.training import fit

train = PythonOperator(task_id="train", python_callable=fit)
""",
    ),
    _page(
        "SM308",
        "the whole context goes to code that is not followed",
        "Which keys count is not known. The step runs; only the cache is refused.",
        "For a cache say what counts: `--context-keys ds,params`.",
        """def train(**context):
    return fit(context)
""",
    ),
    _page(
        "SM309",
        "two runs of the callable may differ",
        "It asks the clock, or draws random numbers or ids. The comparison of a shadow sees differences "
        "that are none, and a cached result is one of many.",
        "Take the time from the context (`ts`, `data_interval_start`), pass a seed.",
        """def sample(rows):
    return random.sample(rows, 10)
""",
    ),
    _page(
        "SM310",
        "executor_config is for the worker",
        "It still shapes the worker on which the operator runs, as before. It does not shape the step's own "
        "pod: memory or GPUs asked for there are the worker's, and the step does not get them.",
        "Give what the work needs to the step: `--gpu`, `--memory`; then take it out of executor_config.",
        """train = PythonOperator(
    task_id="train", python_callable=fit, executor_config={"pod_override": GPU_POD}
)
""",
    ),
    _page(
        "SM311",
        "run_as_user is for the worker",
        "It still says as whom the worker's task process runs, and a step of the local backend inherits it. "
        "In a pod the image or `security_context` says it.",
        "For a pod: `--set security_context='{\"runAsUser\": 1000}'`.",
        """train = PythonOperator(task_id="train", python_callable=fit, run_as_user="ml")
""",
    ),
    _page(
        "SM312",
        "an argument that newer Airflow does not know",
        "The argument is kept as it is: this Airflow version decides, for the old task and for the step "
        "alike. ``sla`` does nothing in Airflow 3, ``task_concurrency`` is refused there.",
        "Nothing for the move; replace it before Airflow 3.",
        """train = PythonOperator(task_id="train", python_callable=fit, sla=timedelta(hours=1))
""",
    ),
    _page(
        "SM313",
        "an argument of the old environment is left out",
        "It told the old class how to make its virtual environment, or how to carry values into it and "
        "back. A step does neither: values are stored by type, and the environment is the image's.",
        "Nothing, where the values are plain data, tables, arrays or files. For others annotate `Pickle[T]`.",
        """read = PythonVirtualenvOperator(
    task_id="read", python_callable=read, serializer="dill", system_site_packages=False
)
""",
        """read = StepOperator(task_id="read", python_callable=read)
""",
    ),
    _page(
        "SM314",
        "the call stands under a condition",
        "The task is made in some parses only, so what was verified is the case of this machine.",
        "Verify where the condition is the other way, too.",
        """if os.environ.get("STAGE") == "prod":
    train = PythonOperator(task_id="train", python_callable=fit)
""",
    ),
    _page(
        "SM315",
        "the step does not inherit the environment alike",
        "``inherit_env=False`` gave the function a bare environment. A step of the local backend has the "
        "worker's, a pod its image's.",
        "Nothing, unless the function minds variables that it did not see before.",
        """read = ExternalPythonOperator(
    task_id="read", python=PYTHON, python_callable=read, inherit_env=False
)
""",
        """read = StepOperator(task_id="read", python=PYTHON, python_callable=read)
""",
    ),
    _page(
        "SM316",
        "the interpreter must have stepbridge",
        "The step runs in the interpreter or image that the call names. What runs a step there is "
        "`python -m stepbridge.runner`: it needs Python 3.11 or newer and `pip install stepbridge`.",
        "Install it there.",
        """read = ExternalPythonOperator(task_id="read", python="/opt/venv/bin/python", python_callable=read)
""",
        """read = StepOperator(task_id="read", python="/opt/venv/bin/python", python_callable=read)
""",
    ),
    _page(
        "SM317",
        "the callable captures values of the function around it",
        "Captured numbers, texts, lists and dicts of them are shipped with the step. Others, such as "
        "clients, connections and objects of the project, make it fail.",
        "Pass what is needed as `op_kwargs`.",
        """def make(name, client):
    def load():
        return client.read(name)
    return PythonOperator(task_id=f"load_{name}", python_callable=load)
""",
    ),
    _page(
        "SM318",
        "an argument of Docker is left out",
        "It said how the worker's Docker daemon runs the container: its address, its network, what becomes "
        "of the container. A step's pod is the cluster's.",
        "Look whether the cluster gives the same: the network that the function reaches above all.",
        """@task.docker(image="registry/train:3", docker_url="tcp://docker:2375", auto_remove="force")
def train(): ...
""",
        """@task.step(image="registry/train:3", backend="pod")
def train(): ...
""",
    ),
    _page(
        "SM319",
        "the callable asks Airflow's database",
        "It imports Airflow's models or settings. That works where the step has Airflow and its database: "
        "with the local backend on Airflow 2. Not in a pod, and on Airflow 3 not in the old task either.",
        "Read what is needed in a task before, and pass it as an argument.",
        """def runs():
    return len(DagRun.find(dag_id="train"))
""",
    ),
    _page(
        "SM320",
        "not every class in the import is the same",
        "The name is imported in several ways, under `try` or `if`. All of them are the same kind of "
        "operator, so the edit holds for each. The imports stay.",
        "Nothing.",
        """try:
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.python import PythonOperator
""",
    ),
    _page(
        "SM321",
        "the callable uses a live object of the file",
        "A name of the module's level that the callable uses is made by a call when the file is parsed: a "
        "client, a connection. It is made again in each step; one that Airflow makes, or that talks to a "
        "service, fails there.",
        "Make it inside the function.",
        """CLIENT = boto3.client("s3")

def load():
    return CLIENT.list_buckets()
""",
        """def load():
    return boto3.client("s3").list_buckets()
""",
    ),
    _page(
        "SM322",
        "a key of default_args means something to a step",
        "``default_args`` reach every argument that an operator's class names. PythonOperator does not name "
        "this one, a step does, so the step takes it.",
        "Look whether it is meant for the step, too. Else give the step its own value: `--set "
        "NAME=EXPRESSION`.",
        """with DAG("train", default_args={"image": "registry/dbt:1"}):
    train = PythonOperator(task_id="train", python_callable=fit)
""",
    ),
    _page(
        "SM323",
        "an annotation could not be read",
        "A step checks its annotations when the DAG file is read. This one names a class that is not known "
        "here: dataclasses, pydantic models, typed dicts, named tuples and enums are taken, other classes "
        "are not, and make the DAG's import fail.",
        "Let the project's Airflow verify it (--airflow-python). Where it fails, remove the annotation, or "
        "write `Pickle[T]`.",
        """def fit(settings: Settings):
    return settings.epochs
""",
    ),
    _page(
        "SM324",
        "the callable may raise after it pushed an XCom",
        "A task pushes at once. What a step pushes is kept until it succeeds: a task that runs after its "
        "failure, or a failure callback, does not find it.",
        "If one reads the key after a failure, return the value in a task of its own, or put it in the "
        "exception's text.",
        """def check(ti):
    ti.xcom_push(key="missing", value=["eu"])
    raise AirflowFailException("rows are missing")
""",
    ),
    _page(
        "SM325",
        "the callable is given an object of a library's class",
        "A step's inputs are stored. Dataclasses, pydantic models and tables are taken; a client or a "
        "session is not, and the step fails before it starts.",
        "Where it is no plain data: give what it is made of, and make it in the callable.",
        """client = FolioClient(url)
load = PythonOperator(task_id="load", python_callable=run, op_kwargs={"client": client})
""",
        """load = PythonOperator(task_id="load", python_callable=run, op_kwargs={"url": url})
""",
    ),
    _page(
        "SM326",
        "readers get a table's URI",
        "A step stores tables and arrays, and its XCom is their URI: `pd.read_parquet(uri)` reads one. A "
        "task that has not moved and takes the object itself would get a text.",
        "`--xcom value` pushes the object itself, as the old task did; or let the readers read the URI.",
        """@task
def collect():
    return pd.DataFrame({"store": ["a"]})
""",
        """@task.step(xcom="value")
def collect():
    return pd.DataFrame({"store": ["a"]})
""",
    ),
)
