"""The routes of the Open Inference Protocol, version 2, which Triton's, KServe's and Seldon's clients speak.

    GET  /v2                            the server      GET  /v2/models/M[/versions/1]          the model
    GET  /v2/health/live, /ready                        GET  /v2/models/M[/versions/1]/ready
    POST /v2/models/M[/versions/1]/infer                GET  /v2/models/M[/versions/1]/config   as Triton writes it

Source: the Open Inference Protocol of KServe, REST, with Triton's extensions binary_tensor_data, classification and
model_configuration.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

import npresnet
from npresnet.serve import infer_request
from npresnet.serve.bodies import received
from npresnet.serve.front import service_of, together, unless_gone
from npresnet.serve.infer_request import IMAGE, TENSOR, Expected
from npresnet.serve.infer_response import HEADER, VERSION, outputs_of, respond
from npresnet.serve.refusals import RefusedError, error_response, json_response, to_refused
from npresnet.serve.service import Service


def routes() -> list[BaseRoute]:
    """All routes of the protocol."""
    found: list[BaseRoute] = [
        Route("/v2", server_metadata),
        Route("/v2/", server_metadata),
        Route("/v2/health/live", live),
        Route("/v2/health/ready", ready),
    ]
    for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        found += [
            Route(prefix, model_metadata),
            Route(f"{prefix}/ready", model_ready),
            Route(f"{prefix}/config", model_config),
            Route(f"{prefix}/infer", infer, methods=["POST"]),
        ]
    return found


async def server_metadata(request: Request) -> Response:
    """Name, version and extensions."""
    extensions = ["binary_tensor_data", "classification", "model_configuration"]
    return json_response({"name": "npresnet", "version": npresnet.__version__, "extensions": extensions})


async def live(request: Request) -> Response:
    """200 while the process answers at all."""
    return json_response({"live": True})


async def ready(request: Request) -> Response:
    """200 once the network is compiled, 503 before, and while the server drains."""
    is_ready = _is_ready(service_of(request))
    return json_response({"ready": is_ready}, 200 if is_ready else 503)


async def model_ready(request: Request) -> Response:
    """The same of a model."""
    service = _model_of(request)
    if not _is_ready(service):
        return error_response(RefusedError(503, f"the model {service.name} is not ready"))
    return json_response({"name": service.name, "ready": True})


async def model_metadata(request: Request) -> Response:
    """Inputs and outputs with datatypes and shapes."""
    service = _model_of(request)
    inputs = [
        {"name": TENSOR, "datatype": "FP32", "shape": [-1, *service.fixed_shape]},
        {"name": IMAGE, "datatype": "BYTES", "shape": [-1]},
    ]
    outputs = [
        {"name": name, "datatype": datatype, "shape": shape} for name, (datatype, shape) in outputs_of(service).items()
    ]
    found = {"name": service.name, "versions": [VERSION], "platform": "npresnet", "inputs": inputs, "outputs": outputs}
    return json_response(found)


async def model_config(request: Request) -> Response:
    """Triton's configuration of the same; shapes there do not count the images."""
    service = _model_of(request)
    found: dict[str, Any] = {
        "name": service.name,
        "platform": "npresnet",
        "backend": "npresnet",
        "max_batch_size": service.settings.max_images,
        "input": [
            {"name": TENSOR, "data_type": "TYPE_FP32", "dims": list(service.fixed_shape), "optional": True},
            {"name": IMAGE, "data_type": "TYPE_STRING", "dims": [1], "optional": True},
        ],
        "output": [
            {"name": name, "data_type": f"TYPE_{'STRING' if kind == 'BYTES' else kind}", "dims": shape[1:] or [1]}
            for name, (kind, shape) in outputs_of(service).items()
        ],
    }
    return json_response(found)


async def infer(request: Request) -> Response:
    """Tensors or encoded pictures in, scores out. Errors are {"error": ...} with 400, as Triton's."""
    service = _model_of(request)
    async with received(request, service) as body:
        return await unless_gone(request, _answer(request, service, body))


async def _answer(request: Request, service: Service, body: bytes) -> Response:
    expected = Expected(service.fixed_shape, service.settings.max_images, list(outputs_of(service)))
    wanted = await service.in_pool(infer_request.read, body, request.headers.get(HEADER), expected)
    with service.admitted(len(wanted.images)):
        try:
            rows = await together([service.output(image) for image in wanted.images])
        except Exception as error:
            raise to_refused(error, bad=400) from error
        return await service.in_pool(respond, service, wanted, rows)


def _is_ready(service: Service) -> bool:
    return service.ready and not service.draining


def _model_of(request: Request) -> Service:
    service = service_of(request)
    name, version = request.path_params["model"], request.path_params.get("version", VERSION)
    if name != service.name:
        raise RefusedError(404, f"unknown model {name!r:.120}; this server has {service.name}")
    if version != VERSION:
        raise RefusedError(404, f"unknown version {version!r:.60} of {service.name}; there is version {VERSION}")
    return service
