"""python -m bench [NAME …] [--data FOLDER]; without a name, those that take minutes and need no data."""

from __future__ import annotations

import argparse

from . import (
    caption,
    crf,
    ctc,
    curves,
    gpu,
    language,
    listening,
    music,
    reading,
    recurrent,
    sampling,
    speech,
    speech_language,
    start,
    stepping,
    translating,
    trigger,
    video,
    words,
    writing,
)

BENCHES = {
    "start": start.run,
    "writing": writing.run,
    "recurrent": recurrent.run,
    "ragged": recurrent.run_ragged,
    "stepping": stepping.run,
    "int8": writing.run_int8,
    "listening": listening.run,
    "sampling": sampling.run,
    "wavenet-training": sampling.run_training,
    "wavenet-music": music.run,
    "curves": curves.run,
    "gpu": gpu.run,
    "first-use": start.run_first_use,
    "shakespeare-81-seconds": language.run_short,
    "shakespeare-10-minutes": language.run_long,
    "latex-30-minutes": language.run_latex,
    "skip-gram": words.run_skip_gram,
    "cbow": words.run_cbow,
    "glove": words.run_glove,
    "words-first-use": words.run_first_use,
    "nearest": words.run_nearest,
    "map": words.run_map,
    "vectors-in-a-task": words.run_choices,
    "caption-photographs": caption.run_photographs,
    "caption-drawings": caption.run_drawings,
    "caption-beam": caption.run_beam,
    "crf": crf.run,
    "ctc": ctc.run,
    "digits": speech.run_digits,
    "digits-speakers": speech.run_speakers,
    "speech-language": speech_language.run_speech_language,
    "sst2": reading.run_sst2,
    "sst2-vectors": reading.run_sst2_vectors,
    "sst5": reading.run_sst5,
    "restaurant": reading.run_restaurant,
    "names": reading.run_names,
    "tagger": reading.run_tagger,
    "translation-3": translating.run_3,
    "translation-10": translating.run_10,
    "translation-60": translating.run_60,
    "translation-others": translating.run_others,
    "translator": translating.run_speed,
    "trigger-alexa": trigger.run_alexa,
    "trigger-computer": trigger.run_computer,
    "trigger-alexa-spoken": trigger.run_alexa_spoken,
    "trigger-computer-spoken": trigger.run_computer_spoken,
    "video": video.run,
}
QUICK = ("start", "writing", "recurrent", "ragged", "stepping", "curves", "first-use", "int8")

parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
parser.add_argument("names", nargs="*", choices=[*BENCHES, []], default=[], metavar="NAME", help=", ".join(BENCHES))
parser.add_argument(
    "--data", help="folder with text/, embeddings/, sentiment/, tagging/, translation/, captions/, audio/, video/"
)
chosen = parser.parse_args()
for name in chosen.names or QUICK:
    print(f"\n{name}")
    BENCHES[name](chosen.data)
