from pathlib import Path

from unrolled.unrolling import FORWARD, Net, Part, Row, svg

rnn, dense = (Row("RNN", 32, ("W 32 × 16", "U 32 × 32"), FORWARD, "h: 32"),), (Row("dense", 5, ("W 5 × 32",)),)
reader, writer = Part("reader", "x", (rnn,)), Part("writer", "y", (rnn, dense), output="ŷ", fed_back=True)
nets = {
    "one to one": (Part("", "x", (dense,), output="ŷ", once=True),),
    "one to many": (Part("", "x", (rnn, dense), output="ŷ", fed_back=True),),
    "many to one": (Part("", "x", (rnn, dense), output="ŷ", pool="the last state", ends=(-1,)),),
    "many to many, the same length": (Part("", "x", (rnn, dense), output="ŷ"),),
    "many to many, another length": (reader, writer),
}
for number, (kind, parts) in enumerate(nets.items(), 1):
    Path(f"five-types-{number}.svg").write_text(svg(Net(kind, parts, joined="the last state" if len(parts) > 1 else ""), steps=3))
