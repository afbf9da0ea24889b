# -*- coding: ascii -*-
from airflow import task # é
