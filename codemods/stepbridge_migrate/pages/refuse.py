"""SM2xx: why no edit is made, and what to change first."""

from __future__ import annotations

from stepbridge_migrate.model import Disposition
from stepbridge_migrate.pages.page import Code


def _page(code: str, title: str, why: str, do: str, before: str = "", after: str = "") -> Code:
    return Code(code, title, Disposition.REFUSE, why, do, before, after)


CALLABLES = (
    _page(
        "SM201",
        "the callable is a generator",
        "A step's result is stored, and a generator has none until somebody asks it: the step fails.",
        "Return a list, `return list(rows())`, or write the parts to a file and return that.",
        """def rows():
    yield 1
    yield 2

read = PythonOperator(task_id="read", python_callable=rows)
""",
        """def rows():
    return [1, 2]

read = PythonOperator(task_id="read", python_callable=rows)
""",
    ),
    _page(
        "SM202",
        "the callable is a method of an object",
        "The object was made when the DAG file was parsed. A step's code is shipped as source: the object "
        "and what it holds cannot be.",
        "Write a function that makes the object and calls the method. Static and class methods are fine as "
        "they are.",
        """trainer = Trainer(epochs=3)
train = PythonOperator(task_id="train", python_callable=trainer.run)
""",
        """def run_trainer(epochs):
    return Trainer(epochs=epochs).run()

train = PythonOperator(task_id="train", python_callable=run_trainer, op_kwargs={"epochs": 3})
""",
    ),
    _page(
        "SM203",
        "the callable is given a session of Airflow's database",
        "``provide_session`` changes how the function is called: it gets a live session. A step runs "
        "without the database, and Airflow 3 gives no task one.",
        "Read what is needed in a task before, and pass the values as arguments.",
        """@provide_session
def count(session=None):
    return session.query(DagRun).count()

runs = PythonOperator(task_id="runs", python_callable=count)
""",
    ),
    _page(
        "SM204",
        "the callable is not code of the project",
        "What is shipped is the project's own source. A function of an installed library, or a builtin, has "
        "none there.",
        "Wrap it in a function of the project, or install the code in the image and use "
        "`--set code='\"image\"'` after the move.",
        """show = PythonOperator(task_id="show", python_callable=print, op_args=["done"])
""",
        """def show_text(text):
    print(text)

show = PythonOperator(task_id="show", python_callable=show_text, op_args=["done"])
""",
    ),
    _page(
        "SM205",
        "the callable talks to Airflow's scheduler",
        "``AirflowRescheduleException``, ``TaskDeferred`` and ``self.defer`` ask the scheduler to call the "
        "task again. A step runs in a process of its own and ends with a result.",
        "Let a sensor wait, and put the work behind it.",
        """def wait_for_rows():
    if not rows_there():
        raise AirflowRescheduleException(in_five_minutes())

wait = PythonOperator(task_id="wait", python_callable=wait_for_rows)
""",
    ),
    _page(
        "SM206",
        "the callable uses objects of the DAG",
        "It makes an operator and runs its ``execute``, or reaches a DAG, a task or a task group of the "
        "file. These exist where Airflow parses the file, and are not shipped.",
        "Use the operator's hook in its place, or make it a task of its own. Pass ids and paths as "
        "arguments.",
        """def copy(**context):
    S3ToRedshiftOperator(task_id="inner", **COPY).execute(context)

copy = PythonOperator(task_id="copy", python_callable=copy)
""",
    ),
    _page(
        "SM207",
        "the callable reads something of the context that is no plain data",
        "A step gets the keys of Airflow's context that are plain data: dates, ids, ``params``, "
        "``dag_run.conf`` and so on. ``macros``, ``conf``, ``dag.tasks``, outlet events and the like are "
        "live objects of the worker.",
        "Let Airflow render the value: `op_kwargs={'day': '{{ macros.ds_add(ds, 7) }}'}`.",
        """def load(ds, macros):
    return macros.ds_add(ds, 7)

load = PythonOperator(task_id="load", python_callable=load)
""",
        """def load(day):
    return day

load = PythonOperator(
    task_id="load", python_callable=load, op_kwargs={"day": "{{ macros.ds_add(ds, 7) }}"}
)
""",
    ),
    _page(
        "SM208",
        "an XCom pull cannot be resolved before the step starts",
        "A step's pulls are answered by the worker before it starts. So the task id and the key must be "
        "written out, or come from arguments or plain context; and they must be of the same DAG run.",
        "Bind the value as an argument: `op_kwargs={'rows': from_xcom('extract', key='rows')}`, or by a "
        "template: `op_kwargs={'rows': \"{{ ti.xcom_pull('extract', key='rows') }}\"}`.",
        """def report(ti):
    return ti.xcom_pull(dag_id="other", task_ids="extract")

report = PythonOperator(task_id="report", python_callable=report)
""",
        """def report(rows):
    return rows

report = PythonOperator(
    task_id="report",
    python_callable=report,
    op_kwargs={"rows": "{{ ti.xcom_pull(dag_id='other', task_ids='extract') }}"},
)
""",
    ),
    _page(
        "SM209",
        "a Variable or connection is named only at run time",
        "A step sees the Variables and connections that the worker looked up for it: those that the code or "
        "the task's arguments name. Any other must be declared; an undeclared one fails, even where the code "
        "has a default.",
        "Name them: `--variable NAME`, `--connection NAME`, each as often as needed. Then the edit is made.",
        """def read(settings):
    return Variable.get(settings["limit"])

read = PythonOperator(task_id="read", python_callable=read, op_args=[NAMES])
""",
        """read = StepOperator(task_id="read", python_callable=read, op_args=[NAMES], variables=["threshold"])
""",
    ),
    _page(
        "SM210",
        "an annotation is of a type that cannot be stored",
        "A step checks its annotations when the DAG file is read. One that no codec takes, such as a class "
        "of the project, would make the DAG's import fail.",
        "Correct or remove the annotation; see docs/types.md for the types there are. `Pickle[T]` where "
        "pickle is acceptable.",
        """def fit(rows: list) -> Model:
    return Model(rows)

train = PythonOperator(task_id="train", python_callable=fit)
""",
        """def fit(rows: list) -> Pickle[Model]:
    return Model(rows)

train = PythonOperator(task_id="train", python_callable=fit)
""",
    ),
    _page(
        "SM211",
        "a template gives text where the annotation says otherwise",
        "Airflow renders a template to text unless the DAG says ``render_template_as_native_obj=True``. An "
        "untyped task takes the text; a step refuses it, because the annotation says something else.",
        "Set `render_template_as_native_obj=True` on the DAG, or correct or remove the annotation.",
        """def fit(epochs: int):
    return int(epochs)

train = PythonOperator(task_id="train", python_callable=fit, op_kwargs={"epochs": "{{ params.epochs }}"})
""",
        """def fit(epochs: str):
    return int(epochs)

train = PythonOperator(task_id="train", python_callable=fit, op_kwargs={"epochs": "{{ params.epochs }}"})
""",
    ),
    _page(
        "SM212",
        "the callable returns nothing, and its annotation says otherwise",
        "An untyped task does not look at annotations; a step refuses None where ``-> dict`` stands.",
        "Correct the annotation to `-> None`, or return the value.",
        """def load(rows) -> dict:
    write(rows)

load = PythonOperator(task_id="load", python_callable=load)
""",
        """def load(rows) -> None:
    write(rows)

load = PythonOperator(task_id="load", python_callable=load)
""",
    ),
    _page(
        "SM213",
        "the callable is given a class, a function or another object of the DAG file",
        "A task in the worker's process may get any object. A step's inputs are stored, and no codec takes "
        "classes, functions, modules, operators, DAGs or objects of plain classes.",
        "Give the name or the data that it is made of, and look it up or make it in the callable.",
        """load = PythonOperator(task_id="load", python_callable=run, op_args=[Customers])
""",
        """load = PythonOperator(task_id="load", python_callable=run, op_args=["customers"])
""",
    ),
)

CALLS = (
    _page(
        "SM221",
        "an unpacked mapping is not known",
        "``**common`` may hold anything: arguments that a step does not take, or the task's class itself. "
        "Only one literal dict of the same file can be checked.",
        "Write the arguments out, or make the mapping one literal dict at the top of the file.",
        """train = PythonOperator(task_id="train", python_callable=fit, **settings.task_arguments())
""",
        """COMMON = {"retries": 2, "pool": "gpu"}
train = PythonOperator(task_id="train", python_callable=fit, **COMMON)
""",
    ),
    _page(
        "SM222",
        "a step does not take this argument",
        "Neither Airflow's base operator, nor KubernetesPodOperator, nor a step knows it, so the DAG's "
        "import would fail. Airflow 1 and 2 ignored some such arguments.",
        "Remove it, if it does nothing.",
        """train = PythonOperator(task_id="train", python_callable=fit, pyhton_version="3")
""",
        """train = PythonOperator(task_id="train", python_callable=fit)
""",
    ),
    _page(
        "SM223",
        "the call has positional arguments",
        "A step takes its arguments by name only, and what position means which differs between Airflow's "
        "versions.",
        "Name the arguments.",
        """train = PythonOperator(fit, task_id="train")
""",
        """train = PythonOperator(python_callable=fit, task_id="train")
""",
    ),
    _page(
        "SM224",
        "what makes the task cannot be told",
        "The name in the call may stand for classes of different kinds, comes from a star import of unknown "
        "code, or is computed.",
        "Import the class by its name.",
        """Operator = globals()[settings.OPERATOR]
train = Operator(task_id="train", python_callable=fit)
""",
        """from airflow.operators.python import PythonOperator

train = PythonOperator(task_id="train", python_callable=fit)
""",
    ),
    _page(
        "SM225",
        "string_args reach the function by a global name",
        "PythonVirtualenvOperator and its relatives put them into the script as ``virtualenv_string_args``. "
        "A step runs the function itself; there is no such script.",
        "Pass them as `op_args` or `op_kwargs`.",
        """read = PythonVirtualenvOperator(task_id="read", python_callable=read, string_args=["a"])
""",
        """read = PythonVirtualenvOperator(task_id="read", python_callable=read, op_args=["a"])
""",
    ),
    _page(
        "SM227",
        "an argument is a template, and a step does not render it",
        "The old class rendered this argument; a step takes it as it stands.",
        "Write the value out, or pass it to the function as an argument.",
        """read = ExternalPythonOperator(task_id="read", python="{{ var.value.py }}", python_callable=read)
""",
        """read = ExternalPythonOperator(task_id="read", python="/opt/venv/bin/python", python_callable=read)
""",
    ),
    _page(
        "SM228",
        "the argument says what the container runs",
        "A step's container runs the step, so it takes no command, and some arguments of "
        "KubernetesPodOperator have no effect on it.",
        "Remove the argument; the message says what to use in its place.",
        """@task.kubernetes(image="registry/train:3", cmds=["python"])
def train(): ...
""",
        """@task.kubernetes(image="registry/train:3")
def train(): ...
""",
    ),
    _page(
        "SM229",
        "an argument of Docker has no equal in a pod",
        "What it gives the container (a folder of the worker, a device, a user, a network) a step's pod "
        "would not have, and the function could not do its work.",
        "Give the function its files as arguments or in the image; for volumes of the cluster see "
        "docs/pods.md. Then remove the argument.",
        """@task.docker(image="registry/train:3", mounts=[Mount("/data", "/srv/data", type="bind")])
def train(): ...
""",
        """@task.docker(image="registry/train:3")
def train(rows): ...
""",
    ),
    _page(
        "SM230",
        "resources= means something else to a step",
        "Airflow's own ``resources`` is a dict that only some executors read; a step's are what its pod asks "
        "for. Two meanings of one name are not joined.",
        "Remove it, and give the step's with `--gpu`, `--cpu`, `--memory`.",
        """train = PythonOperator(task_id="train", python_callable=fit, resources={"cpus": 4})
""",
        """train = PythonOperator(task_id="train", python_callable=fit)
""",
    ),
    _page(
        "SM231",
        "the call does not say its callable",
        "There is no ``python_callable`` in the call, nor in a literal dict that it unpacks.",
        "Write `python_callable=` in the call.",
        """train = PythonOperator(task_id="train", **settings)
""",
    ),
    _page(
        "SM232",
        "the decorator is written in a form that has no edit",
        "``@task`` is put on by a call, comes from a variable, or stands with other decorators that take its "
        "result: the edit would not be a change of the decorator alone.",
        "Write it as a decorator of its own, `@task`.",
        """train = make_decorator("task")(fit)
""",
        """@task
def train(): ...
""",
    ),
    _page(
        "SM233",
        "the file is generated",
        "It says so in its head. The next run of its generator would undo the edit.",
        "Edit the generator or its template.",
        """# @generated by dagmaker
""",
    ),
    _page(
        "SM234",
        "there is no place for the shadow statement",
        "The source does not show where the DAG ends: another file makes it and calls what stands here, the "
        "task is made by a `return`, in a lambda or a comprehension, or the file gives its DAG no name.",
        'Write `shadow("TASK")` by hand, last in the DAG, in the file that makes it, and take it out before '
        'the cutover. Else give the DAG a name and write `shadow("TASK", dag=NAME)` after its last task; or '
        "go to the cutover at once.",
        """make_dag("train", tasks=[PythonOperator(task_id="train", python_callable=fit)])
""",
    ),
    _page(
        "SM235",
        "two values for one argument",
        "The old call has the argument already, and the options or settings say something else.",
        "Leave one out: change the call first, or drop the option.",
        """# migrate cutover d.train --image registry/train:4
@task.kubernetes(image="registry/train:3")
def train(): ...
""",
    ),
    _page(
        "SM236",
        "the state does not allow it",
        "A step that has taken the task's place has nothing to stand beside, and only what migrate has "
        "moved can be rolled back.",
        "`migrate status` shows where each task is.",
        """# migrate shadow d.train, after migrate cutover d.train
""",
    ),
    _page(
        "SM238",
        "a shadow cannot be derived from this task",
        "`shadow()` makes its step from the old task's callable and arguments. It can for PythonOperator and "
        "``@task``; for a virtual environment only where an image or interpreter with the packages is "
        "given; for containers not at all. Nor for a task with ``wait_for_downstream``, whose next run "
        "would wait for the comparison.",
        "Give `--image` or `--set python=...`; or go to the cutover at once.",
        """@task.docker(image="registry/train:3")
def train(): ...
""",
    ),
    _page(
        "SM237",
        "the edit cannot be placed",
        "The text at the site is not what the scan saw, or a name that the edit needs is taken by something "
        "else in every form.",
        "Run the command again; if it stays, report it with the call.",
    ),
)

PAGES = (*CALLABLES, *CALLS)
