"""Handlers of the messages of farm.proto that players send."""


async def Handler_PlantRequest(client, request):
    """PlantRequest plants a crop.

    It says "no" with \\ and ''' to what cannot grow.

    request:
        at           Place{x float, y float}
        crop         Crop: CROP_UNSPECIFIED | CROP_WHEAT  (what to plant)
        bag          int64, one of source
        friend_name  string, one of source
        also         map of string to Place{x float, y float}
        marks        list of bytes
        now          bool

    Answer: PlantResponse{planted bool}"""
    raise NotImplementedError("Handler_PlantRequest is not written yet")


async def Handler_LookRequest(client, request):
    """Answer: LookResponse{places list of Place{x float, y float}}"""
    raise NotImplementedError("Handler_LookRequest is not written yet")


async def Handler_WaveRequest(client, request):
    """WaveRequest has no answer.

    request:
        tree  Tree{branches list of Tree{branches list of Tree{branches list of Tree}}}

    No answer."""
    raise NotImplementedError("Handler_WaveRequest is not written yet")
