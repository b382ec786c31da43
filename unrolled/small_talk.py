"""Everyday words, and sentences made of them by chance: other talk for a detector to be quiet at."""

from __future__ import annotations

import re

import numpy as np

WORDS = {
    "person": """my sister|my brother|our neighbour|the teacher|the doctor|my boss|her friend|his uncle|the children|our guests|
        the driver|everyone|nobody|the woman next door|a young man|the baker|my parents|the nurse|the manager|that singer|
        the students|the plumber|my cousin|the waiter|the whole team|our landlord|the pilot|my wife|her husband|the girls|
        the postman|an old lady|the mayor|the builders|my grandmother|the tall boy|the librarian|a farmer|the coach|they""",
    "thing": """the window|a sandwich|the garden|my phone|the kettle|an umbrella|the newspaper|his bicycle|the kitchen table|
        a new coat|the front door|some coffee|the letter|a cup of tea|the car keys|her piano|the washing machine|the blue bag|
        a good book|the dishes|my glasses|the old radio|a train ticket|the birthday cake|the ladder|some apples|the light|
        the heating|a bottle of water|the report|the invoice|our holiday photos|the dog|a chicken|the television|the camera|
        the last page|a pair of shoes|the music|her drawing|the fence|two eggs|the bill|a map of the city|the hammer""",
    "place": """at the station|in the kitchen|behind the house|by the river|at work|in the city|on the bus|upstairs|outside|
        near the school|in the park|at the market|under the bridge|on the roof|in the garage|at the hotel|across the street|
        in the mountains|on the beach|at the office|in the cellar|next to the church|at the airport|in the hall|on the stairs""",
    "when": """yesterday|last week|this morning|tomorrow|on Friday|in the evening|at half past seven|after lunch|before breakfast|
        every day|twice a month|in the summer|at noon|on the weekend|a moment ago|in an hour|last winter|all afternoon|
        at midnight|next year|now and then|in March|on Tuesday|for ten minutes|once again""",
    "did": """found|forgot|painted|repaired|wanted|dropped|cleaned|bought|needed|lost|liked|noticed|carried|opened|brought|
        remembered|sold|looked for|talked about|paid for|put away|asked for|waited for|laughed at|photographed|borrowed|
        washed|finished|ordered|hid|moved|counted|measured|returned|shared|threw away|wrapped|checked|described|held""",
    "do": """find|forget|paint|repair|drop|clean|buy|bring|remember|sell|look for|talk about|pay for|put away|ask for|
        wait for|borrow|wash|finish|order|hide|move|count|open|close|check|return|wrap|carry|turn down|switch on|switch off""",
    "how": """quite warm|far too late|not very funny|nearly ready|more expensive than before|surprisingly quiet|a bit strange|
        really important|rather small|completely empty|almost finished|better than I thought|hard to explain|perfectly fine|
        green and yellow|broken again|closed for repairs|easy enough|twice as heavy|cold and wet|much too loud|a secret""",
    "number": """three|seven|eleven|twenty|forty two|sixteen|ninety|a hundred and five|two thousand|nine|thirty one|
        six and a half|eighty four|twelve|fifty|one million|a dozen|four hundred|fifteen|twenty six""",
    "opening": """well|you know|I think|to be honest|listen|by the way|of course|actually|perhaps|I mean|so|anyway|oh|look|
        I am not sure but|they say|as far as I know|okay|no|yes|sorry|right|in the end|hello|hey|hi""",
}
SENTENCES = """
    {person} {did} {thing} {place}|{person} {did} {thing} {when}|{opening}, {person} {did} {thing}|did {person} {do} {thing}?|
    why would {person} {do} {thing}?|please {do} {thing} {when}|can you {do} {thing} {place}?|{thing} was {how}|
    {opening}, {thing} is {how}|{when} {person} {did} {thing} and {did} {thing}|where is {thing}?|it cost {number} euros|
    we have {number} of them {place}|there were {number} people {place} {when}|I would rather {do} {thing} than {do} {thing}|
    let us {do} {thing} {when}|don't {do} {thing} {place}|{person} never {did} {thing}|{opening}, let's {do} {thing}|
    what did {person} say about {thing}?|if it rains, {person} will {do} {thing}|{number} plus {number}|he said it was {how}|
    {person} and {person} {did} {thing} {when}|she lives {place}, doesn't she?|call me {when}|page {number}, line {number}|
    the weather {when} was {how}|I saw {person} {place}|{opening}|{when}|thank you, that is {how}|{thing} and {thing}|
    could {person} {do} {thing} for me?|nobody {did} {thing} {place}|it is {number} degrees {place}|turn left {place}|
    who {did} {thing}?|{person} will be {place} {when}|I can't {do} {thing} without {thing}|play something else|stop|
    volume {number}|set an alarm for {number}|how do you {do} {thing}?|good morning|see you {when}|that makes {number}|
    I have been {place} since {number}|{opening}, {opening}, I forgot {thing}|what a day|never mind|are you {place}?|
    no, {thing}, not {thing}|{person} asked {person} to {do} {thing}"""


def _choices(text: str) -> list[str]:
    return [" ".join(choice.split()) for choice in text.split("|")]


_WORDS = {kind: _choices(text) for kind, text in WORDS.items()}
_SENTENCES = _choices(SENTENCES)


def sentence(rng: np.random.Generator) -> str:
    """One sentence, without a full stop at its end."""
    form = _SENTENCES[rng.integers(len(_SENTENCES))]
    return re.sub(r"\{(\w+)\}", lambda found: _WORDS[found[1]][rng.integers(len(_WORDS[found[1]]))], form)


def common_words() -> list[str]:
    """Every word that sentences are made of, once, in alphabetic order."""
    texts = [*_SENTENCES, *(choice for choices in _WORDS.values() for choice in choices)]
    return sorted({word.lower() for text in texts for word in re.findall(r"[A-Za-z']+", re.sub(r"\{\w+\}", "", text))})
