"""Piccolo's engine and app registry, and nothing else: importing this connects."""

from piccolo.conf.apps import AppRegistry
from piccolo.engine.postgres import PostgresEngine

import settings

DB = PostgresEngine(config={"dsn": settings.load().database.url}, extensions=())

APP_REGISTRY = AppRegistry(apps=["models.piccolo_app"])
