from unrolled import charts
from unrolled.lag_tasks import LOOK, Learner

reached = {}
for cell in ("rnn", "gru", "lstm"):
    learner = Learner(cell, "adding", lag=60, hidden=32, layers=1, seed=1)
    curve = [100 * learner.net.accuracy(learner.tested)]
    while len(curve) < 17 and not learner.solved:
        learner.learn(learner.steps + LOOK)
        curve.append(100 * learner.accuracy)
    print(f"{cell}: {curve[-1]:.1f} % after {learner.steps} steps")
    reached[cell] = charts.Line(range(0, learner.steps + 1, LOOK), curve)
chance = {"chance": 100 * learner.task.chance}
charts.lines("lstm.svg", "sums of two marked numbers within 0.1, %, 60 steps to remember", "training steps", reached, chance)
