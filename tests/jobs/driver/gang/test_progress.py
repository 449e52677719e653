from jobs.driver.gang.progress import TrainingView


def step(number, seconds, rank=0):
    return {"kind": "step", "rank": rank, "epoch": 2, "step": number, "steps": 40, "seconds": seconds, "loss": 3.14159}


def test_without_a_terminal_a_line_now_and_then_says_how_far_it_is(capsys):
    view = TrainingView(3, 800, every=1e-6)
    view(step(8, 2.0, rank=1))
    view(step(10, 2.0))
    assert (
        capsys.readouterr().err == "step 10/40 of epoch 2/3  loss 3.1416  100 captions/s  2.00 s, worker 1 2 behind\n"
    )


def test_lines_are_apart_or_left_out(capsys):
    for every in (60.0, 0.0):
        view = TrainingView(3, 800, every)
        for number in range(1, 41):
            view(step(number, number / 10))
        view.close()
    assert capsys.readouterr().err == ""
