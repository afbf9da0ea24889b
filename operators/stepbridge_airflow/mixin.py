"""What makes an operator a step: it has no ``__init__`` and touches four methods of KubernetesPodOperator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from stepbridge.failures import StepbridgeError
from stepbridge_airflow import outcomes
from stepbridge_airflow.options import StepOptions

if TYPE_CHECKING:
    from stepbridge_airflow.execution import Execution, Finished
    from stepbridge_airflow.pod_spec import PodParts


class StepMixin:
    """A step instead of a container with a command; goes before a pod operator in the list of bases."""

    step: StepOptions
    python_callable: Callable[..., Any]
    op_args: Any
    op_kwargs: Any
    templates_dict: dict[str, Any] | None
    show_return_value_in_logs: bool
    do_xcom_push: bool
    step_run_uri: str = ""
    """Where the record of the run lies, once it is known; for the link."""
    _execution: Execution | None = None

    def execute(self, context: Any) -> Any:
        """Take an equal run's result or run the step, push what it pushed, and give what old readers know."""
        if self.step.shadowed is not None:
            from stepbridge_airflow import shadow_candidate

            shadow_candidate.enter(self, self.step.shadowed, context)
        return self._carry_out(context, lambda execution: execution.run())

    def trigger_reentry(self, context: Any, event: Mapping[str, Any]) -> Any:
        """Go on after a deferral, until there is a result."""
        execution = self._execution
        if execution is not None and execution.pods is not None and execution.pods.inside:
            return _pod_operator(self).trigger_reentry(context, event)
        return self._carry_out(context, lambda execution: execution.resume(event))

    def flight_reentry(self, context: Any, event: Mapping[str, Any]) -> Any:
        """Go on when another run of the same work has ended, or has left its lease to this one."""
        nonce = str(event.get("nonce") or "")
        return self._carry_out(context, lambda execution: execution.run(nonce=nonce))

    def _carry_out(self, context: Any, act: Callable[[Execution], Finished]) -> Any:
        if self.step.shadowed is not None:
            from stepbridge_airflow import shadow_candidate

            return shadow_candidate.carry_out(
                self, self.step.shadowed, context, lambda: self._finished(context, act)
            )
        finished = self._finished(context, act)
        for key, value in finished.pushed.items():
            context["ti"].xcom_push(key=key, value=value)
        if self.show_return_value_in_logs:
            _log(self).info("Done. Returned value was: %s", finished.value)
        return finished.value

    def _finished(self, context: Any, act: Callable[[Execution], Finished]) -> Finished:
        from stepbridge_airflow.execution import Execution

        execution = Execution(self, context, _pod_operator(self))
        self._execution = execution
        try:
            return act(execution)
        except StepbridgeError as error:
            raise outcomes.exception_for(error) from error
        finally:
            self.step_run_uri = execution.record_uri
            self._execution = None

    def function_context(self, context: Mapping[str, Any]) -> Mapping[str, Any]:
        """Airflow's context as the step's function sees it: a candidate's has its control's ids."""
        if self.step.shadowed is None:
            return context
        from stepbridge_airflow import shadow_candidate

        return shadow_candidate.function_context(self.step.shadowed, context)

    def on_kill(self) -> None:
        """End the run."""
        execution = self._execution
        if execution is not None:
            execution.cancel()
            return
        _pod_operator(self).on_kill()

    def cluster_access(self) -> AbstractContextManager[None]:
        """What holds while the step's own calls to the cluster are made; nothing here."""
        return nullcontext()

    def step_parts(self) -> PodParts:
        """What the step says of its pod, with placeholders for what only a run knows."""
        from stepbridge_airflow import config, pod_parts

        execution = self._execution
        if execution is not None and execution.pods is not None:
            return execution.pods.parts()
        return pod_parts.parts_of(
            self,
            config.read(store=self.step.store),
            uri="<uri of request.json>",
            digest="<sha256 of request.json>",
            step_id=self.step.step_id or f"{_dag_id(self)}.{_task_id(self)}",
            variables=self.step.variables,
            secret="<secret of the run>" if self.step.variables or self.step.connections else "",
        )

    def build_pod_request_obj(self, context: Any = None, **kwargs: Any) -> Any:
        """The step's pod: arguments, template and step merged deeply, without a sidecar for XCom."""
        from stepbridge_airflow import pod_spec

        pod = _pod_operator(pod_spec.shaped(self, self.step_parts())).build_pod_request_obj(context, **kwargs)
        execution = self._execution
        if execution is not None and execution.pods is not None:
            execution.pods.prepare(pod)
        return pod

    def is_istio_enabled(self, pod: Any) -> bool:  # noqa: ARG002 - KubernetesPodOperator's signature
        """True: the end of the step's own container is the end of the step, whatever else was injected."""
        return True


def _pod_operator(operator: StepMixin) -> Any:
    """The methods of the pod operator that the mixin stands before."""
    return super(StepMixin, operator)


def _log(operator: Any) -> Any:
    return operator.log


def _dag_id(operator: Any) -> str:
    return str(operator.dag_id)


def _task_id(operator: Any) -> str:
    return str(operator.task_id)
