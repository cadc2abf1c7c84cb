# Two images are built here. `dbt` runs dbt on ECS; it is the last target, so it is the default, and
# `make image` builds it. `airflow` is Airflow with both environments; docker-compose.yaml builds it.
#
# A company's package index and certificate authority are passed as the build secrets pip.conf,
# uv.toml and certificates, so that no layer contains them (see include/deployment/image.py).
ARG PYTHON_IMAGE=docker.io/library/python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS installer
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    UV_COMPILE_BYTECODE=1 \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never \
    UV_SYSTEM_CERTS=1 \
    # The root file system is read-only, so a compiled file never becomes outdated.
    PYC_INVALIDATION_MODE=UNCHECKED_HASH
COPY include/requirements/uv.txt /build/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=certificates,target=/etc/ssl/certs/ca-certificates.crt \
    python -m venv /build/uv \
    && PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    /build/uv/bin/pip install --quiet --require-hashes --requirement /build/uv.txt

FROM installer AS dbt-environment
COPY include/requirements/dbt.txt /build/
RUN --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml \
    --mount=type=secret,id=certificates,target=/etc/ssl/certs/ca-certificates.crt \
    /build/uv/bin/uv venv --quiet --python /usr/local/bin/python /opt/dbt \
    && /build/uv/bin/uv pip sync --quiet --require-hashes --python /opt/dbt /build/dbt.txt
# This removes 80 MB that nothing here loads: Arrow's servers, headers and tests, and the number formats
# of other languages. Fargate caches no layers, so every task pulls the whole image.
RUN packages=$(/opt/dbt/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
    && rm -r "$packages"/pyarrow/*flight* "$packages"/pyarrow/include \
    "$packages"/pyarrow/src "$packages"/pyarrow/tests \
    && find "$packages/networkx" -type d -name tests -prune -exec rm -r {} + \
    && find "$packages/babel/locale-data" -name '*.dat' ! -name 'en*' ! -name root.dat -delete \
    && rm -f /opt/dbt/.lock

FROM installer AS airflow-environment
COPY include/requirements/airflow.txt include/requirements/compose.txt /build/
RUN --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml \
    --mount=type=secret,id=certificates,target=/etc/ssl/certs/ca-certificates.crt \
    /build/uv/bin/uv venv --quiet --python /usr/local/bin/python /opt/airflow \
    && /build/uv/bin/uv pip sync --quiet --require-hashes --python /opt/airflow \
    /build/airflow.txt /build/compose.txt

FROM dbt-environment AS project
WORKDIR /app
COPY include include
COPY dbt dbt
RUN GAME_ANALYTICS_DBT_EXECUTABLE=/opt/dbt/bin/dbt GAME_ANALYTICS_TARGET=redshift \
    GAME_ANALYTICS_LAKE=s3://no-lake/is-read /opt/dbt/bin/python -m include.manifest \
    # A kept parse would be useless, because the profile on ECS has another host.
    && rm -r dbt/logs dbt/target/partial_parse.msgpack dbt/target/perf_info.json \
    && python -m compileall -q --invalidation-mode unchecked-hash include

FROM ${PYTHON_IMAGE} AS base
# A running container installs nothing, and scanners report the packages inside pip, so pip is removed.
# Python's own library is compiled here, because a read-only container cannot do it. This saves 1 s
# per process.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/ensurepip \
    /usr/local/lib/python3*/site-packages/pip* \
    && python -m compileall -q --invalidation-mode unchecked-hash \
    -x '/(test|idlelib|lib2to3|turtledemo)/' /usr/local/lib \
    && groupadd --gid 10001 app \
    && useradd --uid 10001 --gid app --home-dir /tmp --no-create-home --shell /usr/sbin/nologin app
WORKDIR /app
ENV DBT_PROFILES_DIR=/app/dbt \
    DBT_PROJECT_DIR=/app/dbt \
    DBT_SEND_ANONYMOUS_USAGE_STATS=false \
    DO_NOT_TRACK=1 \
    GAME_ANALYTICS_DBT_EXECUTABLE=/opt/dbt/bin/dbt \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1
COPY --from=dbt-environment /opt/dbt /opt/dbt
COPY --from=project /app /app

FROM base AS airflow
COPY --from=airflow-environment /opt/airflow /opt/airflow
COPY dags dags
COPY plugins plugins
# The container can run as any user of group 0, because it must write to folders of the checkout,
# which belong to the user who made it.
RUN mkdir -p /airflow && chown 10001:0 /airflow && chmod 2775 /airflow
ENV AIRFLOW_HOME=/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/app/dags \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__CORE__PLUGINS_FOLDER=/app/plugins \
    AIRFLOW__COSMOS__ENABLE_TELEMETRY=False \
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False \
    PATH=/opt/airflow/bin:$PATH \
    USER=app
USER 10001:0
ENTRYPOINT ["airflow"]

FROM base AS dbt
# dbt may write only to /tmp.
ENV DBT_LOG_PATH=/tmp/dbt/logs \
    DBT_TARGET_PATH=/tmp/dbt/target \
    PATH=/opt/dbt/bin:$PATH
USER 10001:10001
# Only with this declaration does Fargate give the volume the permissions of the folder /tmp.
VOLUME ["/tmp"]
ENTRYPOINT ["/opt/dbt/bin/python", "-m", "include.build.container"]
CMD ["build"]
