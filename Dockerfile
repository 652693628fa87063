# One image for every process of the Procfile; the command says which. It holds the thin lock only: no tests, no
# embedded servers.
FROM python:3.12-slim AS packages
COPY requirements.txt /tmp/requirements.txt
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --requirement /tmp/requirements.txt

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin megilance
COPY --from=packages /venv /venv
WORKDIR /app
COPY . .
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PORT=8000
USER megilance
EXPOSE 8000
# `exec`, so that SIGTERM reaches the server and it can drain.
CMD ["sh", "-c", "exec uvicorn --factory api.app:create_app --host 0.0.0.0 --port $PORT --no-access-log --no-server-header --workers 1 --no-proxy-headers"]
