# docker build --build-arg imageVersion=0.1.0 --build-arg buildId=20260102-1504 --build-arg commitSha=$(git rev-parse HEAD) -t meshd:0.1.0 .
# With --build-arg extras=onnx the image can be the runtime of kustomize/examples/onnx too.
ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim AS build
WORKDIR /source
# Only the native plane is compiled; without it there is no compiler to fetch.
COPY . .
RUN if [ -d native ]; then apt-get update && apt-get install -y --no-install-recommends cargo gcc libc6-dev; fi
ARG imageVersion=
ARG buildId=
ARG commitSha=
ARG extras=
# Arguments are variables of the command.
RUN image/build /tree $extras

FROM python:${PYTHON_VERSION}-slim
ARG USER=2000
ARG imageVersion=
ARG commitSha=
LABEL name="meshd" \
      vendor="meshd" \
      maintainer="meshd" \
      version="${imageVersion}" \
      release="${commitSha}" \
      summary="A model mesh" \
      description="Serves far more models than fit in memory over a fleet of model servers; takes the place of KServe ModelMesh"
RUN useradd --uid ${USER} --gid 0 --no-create-home --home-dir /opt/kserve/mmesh app
COPY --from=build --chown=${USER}:0 /tree/ /
ENV MM_INSTALL_PATH=/opt/kserve/mmesh \
    PATH=/opt/kserve/mmesh:$PATH \
    TMPDIR=/opt/kserve/mmesh/log \
    HOME=/opt/kserve/mmesh/log \
    MMCTL_ENDPOINT=127.0.0.1:8033 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/kserve/mmesh
EXPOSE 8080
USER ${USER}
CMD ["sh", "-c", "exec $MM_INSTALL_PATH/start.sh"]
