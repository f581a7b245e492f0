import io

from toolchain.module.fit.loop import Progress as Training
from toolchain.module.fit.show import show_training
from toolchain.run.progress import Progress


def test_a_training_after_another_counts_its_steps_from_the_start():
    stream, now_s = io.StringIO(), iter(range(0, 1000, 10))
    with Progress(stream=stream, read_clock_s=lambda: next(now_s)) as progress:
        show = show_training(progress)
        for step in (1, 2, 1, 2):
            show(
                Training(epoch=1, epochs=1, step=step, steps=2, loss=0.5, learning_rate=0.1, left_s=61.0, watched=0.25)
            )
    epoch = "epoch 1/1 (loss 0.5, held out 0.25, learning rate 0.1, 1:01 left)"
    assert stream.getvalue().splitlines() == [f"{epoch}: 1/2", f"{epoch}: 2/2"] * 2
