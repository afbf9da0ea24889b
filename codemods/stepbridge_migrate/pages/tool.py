"""SM4xx and SM5xx: files that could not be read, remarks, and what stopped the tool itself."""

from __future__ import annotations

from stepbridge_migrate.model import Disposition
from stepbridge_migrate.pages.page import Code

_NO = Disposition.REFUSE

PAGES = (
    Code(
        "SM401",
        "the file cannot be read",
        _NO,
        "The file cannot be opened, or its bytes are not text in the encoding that it declares. An edit must "
        "give back every byte that it does not change, so nothing is guessed.",
        "Correct the encoding cookie or the bytes, or exclude the file.",
        before="""# -*- coding: utf-9 -*-
""",
    ),
    Code(
        "SM402",
        "the file does not parse",
        _NO,
        "This Python cannot parse it: a syntax error, Python 2, a template, or syntax of a newer Python. "
        "Airflow would not import it under this Python either.",
        "Correct it, run migrate with the Python that the project uses, or exclude the file.",
        before="""print "rows"
""",
    ),
    Code(
        "SM403",
        "the file is too large or too deeply nested",
        _NO,
        "Reading it would take more memory or stack than there is. Such files are generated.",
        "Edit what generates it, or exclude the file.",
    ),
    Code(
        "SM411",
        "there is nothing to do",
        Disposition.AUTO,
        "The site has the wanted state already.",
        "Nothing.",
    ),
    Code(
        "SM412",
        "the old import stays",
        Disposition.AUTO,
        "The old class is used elsewhere in the file, or the import may have another purpose: it is marked "
        "``noqa``, stands in ``try`` or under ``if``, or is exported by ``__all__``.",
        "Nothing. Remove it by hand if nothing needs it.",
    ),
    Code(
        "SM413",
        "an argument was left out that says what is so anyway",
        Disposition.AUTO,
        "The argument has no meaning any more, or asks for what a step always does: ``provide_context`` has "
        "been a no-op since Airflow 2.0, and a step always runs in a process of its own.",
        "Nothing.",
        before="""train = PythonOperator(task_id="train", python_callable=fit, provide_context=True)
""",
        after="""train = StepOperator(task_id="train", python_callable=fit)
""",
    ),
    Code(
        "SM414",
        "the callable serves several tasks",
        Disposition.AUTO,
        "The edit is made at the call: only this task moves. The function stays as it is for the others.",
        "Nothing. Changing the function later changes all of them.",
    ),
    Code(
        "SM416",
        "one edit moves several tasks",
        Disposition.AUTO,
        "The call stands in a loop, a comprehension or a function that is called several times, or the "
        "function is called in several DAGs. It is one text, so all the tasks that it makes move together.",
        "Nothing. To move one of them alone, take it out of the loop first.",
        before="""for name in ["a", "b"]:
    PythonOperator(task_id=f"load_{name}", python_callable=load, op_args=[name])
""",
        after="""for name in ["a", "b"]:
    StepOperator(task_id=f"load_{name}", python_callable=load, op_args=[name])
""",
    ),
    Code(
        "SM415",
        "the project is checked with another Python",
        Disposition.AUTO,
        "The text parses with the Python that runs migrate; whether it does with the project's is known only "
        "with --airflow-python.",
        "Give --airflow-python.",
    ),
    Code(
        "SM417",
        "each mapped run is a step of its own",
        Disposition.AUTO,
        "The task is mapped: each of its runs gets a process or a pod of its own. Many short runs cost more "
        "to start than to do.",
        "Nothing; or move a function that takes the whole list.",
        before="""PythonOperator.partial(task_id="load", python_callable=load).expand(op_args=[[1], [2]])
""",
        after="""StepOperator.partial(task_id="load", python_callable=load).expand(op_args=[[1], [2]])
""",
    ),
    Code(
        "SM501",
        "the edited text does not parse",
        _NO,
        "This is a mistake of stepbridge. Nothing was written.",
        "Report it with the call that was to be edited.",
    ),
    Code(
        "SM502",
        "text outside the edit changed",
        _NO,
        "This is a mistake of stepbridge. Nothing was written.",
        "Report it with the call that was to be edited.",
    ),
    Code(
        "SM503",
        "a second run would change more",
        _NO,
        "This is a mistake of stepbridge: an edit must leave nothing to do. Nothing was written.",
        "Report it with the call that was to be edited.",
    ),
    Code(
        "SM504",
        "the rollback does not give the old text",
        _NO,
        "This is a mistake of stepbridge. Nothing was written.",
        "Report it with the call that was to be edited.",
    ),
    Code(
        "SM505",
        "the edited file does not import",
        _NO,
        "The project's Airflow imports the file as it is, and does not import it with the edit. The message "
        "holds Airflow's error. Nothing was written.",
        "Where stepbridge is missing there, install it: `pip install 'stepbridge[airflow]'`. Else follow the "
        "error: it names the argument or the annotation.",
    ),
    Code(
        "SM506",
        "the edit would change more of the DAG than the task",
        _NO,
        "The DAG was serialized by the project's Airflow before and after. Besides the task's own class and "
        "arguments something else differs: an edge, a pool, a retry, another task. Nothing was written.",
        "Look at the differences shown. Often a key of ``default_args`` means something else to a step.",
    ),
    Code(
        "SM507",
        "the file has changes that are not committed",
        _NO,
        "An edit on top of uncommitted work cannot be reviewed, or reverted, on its own.",
        "Commit or stash the file, or pass --allow-dirty.",
    ),
    Code(
        "SM508",
        "another run of migrate is writing",
        _NO,
        "Two runs that write to one project at the same time could lose an edit.",
        "Wait for it. Where none runs, remove the lock file that the message names.",
    ),
    Code(
        "SM509",
        "the ledger cannot be read",
        _NO,
        "`migration/ledger.json` is no JSON of a schema that this version knows, or was changed by hand so "
        "that its digests are wrong. Without it a rollback would be a guess.",
        "Restore it from version control: `git checkout migration/ledger.json`; after a merge, take both "
        "sides' entries.",
    ),
    Code(
        "SM510",
        "the moved text was changed since",
        _NO,
        "The text that stands where the edit was is not the text that the edit left. Putting the old text "
        "back would lose somebody's change. The message shows the old text, the edit's and today's.",
        "Undo that change first, or take the edit back by hand: put the old text in its place, then run "
        "`migrate status`.",
    ),
    Code(
        "SM511",
        "the moved text was not found, or more than once",
        _NO,
        "The text that the edit left stands nowhere in the file, or several places look the same and the "
        "lines around do not tell them apart.",
        "Restore the file from version control, or take the edit back by hand.",
    ),
    Code(
        "SM512",
        "the ledger has no such move",
        _NO,
        "Nothing in `migration/ledger.json` says that this task was moved by migrate, so its old text is not "
        "known.",
        "Take it back with version control, or by hand.",
    ),
    Code(
        "SM513",
        "source and ledger disagree",
        Disposition.WARN,
        "The ledger says that the task is moved, and the source does not, or the other way round. The source "
        "decides what runs; the ledger only knows the way back.",
        "After a `git revert` of the move: run `migrate status --write`, which corrects the ledger. Else "
        "look who changed the file.",
    ),
    Code(
        "SM514",
        "the file changed since it was read",
        _NO,
        "Its bytes are not those that the plan was made for. Nothing was written.",
        "Run the command again.",
    ),
    Code(
        "SM515",
        "the file could not be written",
        _NO,
        "The folder is read-only, the disk is full, or the file belongs to somebody else. It is as it was.",
        "Follow the message of the system.",
    ),
    Code(
        "SM516",
        "the project's Airflow cannot be asked",
        Disposition.WARN,
        "There is no Airflow in the interpreter, it does not start, or the file does not import there as it "
        "is. The checks that need it are skipped, not passed.",
        "Give --airflow-python with the interpreter that runs the DAGs; --stand-ins replaces modules that "
        "are missing there.",
    ),
    Code(
        "SM520",
        "a setting or an option is not valid",
        _NO,
        "A key is not known, or its value cannot be.",
        "Follow the message.",
    ),
    Code(
        "SM521",
        "no task has this name",
        _NO,
        "Nothing in the project is called so. Where an id is computed, the scan shows a pattern instead.",
        "Take a name that `migrate scan` shows, or `path/to/file.py:LINE`.",
    ),
    Code(
        "SM522",
        "the name fits several sites",
        _NO,
        "An edit is for one site.",
        "Take one of those that the message lists; `path/to/file.py:LINE` is always one.",
    ),
)
