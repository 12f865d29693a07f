# One image for `onward api`, `onward worker` and `onward migrate`.
# Dependencies come from the lock file with their hashes; nothing is resolved here.

FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/onward && python -m venv /opt/build
COPY requirements.lock deploy/build.lock ./
RUN /opt/onward/bin/pip install --require-hashes -r requirements.lock \
    && /opt/build/bin/pip install --require-hashes -r build.lock
COPY . .
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /opt/wheels . \
    && /opt/onward/bin/pip install --no-deps --no-index /opt/wheels/*.whl

FROM python:3.12-slim
ENV PATH=/opt/onward/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ONWARD_API_HOST=0.0.0.0 \
    ONWARD_LOG_FORMAT=json
RUN useradd --system --uid 10001 --user-group --create-home --home-dir /var/lib/onward onward
COPY --from=build /opt/onward /opt/onward
COPY deploy/healthcheck.py /opt/onward/healthcheck.py
# A number, so that Kubernetes can see that it is not root.
USER 10001
WORKDIR /var/lib/onward
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "/opt/onward/healthcheck.py"]
# Exec form: the process is PID 1 and gets SIGTERM itself.
CMD ["onward", "api"]
