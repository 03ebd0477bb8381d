"""Handlers of the messages of farm.proto that services send."""


async def Handler_S_RegisterRequest(caller, request):
    """S_RegisterRequest comes from a gateway.

    request:
        player_id  string

    Answer: S_RegisterResponse{result bool}"""
    raise NotImplementedError("Handler_S_RegisterRequest is not written yet")


async def Handler_S_Hello(caller, request):
    """S_Hello has no answer.

    No answer."""
    raise NotImplementedError("Handler_S_Hello is not written yet")


async def Handler_CloseRequest(caller, request):
    """CloseRequest comes from operators.

    No answer."""
    raise NotImplementedError("Handler_CloseRequest is not written yet")
