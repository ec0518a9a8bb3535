# The command emotion-gcn on a CPU, from registries and this checkout: docs/install.md
FROM python:3.12-slim

COPY pyproject.toml README.md LICENSE /opt/emotion-gcn-jax/
COPY emotion_gcn_jax /opt/emotion-gcn-jax/emotion_gcn_jax/
RUN pip install --no-cache-dir '/opt/emotion-gcn-jax[video,tables]'

# Whoever --user names has no home in here, and caches need one.
ENV HOME=/tmp
WORKDIR /data
EXPOSE 8000
ENTRYPOINT ["emotion-gcn"]
CMD ["--help"]
