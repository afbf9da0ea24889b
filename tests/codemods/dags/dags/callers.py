import pendulum
from airflow.decorators import dag, task, task_group
from house import jobs as J
from house.jobs import (pull_rows,
    say, weigh_twice)

@task_group
def weights(rows):
    for n in weigh_twice(rows): say.override(task_id=f"tell_{'it'}")( n )

@dag(schedule=None, start_date=pendulum.datetime(2024,1,1))
def house_daily():
    got = pull_rows("north")
    weights(got["rows"])
    J.say(text="done")

house_daily()
