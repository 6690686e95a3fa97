"""The gate of build_recommendations: it passes or stops a release, or asks a person if the result is unclear."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import BaseOperator, conf

from matchbook_tasks.alerts import gate_asks
from matchbook_tasks.rules import SURFACES, decided_by, kind_of, noted, open_run

#: User name of runs started by `airflow dags test`, which cannot wait for a person.
_UNATTENDED = "dag_test"
#: The route of the report's tab (dags/matchbook_plugins).
_REPORT = "matchbook_report"


class Gate(HITLOperator):
    """Decide whether the release goes live.

    Go: continue at once. Stop: fail with the reasons. Otherwise wait for a person, who chooses publish or hold.
    Without an answer in time, [gate] default applies. gate.json records the decision, its author and the reasons.
    """

    template_fields = (*HITLOperator.template_fields, "weighed")

    def __init__(self, *, weighed: Any, **kwargs: Any) -> None:
        super().__init__(
            subject="Publish the new release?",
            options=["publish", "hold"],
            defaults=["hold"],
            response_timeout=timedelta(hours=12),
            **kwargs,
        )
        self.weighed = weighed

    def execute(self, context: Any) -> Any:
        """Wait only if a person must decide. Raises GateClosed."""
        with noted(context):
            return self._decide(context)

    def _decide(self, context: Any) -> Any:
        from pipelines.gate.decision import ask_once, question, read_gate, resolve_gate

        run = open_run(context)
        asks, found = resolve_gate(run, _case(context)), read_gate(run)
        if not asks:
            return found["answer"]
        self.subject, self.body = question(found, run.settings, _report_of(context))
        self.defaults = [run.settings.gate.default]
        self.response_timeout = timedelta(hours=run.settings.gate.timeout_hours)
        ask_once(run, self.subject, self.body)
        gate_asks(context, found["reasons"])
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Record the answer and its author."""
        from pipelines.gate.decision import record_answer

        with noted(context):
            chosen, run = super().execute_complete(context, event)["chosen_options"][0], open_run(context)
            if event.get("timedout"):
                chosen = run.settings.gate.default
            user = event.get("responded_by_user")
            return record_answer(run, chosen, decided_by(user["name"], event["params_input"]) if user else "time-out")


def gate(weighed: Any) -> BaseOperator:
    return Gate(task_id="gate", weighed=weighed, doc_md=Gate.__doc__)


def _case(context: Any) -> Any:
    from pipelines.gate.decision import GateContext

    params, run = context["params"], context["dag_run"]
    return GateContext(
        published=params["publish"] and set(params["surfaces"]) == set(SURFACES),
        force=params["force"],
        backfill=kind_of(context) == "backfill",
        attended=run.triggering_user_name != _UNATTENDED,
    )


def _report_of(context: Any) -> str:
    run = context["dag_run"]
    page = f"dags/{run.dag_id}/runs/{quote(run.run_id, safe='')}/plugin/{_REPORT}"
    return f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/{page}"
