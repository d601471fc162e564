"""The client's training script: NVFlare runs it at every site through its Client API."""

import sys
import time
from pathlib import Path

import nvflare.client as flare
import toy
from nvflare.app_common.np.constants import NPConstants


def main(folder: Path) -> None:
    """Train until the job ends; note when each round's model arrived, and the last model."""
    flare.init()
    site = flare.get_site_name()
    while flare.is_running():
        model = flare.receive()
        if model is None:
            break
        with (folder / f"{site}.marks").open("a") as notes:
            notes.write(f"{time.time()}\n")
        parameters = toy.step(model.params[NPConstants.NUMPY_KEY], int(site.split("-")[-1]) - 1)
        (folder / f"{site}.accuracy").write_text(str(toy.accuracy(parameters, 4)))
        flare.send(
            flare.FLModel(
                params={NPConstants.NUMPY_KEY: parameters},
                params_type=flare.ParamsType.FULL,
                meta={"NUM_STEPS_CURRENT_ROUND": 1},
            )
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
