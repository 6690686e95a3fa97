"""### Lists for what happened today, once an hour, without training

Between two builds people go on: they meet startups, sign up, found. This DAG makes new lists **for those of whom
something new is known** and carries all others over, byte for byte:

| whose list | why |
|---|---|
| people and startups with new interactions | crossing 5 or 20 counts the same day; what they did is folded in |
| people and startups that came since | by their own words, until the next build has learned them |
| owners whom somebody new is close to | a startup of this morning can be recommended this afternoon |

The new release **takes the place** of the live one: going back still leads to the build before. Where a build went live
meanwhile, that one stays and `publish` is pink. Each list keeps its own `generated_at`.

**The cutoff** follows the rule of `build_recommendations`: the end of the hour of a scheduled run, else the parameter
`as_of`, else the run's own time. Switch `publish` off to store the release without showing it.

**Pink from `look_for_changes` on**: nothing happened since, or no release is live; the log says which.
**Red `merge`**: an owner would be without a list, or too many would lose a list of their own
(`[refresh] popular_share`): nothing is stored, the live lists stay. A build makes all lists anew.
"""

from __future__ import annotations

from airflow.sdk import Param
from matchbook_tasks.refresh import look_for_changes, make_lists, merge, publish
from matchbook_tasks.rules import AS_OF, matchbook_dag

PARAMS = {
    "as_of": AS_OF,
    "publish": Param(True, type="boolean", title="Publish", description="Off: stored, not made live."),
}


@matchbook_dag(
    "refresh_ranked_lists",
    __doc__,
    "New lists for whoever did something or came since the live release; all others stay",
    "hourly",
    hours=2,
    cron="10 * * * *",
    params=PARAMS,
)
def refresh_ranked_lists() -> None:
    changes = look_for_changes()
    publish(merge(changes, make_lists(changes)))


refresh_ranked_lists()
