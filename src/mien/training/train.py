"""Trains the encoder on pictures made on the fly.

One process:            OMP_WAIT_POLICY=PASSIVE mien train FOLDER
Many GPUs or machines:  accelerate launch -m mien train FOLDER
Many CPUs:              python -m torch.distributed.run --nproc_per_node N -m -- mien train FOLDER

A run lives in its folder: `config.json`, `checkpoint.pt`, `weights.safetensors` (the running average, which
is exported) and TensorBoard's events. Started again, it goes on from the checkpoint, and ends with the
weights that it would have had without the interruption: the state of a run is weights, optimiser and one
integer, its place in the stream of pictures.
"""

from __future__ import annotations

import functools
import math
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mien.errors import BadTraining
from mien.files import write_whole
from mien.morphable import MorphableModel, load_model
from mien.synthesis.edited import PORTRAITS, EditedPortraits, Portraits
from mien.synthesis.on_device import DeviceGenerator
from mien.training.checkpoint import (
    CHECKPOINT,
    RunningAverage,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from mien.training.config import TrainingConfig
from mien.training.device_stream import DeviceStream
from mien.training.divergence import Climb
from mien.training.losses import Losses
from mien.training.network import EncoderNetwork, create_network
from mien.training.progress import Progress
from mien.training.stream import BlockDataset, Generator, pictures_per_block

if TYPE_CHECKING:
    from accelerate import Accelerator

_VALIDATION_SEED = 0x5EED_0FFA
_FEATURES_SHARE = 0.1  # of the learning rate, of features that real faces have taught


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended.

    Attributes:
        network: with the averaged weights, on the CPU, in evaluation mode.
        pictures: seen in all.
        finished: False if a signal stopped it before the end.
        validation: mean of each term on held-out pictures, and "total".
    """

    network: EncoderNetwork
    pictures: int
    finished: bool
    validation: dict[str, float]


def _says_what_memory_lacks(train: Callable[..., TrainingResult]) -> Callable[..., TrainingResult]:
    """Turns torch's errors of memory, a GPU's or the processor's, into one line that says what to do."""

    @functools.wraps(train)
    def wrapped(config: TrainingConfig, **given: object) -> TrainingResult:
        try:
            return train(config, **given)
        except (RuntimeError, MemoryError) as error:  # torch's for GPUs is a RuntimeError, too
            text = str(error)
            known = ("out of memory", "can't allocate memory", "ALLOC_FAILED")
            if not isinstance(error, MemoryError) and not any(words in text for words in known):
                raise
            wanted = re.search(r"(?:ried|nable) to allocate ([\d.]+ \w+)", text)
            raise BadTraining(
                f"{config.folder}: out of memory{f' ({wanted[1]} wanted)' if wanted else ''}; free some, and "
                "the same command goes on from the last checkpoint; or lower --batch-size or --size, "
                f"{_elsewhere(config.folder)}"
            ) from error

    return wrapped


@_says_what_memory_lacks
def train(
    config: TrainingConfig,
    *,
    generate: Generator | None = None,
    load: Callable[[], MorphableModel] | None = None,
    on_photos: Callable[[EncoderNetwork], dict[str, float]] | None = None,
    portraits: Callable[[], Portraits] | None = None,
) -> TrainingResult:
    """Runs a training, or goes on with the one in `config.folder`.

    Args:
        config: of the run.
        generate: makes a block of pictures; `mien.synthesis.generate` if not given. Must pickle. Not asked
            where `config.on_device` or `config.corpus`.
        load: makes the morphable model, in every process that needs it; that of `config.model` if not given.
        on_photos: judges the averaged network on photographs at each validation; its figures are logged.
        portraits: reads the photographs of `config.edited`, and must be given with it; asked once, in one
            process: what it read is kept in the folder.

    Raises:
        BadTraining: settings without meaning, a folder of another run, a damaged checkpoint, a loss that is
            not finite or has climbed far above its own lowest (the last checkpoint before it is kept), too
            little memory.
        BadCorpus: no corpus, one of another model or recipe, or a damaged one.
        CannotWrite: no room for a checkpoint.
    """
    from accelerate import Accelerator

    # Accelerate takes processes on CPUs for separate runs unless it is told that they are meant
    accelerator = Accelerator(mixed_precision=config.precision, cpu=_only_cpus())
    load = load or partial(load_model, config.model)
    model = load()
    torch.manual_seed(config.seed)
    network = create_network(model, config.recipe.preset, config.timm_name, config.landmarks)
    if config.initial is not None:
        load_weights(network, config.initial)
    if config.learn_features:
        network.expression.features.requires_grad_()
    network.to(memory_format=torch.channels_last)
    network.to(accelerator.device)
    losses = Losses(model, config.loss).to(accelerator.device)
    optimiser = _optimiser(network, config)
    average = RunningAverage(network, config.average)

    if config.on_device:
        block, per_batch = config.batch_size, 1
        on_device = DeviceGenerator(model, config.recipe, accelerator.device, block)
        dataset, held_out = DeviceStream(on_device, config.seed), DeviceStream(on_device, _VALIDATION_SEED)
    else:
        generate, generate_held_out = _generators(config, generate)
        block = pictures_per_block(generate_held_out, model, config.recipe)
        per_batch = config.batch_size // block
        if config.batch_size % block:
            raise BadTraining(
                f"batch_size is {config.batch_size}; give a multiple of {block}, the block's pictures"
            )
        dataset = BlockDataset(generate, load, config.recipe, config.seed, per_batch)
        held_out = BlockDataset(generate_held_out, load, config.recipe, _VALIDATION_SEED, 1)
    torch.set_num_threads(config.threads)  # only now: Accelerate and numba, when they start, take all cores
    stride = per_batch * accelerator.num_processes
    total = math.ceil(config.pictures / (block * stride)) * stride

    if accelerator.is_main_process:
        kept = config.folder / PORTRAITS
        unread = config.edited is not None and not kept.exists()
        read = portraits() if unread else None
        config.claim_folder()
        if read is not None:
            write_whole(kept, read.to_bytes())
    accelerator.wait_for_everyone()
    position = step = 0
    climb = Climb()
    state = load_checkpoint(config.folder, config.what)
    if state is not None:
        network.load_state_dict(state["network"])
        average.network.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        position, step = state["position"], state["step"]
        climb = Climb(**state.get("climb", {}))
    trained, optimiser = accelerator.prepare(network, optimiser)
    trained.train()

    def keep() -> None:
        if accelerator.is_main_process:
            save_checkpoint(
                config.folder,
                {
                    "what": config.what,
                    "network": network.state_dict(),
                    "average": average.network.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "position": position,
                    "step": step,
                    "climb": climb.as_dict(),
                },
                average.network,
            )

    figures: dict[str, float] = {}
    stop = _StopSignal()
    kept = validated = time.monotonic()
    first = position + per_batch * accelerator.process_index
    batches = dataset.batches(first, stride, total, config.workers)
    shown = Progress(config.folder, total * block, position * block, accelerator.is_main_process)
    with shown as progress, stop:
        for batch in batches:
            for group in optimiser.param_groups:
                # checkpoints of before have no shares
                group["lr"] = group.get("share", 1.0) * _rate(config, position / total)
            # chance inside a backbone (dropout) is a function of the place, too
            torch.manual_seed(hash((config.seed, position, accelerator.process_index)))
            batch = batch.to(accelerator.device)
            predicted = trained(batch.pictures, batch.landmarks)
            loss, terms = losses(predicted, batch.codes, batch.pictures if config.loss.photometric else None)
            optimiser.zero_grad()
            accelerator.backward(loss)
            gradient = accelerator.clip_grad_norm_(trained.parameters(), config.clip)
            bad, stopping, mean_loss = _agree(accelerator, loss, gradient, stop.received)
            if bad:
                raise BadTraining(
                    f"{config.folder}: the loss is not finite at picture {position * block} "
                    f"({_listing(terms)}); the last checkpoint is kept: lower --learning-rate, "
                    f"{_elsewhere(config.folder)}"
                )
            optimiser.step()
            average.update(network, step)
            position, step = position + stride, step + 1
            progress.step(step, position * block, loss, terms, gradient, optimiser.param_groups[0]["lr"])

            climb.update(mean_loss, warm=position / total >= config.warmup)
            now, last = time.monotonic(), position >= total or stopping
            if climb.diverged or (last and climb.far):
                raise BadTraining(
                    f"{config.folder}: the loss has climbed at picture {position * block}: {climb} "
                    f"({_listing(terms)}); the last checkpoint before it is kept: lower --learning-rate, "
                    f"{_elsewhere(config.folder)}"
                )
            if last or (now - kept > 60 * config.checkpoint_minutes and not climb.doubtful):
                keep()
                kept = now
            if accelerator.is_main_process and (last or now - validated > 60 * config.validation_minutes):
                figures = validate(
                    average.network, losses, held_out, config, on_photos if not stopping else None
                )
                progress.validated(position * block, figures)
                validated = now
            if stopping:
                break
    accelerator.wait_for_everyone()
    return TrainingResult(average.network.to("cpu"), position * block, position >= total, figures)


@torch.no_grad()
def validate(
    network: EncoderNetwork,
    losses: Losses,
    held_out: BlockDataset | DeviceStream,
    config: TrainingConfig,
    on_photos: Callable[[EncoderNetwork], dict[str, float]] | None = None,
) -> dict[str, float]:
    """Mean of each term over held-out pictures, and "total"; then, if wanted, figures on photographs.

    Args:
        network: in evaluation mode.
        losses, held_out, config: of the run.
        on_photos: as in `train`.
    """
    device = next(network.parameters()).device
    sums: dict[str, float] = {}
    for block in range(config.validation_blocks):
        batch = held_out[block].to(device)
        loss, terms = losses(network(batch.pictures, batch.landmarks), batch.codes, batch.pictures)
        for name, value in {"total": loss, **terms}.items():
            sums[name] = sums.get(name, 0.0) + value.item() / config.validation_blocks
    return sums | (on_photos(network) if on_photos else {})


def _only_cpus() -> bool:
    return not (torch.cuda.is_available() or torch.backends.mps.is_available())


class _StopSignal:
    """Notes that the process was told to end, so that it ends after the step it is in."""

    def __init__(self) -> None:
        self.received = False

    def __enter__(self) -> None:
        self.before = {
            number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)
        }

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: object) -> None:
        self.received = True
        signal.signal(number, self.before[number])  # told twice, it ends at once


def _agree(accelerator: Accelerator, loss: Tensor, gradient: Tensor, stop: bool) -> tuple[bool, bool, float]:
    """Whether any process has a bad loss, whether any was told to stop, and the mean loss; alike in all."""
    bad = ~torch.isfinite(loss + gradient)
    flags = torch.stack([bad.float(), bad.new_tensor(stop).float(), loss.detach().float()])
    if accelerator.num_processes > 1:
        flags = accelerator.reduce(flags, "sum")
    any_bad, any_stop, losses = flags.tolist()
    return any_bad > 0, any_stop > 0, losses / accelerator.num_processes


def _elsewhere(folder: Path) -> str:
    """How to train with other settings, which this folder does not take."""
    if (folder / CHECKPOINT).exists():
        return f"in another folder; --start {folder} begins with its weights"
    return "in another folder"


def _rate(config: TrainingConfig, done: float) -> float:
    """Learning rate where a share of the pictures is done; Adadelta finds its own, so its factor stays."""
    if config.optimiser == "adadelta":
        return config.learning_rate
    return config.learning_rate * _schedule(done, config.warmup)


def _schedule(done: float, warmup: float) -> float:
    """Share of the learning rate: a ramp, then a cosine down to a hundredth (Loshchilov and Hutter 2017)."""
    if done < warmup:
        return max(done / warmup, 1e-2)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))


def _optimiser(network: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019) or Adadelta (Zeiler 2012); biases and norms do not decay, nor do
    features that real faces have taught, which also learn more slowly.
    """
    taught = list(network.expression.features.parameters()) if config.learn_features else []
    ours = set(network.parameters()) - set(taught)
    learned = [p for p in network.parameters() if p.requires_grad and p in ours]
    decayed, kept = [p for p in learned if p.ndim > 1], [p for p in learned if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay, "share": 1.0},
        {"params": kept, "weight_decay": 0.0, "share": 1.0},
        {"params": taught, "weight_decay": 0.0, "share": _FEATURES_SHARE},
    ]
    groups = [group for group in groups if group["params"]]
    if config.optimiser == "adadelta":
        return torch.optim.Adadelta(groups, config.learning_rate, rho=0.95, eps=1e-7, foreach=True)
    return torch.optim.AdamW(groups, lr=config.learning_rate, foreach=True)


def _listing(terms: dict[str, Tensor]) -> str:
    return ", ".join(f"{name} {value.item():.3g}" for name, value in terms.items())


def _generators(config: TrainingConfig, generate: Generator | None) -> tuple[Generator, Generator]:
    """What makes the pictures, and what makes those held out."""
    if config.corpus is not None:
        from mien.synthesis.corpus import open_corpus

        return open_corpus(config.corpus).split()
    if generate is None:
        from mien.synthesis import generate
    if config.edited is not None:
        return EditedPortraits((config.folder / PORTRAITS).resolve()), generate
    return generate, generate
