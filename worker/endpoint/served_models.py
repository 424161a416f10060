"""What a generate worker answers when `submit` asks which models its endpoint serves."""

from config.endpoint.server_kind import Server, detect
from config.errors import EndpointError
from config.model_names import is_served
from config.records import JsonObject
from worker.endpoint.supervisor import EndpointSupervisor

ASK_SECONDS = 1.0  # the worker receives no message meanwhile, and `submit` waits four seconds
MOST_MODELS = 50  # named in the answer; a cloud lists hundreds


def served_models(supervisor: EndpointSupervisor, model: str | None) -> JsonObject:
    """The models of this worker's endpoint, whether it serves `model` (None: unknown), and why the worker is paused."""
    settings = supervisor.settings
    paused = supervisor.paused or None
    if loaded := settings.loaded_model:
        serves = None if model is None else is_served(loaded, model)
        return {"serve": loaded, "models": [loaded], "serves": serves, "paused": paused}
    key = settings.endpoint_key.get_secret_value() if settings.endpoint_key else None
    server: Server | None = None
    error = None
    try:
        server = detect(supervisor.endpoint, api_key=key, seconds=ASK_SECONDS)
    except EndpointError as raised:
        error = str(raised)
    models = list((server.models if server else None) or ())
    return {
        "server": server.kind.value if server else None,
        "models": [*models[:MOST_MODELS]],
        "serves": _serves(supervisor, server, model),
        "paused": paused or error,
    }


def _serves(supervisor: EndpointSupervisor, server: Server | None, model: str | None) -> bool | None:
    if model is None:
        return None
    if supervisor.refusal(model):
        return False
    return server.serves(model) if server else None
