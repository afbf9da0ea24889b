"""The rules: what each site becomes, and the edits that make it so.

:func:`judge` says what can be done with a site, :func:`plan` gives the edits. Nothing here reads or writes a
file: a rule sees the facts of a site and the text of its file.
"""

from __future__ import annotations

from stepbridge_migrate.codes import worst
from stepbridge_migrate.model import (
    Change,
    Disposition,
    Finding,
    Form,
    Judged,
    Kind,
    Needs,
    Plan,
    Site,
    State,
)
from stepbridge_migrate.problems import MigrateProblem
from stepbridge_migrate.rules import (
    callables,
    external_python_operator,
    judging,
    kept,
    planning,
    python_operator,
    shadowing,
    task_decorator,
    task_docker,
    task_external_python,
    task_kubernetes,
    task_virtualenv,
    virtualenv_operator,
)
from stepbridge_migrate.rules.rule import Example, Rewrite, Rule
from stepbridge_migrate.rules.view import View

__all__ = ["RULES", "Example", "Rewrite", "Rule", "judge", "plan", "rule_of"]

RULES: tuple[Rule, ...] = (
    python_operator.RULE,
    virtualenv_operator.RULE,
    external_python_operator.RULE,
    task_decorator.RULE,
    task_virtualenv.RULE,
    task_external_python.RULE,
    task_kubernetes.RULE,
    task_docker.RULE,
)
_BY_KIND = {kind: rule for rule in RULES for kind in rule.kinds}
_STEPS = (Kind.STEP, Kind.TASK_STEP)
_NONE = Needs()


def rule_of(site: Site) -> Rule | None:
    """The rule that edits sites of this kind."""
    return _BY_KIND.get(site.kind)


def judge(site: Site, needs: Needs = _NONE) -> Judged:
    """A site with its disposition and everything there is to say of it.

    :param needs: what the user gives; some sites are refused without it: a Variable with a computed name.
    """
    stays = kept.finding(site)
    rule = rule_of(site)
    if stays is not None or rule is None:
        alone = () if stays is None else (stays,)
        return Judged(site, worst(alone), alone)
    found = [
        *judging.judge(site, rule.handled),
        *rule.judge(site, needs),
        *callables.judge(site, needs),
    ]
    findings = tuple(sorted(dict.fromkeys(found), key=lambda one: (one.code, one.place, one.message)))
    return Judged(site, worst(findings), findings)


def plan(action: str, site: Site, needs: Needs, text: str) -> Plan:
    """What *action* would do to *site*.

    :param action: ``shadow`` or ``cutover``.
    :param text: of the site's file, as it was when the site was found.
    """
    if action not in ("shadow", "cutover"):
        raise ValueError(f"there is no action {action!r}")
    judged = judge(site, needs)
    rule = rule_of(site)
    if site.kind in _STEPS:
        return _done(action, site)
    if rule is None or judged.disposition in (Disposition.KEEP, Disposition.REFUSE):
        return _refused(action, site, judged.findings)
    view = View(site.path, text)
    if action == "shadow" and (site.state is State.SHADOW or shadowing.found(view, site) is not None):
        return Plan(action, site, Disposition.AUTO, (), (_nothing(site, "a shadow stands beside it"),))
    try:
        draft = (
            planning.shadow(site, needs, view)
            if action == "shadow"
            else planning.cutover(rule, site, needs, view)
        )
    except MigrateProblem as error:
        finding = Finding(error.code, error.cause, site.place, error.hint)
        return _refused(action, site, (*judged.findings, finding))
    findings = (*judged.findings, *draft.findings)
    if not draft.edits:
        return _refused(action, site, findings)
    changes = (Change(site.path, draft.edits),)
    return Plan(action, site, worst(findings), changes, findings, _missing(site, needs), rule.id)


def _done(action: str, site: Site) -> Plan:
    if action == "cutover":
        return Plan(action, site, Disposition.AUTO, (), (_nothing(site, "it is a step"),))
    finding = Finding("SM236", "it is a step already, so there is nothing to compare with", site.place)
    return _refused(action, site, (finding,))


def _nothing(site: Site, why: str) -> Finding:
    return Finding("SM411", why, site.place)


def _refused(action: str, site: Site, findings: tuple[Finding, ...]) -> Plan:
    return Plan(action, site, worst(findings), (), findings, _missing(site, _NONE))


def _missing(site: Site, needs: Needs) -> tuple[str, ...]:
    """The facts that a person could add."""
    missing = []
    packages = site.kind in (Kind.VIRTUALENV, Kind.TASK_VIRTUALENV)
    if packages and needs.image is None and "python" not in needs.arguments:
        missing.append("image")
    facts = site.callable
    if facts is None:
        return tuple(missing)
    if facts.form is not Form.LAMBDA and facts.returns and not facts.annotation:
        missing.append("types")
    if facts.environment and "environment" not in needs.arguments:
        missing.append("environment")
    return tuple(missing)
