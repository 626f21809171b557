"""What the settings of every training have: what is trained on, and for how long. The loop itself is `fitting.fit`."""

from collections.abc import Mapping

import pydantic

from echo_tf.runs.settings import MOST, Settings


class Training(Settings):
    """What is trained on, and how long.

    train_images: the first so many training images alone; None: all.
    epochs or steps: one of the two. checkpoint_steps: steps from one checkpoint and entry of the history to the next.
    """

    dataset: str = pydantic.Field(pattern=r"^[a-z][a-z0-9_]*$")
    train_images: int | None = pydantic.Field(default=None, ge=2)
    epochs: int | None = pydantic.Field(default=None, ge=1, le=MOST)
    steps: int | None = pydantic.Field(default=None, ge=1, le=100 * MOST)
    checkpoint_steps: int = pydantic.Field(default=10_000, ge=1, le=MOST)
    batch_size: int = pydantic.Field(default=100, ge=2, le=MOST)

    @pydantic.model_validator(mode="after")
    def _of_one_length(self):
        if (self.epochs is None) == (self.steps is None):
            said = "both" if self.steps else "neither"
            raise ValueError(f"setting 'epochs' or 'steps' says how long to train, and one of the two alone, got {said}")
        if self.steps and self.steps % self.stride:
            raise ValueError(
                f"setting 'steps' is {self.steps}, which is no multiple of checkpoint_steps {self.checkpoint_steps}"
            )
        return self

    @classmethod
    def foreign(cls, values: Mapping) -> dict[str, str]:
        return {} if values.get("steps") else {"checkpoint_steps": "a training by epochs"}

    @property
    def stride(self) -> int:
        return min(self.steps, self.checkpoint_steps) if self.steps else 1

    @property
    def amount(self) -> tuple[int, str]:
        return (self.epochs, "epochs") if self.epochs else (self.steps, "steps")
