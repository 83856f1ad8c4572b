"""The site with one commit for each request of ingest: what `ingest_speed.py` measures group commit against."""

from config.asgi import application
from metering_ingest import asgi
from metering_ingest.asgi.collector import Collector
from metering_ingest.asgi.work import answer_all, answer_in_fear

asgi.collector = Collector(answer_all, answer_in_fear, workers=1, group=1)
__all__ = ["application"]
