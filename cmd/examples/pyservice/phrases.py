"""The phrases that the example knows: business logic that has nothing to do with Wind."""

from __future__ import annotations

import difflib
from typing import Dict, Optional, Tuple

PHRASES: Dict[str, Dict[str, str]] = {
    "hello": {"de": "hallo", "fr": "bonjour", "es": "hola"},
    "good game": {"de": "gutes Spiel", "fr": "bien joué", "es": "buena partida"},
    "help me": {"de": "hilf mir", "fr": "aide-moi", "es": "ayúdame"},
    "on my way": {"de": "bin unterwegs", "fr": "j'arrive", "es": "voy en camino"},
    "well done": {"de": "gut gemacht", "fr": "bravo", "es": "bien hecho"},
}


def lookup(text: str, language: str) -> Tuple[Optional[str], str, float]:
    """Returns the translation of the phrase most similar to `text`, that phrase, and their similarity, 0 to 1."""
    text = " ".join(text.lower().split())[:200]
    found = difflib.get_close_matches(text, [p for p, t in PHRASES.items() if language in t], n=1, cutoff=0.6)
    if not found:
        return None, "", 0.0
    likeness = difflib.SequenceMatcher(None, text, found[0]).ratio()
    return PHRASES[found[0]][language], found[0], round(likeness, 3)


def learn(text: str, language: str, translation: str) -> int:
    """Adds a translation and returns the number of known phrases."""
    PHRASES.setdefault(" ".join(text.lower().split()), {})[language] = translation
    return len(PHRASES)
