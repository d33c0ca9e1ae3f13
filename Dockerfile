FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/supportbot && /opt/supportbot/bin/pip install --no-cache-dir '.[postgresql]'

FROM python:3.13-slim
RUN useradd --system --create-home --shell /usr/sbin/nologin supportbot
COPY --from=build /opt/supportbot /opt/supportbot
ENV PATH=/opt/supportbot/bin:$PATH PYTHONUNBUFFERED=1
USER supportbot
WORKDIR /home/supportbot
EXPOSE 8000
STOPSIGNAL SIGTERM
# The chat instead: docker run --interactive --tty supportbot supportbot --demo
CMD ["twist", "supportbot", "--http", "tcp:8000", "--log-format", "json"]
