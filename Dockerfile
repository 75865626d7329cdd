# One image, every process: the command says which (serve, worker, gateway). MongoDB is another container.
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/carillon
COPY pyproject.toml README.md LICENSE ./
COPY protos/gen protos/gen
COPY services services
COPY gateway gateway
RUN --mount=type=cache,target=/root/.cache/pip /opt/carillon/bin/pip install .

FROM python:3.12-slim-bookworm
COPY --from=build /opt/carillon /opt/carillon
ENV PATH=/opt/carillon/bin:$PATH
RUN useradd --system --uid 10001 --no-create-home carillon
USER carillon
EXPOSE 50051 8080 8081
ENTRYPOINT ["carillon"]
CMD ["--help"]
