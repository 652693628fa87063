"""Piccolo's engine and app registry, and nothing else: importing this connects."""

from piccolo.conf.apps import AppRegistry
from piccolo.engine.postgres import PostgresEngine

import settings
from models.pooler import engine_config

_database = settings.load().database
DB = PostgresEngine(config=engine_config(_database.url, is_pooled=_database.is_pooled), extensions=())

APP_REGISTRY = AppRegistry(apps=["models.piccolo_app"])
