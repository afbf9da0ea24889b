"""SM1xx: tasks that stay in Airflow, and tasks that have moved already."""

from __future__ import annotations

from stepbridge_migrate.model import Disposition
from stepbridge_migrate.pages.page import Code

PAGES = (
    Code(
        "SM101",
        "a branch stays in Airflow",
        Disposition.KEEP,
        "A branch decides which tasks are skipped, and its operator does the skipping itself. A step only "
        "gives a value: moved, it would skip nothing and every branch would run.",
        "Leave it. Where it computes much before it decides, split it: a step that computes and returns the "
        "answer, and a thin branch that reads the answer and names the next task.",
        before="""def choose():
    score = evaluate_model()
    return "deploy" if score > 0.9 else "report"

choose = BranchPythonOperator(task_id="choose", python_callable=choose)
""",
        after="""score = PythonOperator(task_id="score", python_callable=evaluate_model)

def choose(ti):
    return "deploy" if ti.xcom_pull(task_ids="score") > 0.9 else "report"

choose = BranchPythonOperator(task_id="choose", python_callable=choose)
score >> choose
""",
    ),
    Code(
        "SM102",
        "a short circuit stays in Airflow",
        Disposition.KEEP,
        "A short circuit skips what comes after it, and its operator does the skipping itself. A step only "
        "gives a value: moved, it would skip nothing.",
        "Leave it. Where it computes much, put that into a task before it and let the short circuit read the "
        "answer.",
        before="""check = ShortCircuitOperator(task_id="check", python_callable=has_new_rows)
""",
    ),
    Code(
        "SM103",
        "a sensor stays in Airflow",
        Disposition.KEEP,
        "A sensor waits and is asked again and again by Airflow: in poke or reschedule mode, with its own "
        "timeout. A step runs once and ends.",
        "Leave it.",
        before="""wait = FileSensor(task_id="wait", filepath="/data/rows.csv")
""",
    ),
    Code(
        "SM104",
        "an operator of another service stays in Airflow",
        Disposition.KEEP,
        "The work is done by another service or another program; there is no Python function that could "
        "become a step.",
        "Leave it. A moved neighbour reads its XComs as before.",
        before="""load = BigQueryInsertJobOperator(task_id="load", configuration=CONFIGURATION)
""",
    ),
    Code(
        "SM105",
        "an empty task stays in Airflow",
        Disposition.KEEP,
        "It does no work; it only joins edges.",
        "Leave it.",
        before="""start = EmptyOperator(task_id="start")
""",
    ),
    Code(
        "SM106",
        "setup and teardown stay in Airflow",
        Disposition.KEEP,
        "Setup and teardown tasks change how the state of the DAG run is found and which tasks are cleared "
        "together. What they make and remove usually lives where the worker is.",
        "Leave it. Its neighbours can move.",
        before="""create = PythonOperator(task_id="create", python_callable=create_cluster).as_setup()
""",
    ),
    Code(
        "SM107",
        "an operator of the project stays in Airflow",
        Disposition.KEEP,
        "It is a class of the project's own. What it does in ``execute`` is its own affair, and no rule "
        "knows it.",
        "Leave it. To move its work, write that as a function, call the function from the operator's "
        "``execute`` today, and move the task once it is a PythonOperator that calls the function.",
        before="""class TrainOperator(BaseOperator):
    def execute(self, context):
        return fit(self.rows)

train = TrainOperator(task_id="train", rows=10)
""",
        after="""train = PythonOperator(task_id="train", python_callable=fit, op_kwargs={"rows": 10})
""",
    ),
    Code(
        "SM108",
        "the task is a step already",
        Disposition.KEEP,
        "The source says StepOperator or ``@task.step``. There is nothing to move.",
        "Nothing. `migrate rollback DAG.TASK` takes it back where the ledger has the move.",
        before="""train = StepOperator(task_id="train", python_callable=fit)
""",
    ),
    Code(
        "SM109",
        "another kind of Python task stays in Airflow",
        Disposition.KEEP,
        "Tasks such as ``@task.bash``, ``@task.pyspark`` or ``@task.stub`` give their function's result to "
        "another program, or get a session of it. As a step the result would be an XCom and nothing more.",
        "Leave it.",
        before="""@task.bash
def archive():
    return "tar czf /data/out.tgz /data/out"
""",
    ),
)
