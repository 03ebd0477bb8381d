"""Handlers of the messages of translate.proto that services send."""

import phrases


async def Handler_S_LearnRequest(caller, request):
    """S_LearnRequest comes from other services: from now on the phrase is known to this instance.

    request:
        text         string
        language     string
        translation  string

    Answer: S_LearnResponse{known int32}"""
    known = phrases.learn(request["text"], request["language"], request["translation"])
    caller.service.broadcast("PhraseLearned", {"text": request["text"], "language": request["language"]})
    return {"known": known}
