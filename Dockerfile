# One image for every part of Matchbook: the reader, the drain, and Airflow's four processes. Which one it is, the command says.
FROM python:3.11.14-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /opt/matchbook

# The OpenMP runtime of LightGBM and implicit, which slim images lack. docker/imports.py below finds what else is missing.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*

# The lock alone first: a change of the code does not install everything again.
# TORCH_INDEX: an index with CPU builds of torch, which saves 2.7 GB of CUDA libraries; empty: the default index.
ARG TORCH_INDEX=""
COPY requirements.in requirements.txt ./
RUN if [ -n "$TORCH_INDEX" ]; then pip install --index-url "$TORCH_INDEX" "$(grep '^torch==' requirements.txt)"; fi \
    && pip install -r requirements.txt

# No password, no shell: nobody logs in. The state directories belong to the account before a volume covers them.
RUN useradd --uid 10001 --no-create-home --home-dir /var/lib/matchbook --shell /usr/sbin/nologin matchbook \
    && install --directory --owner matchbook --group matchbook --mode 700 /var/lib/matchbook /var/lib/airflow

COPY docker/imports.py docker/
COPY models models
COPY pipelines pipelines
COPY serving serving
COPY local local
COPY sql sql
COPY dags dags

USER 10001:10001
ENV PYTHONPATH=/opt/matchbook \
    MATCHBOOK_HOME=/var/lib/matchbook \
    AIRFLOW_HOME=/var/lib/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/matchbook/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/matchbook/dags/matchbook_plugins

# Every library and every module of ours, each in a process of its own: an image that lacks something is never made.
RUN AIRFLOW_HOME=/tmp/imports MATCHBOOK_HOME=/tmp/imports python docker/imports.py requirements.in && rm -rf /tmp/*

CMD ["python", "-m", "serving.processes"]
