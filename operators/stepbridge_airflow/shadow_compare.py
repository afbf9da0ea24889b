"""The task that compares what control and candidate gave; whatever happens in it, it never fails the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from stepbridge import documents
from stepbridge.compare.kept import FOLDER, report_key
from stepbridge.compare.model import Report, Subject, Verdict
from stepbridge.compare.rules import Compare
from stepbridge.failures import StepbridgeError
from stepbridge.store.opening import open_store
from stepbridge_airflow import config, shadow_wiring
from stepbridge_airflow.compat import AirflowSkipException, AirflowTaskTimeout, BaseOperator
from stepbridge_airflow.links import DETAILS


class ShadowComparison(BaseOperator):
    """Waits for control and candidate, compares their results and writes the report.

    It ends as success, or as skipped where nothing was compared. The report lies at
    ``shadow/<dag_id>/<task_id>/<run_id>/report.json`` in the store, with the map index before the name for
    a task in a mapped group.

    :param control: :param candidate: task ids. :param repeats: of the candidate's repeats.
    :param mapped: both are mapped, and all of their elements are in one report.
    :param pushes: the control pushes its return value.
    :param members: the control's return value is a mapping whose members Airflow pushes apart.
    :param derived: the candidate calls the control's own function, so it pushes under the same keys.
    :param same_arguments: the candidate has the control's arguments.
    :param store: another root than the configured one.
    """

    ui_color: ClassVar[str] = "#eeeeee"

    def __init__(
        self,
        *,
        control: str,
        candidate: str,
        rules: Compare,
        repeats: Sequence[str] = (),
        mapped: bool = False,
        pushes: bool = True,
        members: bool = False,
        derived: bool = True,
        same_arguments: bool = True,
        store: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.control = control
        self.candidate = candidate
        self.rules = rules
        self.repeats = tuple(repeats)
        self.mapped = mapped
        self.pushes = pushes
        self.members = members
        self.derived = derived
        self.same_arguments = same_arguments
        self.store = store

    def resolve_template_files(self) -> None:
        """Airflow calls this when the DAG file has been read to its end: now every edge is known."""
        super().resolve_template_files()
        for candidate in (self.candidate, *self.repeats):
            shadow_wiring.settle(self.dag, self.control, candidate)

    def execute(self, context: Any) -> None:
        """Compare.

        :raises AirflowSkipException: where nothing was compared.
        """
        report = self._report(context)
        self._show(report)
        uri = self._write(report, context)
        said = {"verdict": str(report.verdict), "rule": report.rule, "report": uri}
        context["ti"].xcom_push(key=DETAILS, value=said)
        if report.verdict is Verdict.SKIPPED:
            raise AirflowSkipException(f"nothing was compared: {report.rule}")

    def _report(self, context: Mapping[str, Any]) -> Report:
        from stepbridge.compare.reporting import without_comparison

        try:
            from stepbridge_airflow.shadow_verdict import Comparing

            return Comparing(self, context, config.read(store=self.store)).report()
        except (Exception, AirflowTaskTimeout) as error:  # its crash is a verdict, and no failure of the run
            self.log.exception("The comparison failed")
            why = str(error) if isinstance(error, StepbridgeError) else f"{type(error).__name__}: {error}"
            rule = f"the comparison failed: {why}"
            return without_comparison(self.subject(context), Verdict.TOOL_ERROR, rule)

    def _show(self, report: Report) -> None:
        try:
            from stepbridge.compare.render.terminal import text

            self.log.info("%s", text(report))
        except Exception as error:  # noqa: BLE001 - only the log would miss it
            self.log.warning("the report cannot be shown: %s: %s", type(error).__name__, error)

    def subject(self, context: Mapping[str, Any]) -> Subject:
        """What the report is of."""
        ti = context["ti"]
        date = context.get("logical_date")
        return Subject(
            control=self.control,
            candidate=self.candidate,
            dag_id=ti.dag_id,
            run_id=ti.run_id,
            logical_date=date.isoformat() if date is not None else "",
            map_index=_index(ti),
        )

    def _write(self, report: Report, context: Mapping[str, Any]) -> str:
        """Write the report; its URI, or nothing where the store does not take it."""
        ti = context["ti"]
        try:
            store = open_store(config.read(store=self.store).store)
            key = report_key(ti.dag_id, self.control, ti.run_id, _index(ti))
            store.put(
                key,
                documents.dump(report),
                tags={"stepbridge:class": FOLDER, "stepbridge:dag": ti.dag_id},
            )
        except Exception as error:  # noqa: BLE001 - a store that is down must not fail the run
            self.log.warning("the report could not be written: %s", error)
            return ""
        return store.uri(key)


def _index(ti: Any) -> int:
    return ti.map_index if ti.map_index is not None else -1
