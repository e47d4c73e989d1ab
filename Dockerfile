# syntax=docker/dockerfile:1
ARG PYTHON=3.14

# --- build: the wheel and everything it needs, in a virtual environment -----------------------------------------------
FROM python:${PYTHON}-slim AS build
# This image has no C compiler; the build takes ziglang from PyPI.
COPY . /src
RUN python -m venv /opt/serinus \
 && /opt/serinus/bin/pip install --no-cache-dir /src

# --- run: no source, no compiler, no root -----------------------------------------------------------------------------
FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="Serinus" \
      org.opencontainers.image.description="A traffic-splitting reverse proxy with a rollout controller" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/serinus /opt/serinus
ENV PATH=/opt/serinus/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# The state folder belongs to the user of the process; mount a volume there to keep live weights through an upgrade.
RUN install --directory --owner=10001 --group=10001 /var/lib/serinus
WORKDIR /var/lib/serinus
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["serinus", "healthcheck"]
ENTRYPOINT ["serinus"]
CMD ["proxy", "-c", "/etc/serinus/serinus.yaml"]
