"""Handlers of the messages of translate.proto that players send."""

import phrases
from windservice import NOT_FOUND, ServiceError


async def Handler_TranslateRequest(client, request):
    """TranslateRequest asks for a phrase in another language.

    request:
        text      string
        language  string  ("de", "fr" or "es")

    Answer: TranslateResponse{text string, matched string, likeness float}"""
    translation, matched, likeness = phrases.lookup(request["text"], request["language"])
    if translation is None:
        raise ServiceError(NOT_FOUND, f"nothing like {request['text'][:60]!r} is known in {request['language'][:10]!r}")
    return {"text": translation, "matched": matched if likeness < 1 else "", "likeness": likeness}
